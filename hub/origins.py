"""What lies at a path: a checkpoint of safetensors, an MLC folder or a GGUF file, recognised.

Knows which files tell the kinds apart; each kind is read by its own module.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from runtime.progress import OnProgress

from .checkpoint import INDEX, WEIGHTS, Checkpoint
from .errors import CheckpointError, UnsupportedError
from .gguf_checkpoint import GgufCheckpoint
from .gguf_documents import chat_documents
from .mlc_checkpoint import CHAT_CONFIG, MlcCheckpoint
from .mlc_documents import chat_documents as mlc_chat_documents
from .source_rows import TensorRows
from .tokenizer_files import TOKENIZER, TokenizerFiles
from .weight_specs import WeightSpec


class Weights(TensorRows, Protocol):
    """An opened checkpoint of any kind."""

    @property
    def config(self) -> Mapping[str, Any]:
        """What config.json says, or would say."""
        ...

    def identify(self, on_progress: OnProgress) -> dict[str, str]:
        """sha256 of every file that decides the result, by name."""
        ...


@runtime_checkable
class Complete(Protocol):
    """Weights that a conversion has left nothing needless in."""

    def unused(self, used: Collection[str]) -> str | None:
        """The name of a tensor that is none of `used`; None when all are needed."""
        ...


def check_all_used(specs: Sequence[WeightSpec], weights: TensorRows) -> None:
    """Raise UnsupportedError for a tensor that the family would compute without.

    Checkpoints of safetensors keep tensors that nobody needs, so only conversions are held to it.
    """
    if not isinstance(weights, Complete):
        return
    left = weights.unused({name for spec in specs for name in spec.sources})
    if left is not None:
        raise UnsupportedError(
            f"tensor {left!r} is not known to the family; computing the model without it would be "
            "wrong"
        )


@dataclass(frozen=True, slots=True)
class Origin:
    """Weights, what a chat needs beside them, and the folder they lie in."""

    folder: Path
    weights: Weights
    chat: TokenizerFiles


def open_origin(path: Path, file: str | None = None) -> Origin:
    """Open a checkpoint folder, or a GGUF file: `path` itself, or `file` in it.

    CheckpointError with the remedy; UnsupportedError names what this version does not compute.
    """
    if path.is_file() or file is not None:
        return _gguf(path if file is None else path / file)
    if (path / WEIGHTS).is_file() or (path / INDEX).is_file():
        return _safetensors(path)
    if (path / CHAT_CONFIG).is_file():
        mlc = MlcCheckpoint.open(path)
        return Origin(path, mlc, mlc_chat_documents(mlc))
    found = sorted(path.glob("*.gguf"))
    if len(found) == 1:
        return _gguf(found[0])
    if found:
        names = ", ".join(entry.name for entry in found)
        raise CheckpointError(f"{path}: holds several GGUF files; name one of {names}")
    return _safetensors(path)


def _safetensors(folder: Path) -> Origin:
    checkpoint = Checkpoint.open(folder)
    return Origin(folder, checkpoint, TokenizerFiles.open(folder, checkpoint.config))


def _gguf(file: Path) -> Origin:
    if not file.is_file():
        raise CheckpointError(f"{file}: no such file; give one that ends in .gguf")
    checkpoint, header = GgufCheckpoint.open(file)
    if (file.parent / TOKENIZER).is_file():
        # The model's own is better than one rebuilt.
        chat = TokenizerFiles.open(file.parent, checkpoint.config)
    else:
        chat = chat_documents(header)
    return Origin(file.parent, checkpoint, chat)
