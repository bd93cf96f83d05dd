"""A checkpoint folder: config.json and its weights, read lazily by tensor.

Knows the layout that Hugging Face tools write (one safetensors file, or an index over several);
it does not know model families.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.progress import OnProgress, Progress, ignore_progress

from .errors import CheckpointError
from .safetensors import Floats, TensorEntry, read_header, read_rows

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
DOCUMENTS = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)


OTHER_STARTS = {
    "lm_head.": ("embed_out.", "language_model.lm_head."),
    "model.language_model.": ("language_model.model.",),
    "transformer.": ("",),
}
"""How the names of tensors start in checkpoints from before transformers gave them today's."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An opened checkpoint: config.json as it is, and where every tensor lies."""

    folder: Path
    config: Mapping[str, Any]
    entries: Mapping[str, TensorEntry]

    @classmethod
    def open(cls, folder: Path) -> Checkpoint:
        """Read config.json and all tensor headers; raises CheckpointError with the remedy."""
        if not folder.is_dir():
            raise CheckpointError(f"{folder}: no such folder; give the folder that holds the model")
        return cls(folder, read_json(folder / "config.json"), _entries(folder))

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor; CheckpointError when there is none of that name."""
        return self._entry(name).shape

    def rows(self, name: str, start: int, stop: int) -> Floats:
        """Rows [start, stop) of a tensor as float32."""
        return read_rows(name, self._entry(name), start, stop)

    def expect(self, name: str, shape: tuple[int, ...]) -> None:
        """Raise CheckpointError unless the tensor exists with exactly this shape."""
        found = self.shape(name)
        if found != shape:
            raise CheckpointError(
                f"{self._entry(name).file}: tensor {name!r} has shape {list(found)}, config.json "
                f"asks for {list(shape)}; use the config.json these weights were saved with"
            )

    def identify(self, on_progress: OnProgress = ignore_progress) -> dict[str, str]:
        """sha256 of every file that decides the result, by name."""
        weights = {entry.file for entry in self.entries.values()}
        names = [*DOCUMENTS, INDEX, *(str(file.relative_to(self.folder)) for file in weights)]
        files = [self.folder / name for name in sorted(set(names))]
        present = [file for file in files if file.is_file()]
        total, done = sum(file.stat().st_size for file in present), 0
        digests = {}
        for file in present:
            on_progress(Progress("identify", done, total, "bytes"))
            with file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            digests[file.relative_to(self.folder).as_posix()] = digest
            done += file.stat().st_size
        on_progress(Progress("identify", total, total, "bytes"))
        return digests

    def _entry(self, name: str) -> TensorEntry:
        for known in (name, *_other_names(name)):
            if known in self.entries:
                return self.entries[known]
        raise CheckpointError(
            f"{self.folder}: tensor {name!r} is missing; the checkpoint is incomplete or its "
            "config.json belongs to another model"
        )


def _other_names(name: str) -> Iterator[str]:
    for start, others in OTHER_STARTS.items():
        if name.startswith(start):
            yield from (other + name.removeprefix(start) for other in others)


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object; CheckpointError when the file is missing or is not one."""
    data = read_json_value(file)
    if not isinstance(data, dict):
        raise CheckpointError(f"{file}: not a JSON object; download it again")
    return data


def read_json_value(file: Path) -> Any:
    """Any JSON; CheckpointError when the file is missing or is none."""
    if not file.is_file():
        raise CheckpointError(f"{file}: missing; copy it from where the model was published")
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise CheckpointError(f"{file}: not valid JSON ({error}); download it again") from error


def _entries(folder: Path) -> dict[str, TensorEntry]:
    if (folder / INDEX).is_file():
        return _sharded(folder)
    if (folder / WEIGHTS).is_file():
        return read_header(folder / WEIGHTS)
    raise CheckpointError(
        f"{folder}: holds neither {WEIGHTS} nor {INDEX}; convert the weights to safetensors"
    )


def _sharded(folder: Path) -> dict[str, TensorEntry]:
    weight_map = read_json(folder / INDEX).get("weight_map")
    if not isinstance(weight_map, dict):
        raise CheckpointError(f"{folder / INDEX}: has no weight_map; download it again")
    for name in weight_map.values():
        if not isinstance(name, str) or Path(name).name != name:
            raise CheckpointError(f"{folder / INDEX}: {name!r} is not a file beside the index")
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder / name}: missing; {INDEX} names it, download it again")
    shards = {name: read_header(folder / name) for name in sorted(set(weight_map.values()))}
    for tensor, name in weight_map.items():
        if tensor not in shards[name]:
            raise CheckpointError(
                f"{folder / name}: tensor {tensor!r} is missing although {INDEX} promises it; "
                "download the file again"
            )
    return {tensor: shards[name][tensor] for tensor, name in weight_map.items()}
