"""A GGUF file as a checkpoint: tensors by the names of config.json's family, read by rows.

What a converter did to the tensors (rows of queries and keys in rotating pairs, one added to
norms) is undone while reading; nothing larger than the rows asked for is in memory.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.progress import OnProgress, Progress, ignore_progress

from .errors import CheckpointError
from .gguf_architectures import Architecture
from .gguf_config import architecture_of, read_config
from .gguf_header import REMEDY, GgufHeader, GgufTensor, read_header
from .gguf_types import Bytes, check_readable, dequantized, library, packed
from .quantize import Packed
from .rounding import Floats
from .row_orders import in_order, paired_rows, parted_rows
from .schemes import Scheme

HASH_NBYTES = 1 << 24
EXPERT = re.compile(r"(.+\.experts)\.(\d{1,6})\.(.+)")
"""Name of a tensor of one expert: a file has all of them in one."""
OURS = ("model.", "gpt_neox.", "lm_head", "embed_out")
"""How the names of our families begin."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor and how it differs from the family's: `pairs` heads whose rows lie in rotating
    pairs, `parts` heads whose queries, keys and values lie apart (0 for none), and `offset` added
    to every element. `name` is its name in the file."""

    tensor: GgufTensor
    pairs: int = 0
    parts: int = 0
    offset: float = 0.0
    name: str = ""


@dataclass(frozen=True, slots=True)
class GgufCheckpoint:
    """An opened file: the config.json it stands for, and its tensors by the family's names."""

    file: Path
    config: Mapping[str, Any]
    entries: Mapping[str, Stored]

    @classmethod
    def open(cls, file: Path) -> tuple[GgufCheckpoint, GgufHeader]:
        """Read the head; CheckpointError, or UnsupportedError naming what is not read."""
        header = read_header(file)
        architecture = architecture_of(header)
        config = read_config(header, lambda name: _vector(file, header, name))
        return cls(file, config, dict(_entries(header, architecture, config))), header

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor; CheckpointError when there is none of that name."""
        return self._entry(name).tensor.shape

    def rows(self, name: str, start: int, stop: int) -> Floats:
        """Rows [start, stop) of a tensor (elements, for a vector) as float32."""
        entry = self._entry(name)
        tensor = entry.tensor
        check_readable(name, tensor.dtype)
        if len(tensor.shape) == 1:
            values = _whole_vector(self.file, name, tensor) - np.float32(entry.offset)
            return values[_order(entry, start, stop)]
        return dequantized(name, tensor.dtype, self._raw(name, start, stop))

    def packed(self, name: str, scheme: Scheme, start: int, stop: int) -> Packed | None:
        """Rows [start, stop) as `scheme` holds them; None when that takes rounding."""
        tensor = self._entry(name).tensor
        check_readable(name, tensor.dtype)
        if len(tensor.shape) != 2:
            return None
        return packed(name, tensor.dtype, scheme, lambda: self._raw(name, start, stop))

    def unused(self, used: Collection[str]) -> str | None:
        """The name of a tensor that is none of `used`; None when all are needed."""
        stacked = (EXPERT.sub(r"\1.\3", name) for name in used)
        read = {self.entries[name].name for name in stacked if name in self.entries}
        return next((e.name for e in self.entries.values() if e.name not in read), None)

    def identify(self, on_progress: OnProgress = ignore_progress) -> dict[str, str]:
        """sha256 of the file, by its name."""
        total, done = self.file.stat().st_size, 0
        digest = hashlib.sha256()
        with self.file.open("rb") as stream:
            while block := stream.read(HASH_NBYTES):
                digest.update(block)
                done += len(block)
                on_progress(Progress("identify", done, total, "bytes"))
        return {self.file.name: digest.hexdigest()}

    def _entry(self, name: str) -> Stored:
        if name not in self.entries and (found := EXPERT.fullmatch(name)) is not None:
            stacked = self._entry(f"{found[1]}.{found[3]}")
            return Stored(_one_of(stacked.tensor, int(found[2]), f"{self.file}: {name}"))
        if name not in self.entries:
            raise CheckpointError(
                f"{self.file}: tensor {name!r} is missing; the file is incomplete: download it "
                "again, or another one"
            )
        return self.entries[name]

    def _raw(self, name: str, start: int, stop: int) -> Bytes:
        """The bytes of rows [start, stop) of a matrix, in the family's order."""
        entry = self._entry(name)
        order = _order(entry, start, stop)
        return in_order(
            order, lambda first, last: _read(self.file, name, entry.tensor, first, last)
        )


def _order(entry: Stored, start: int, stop: int) -> NDArray[np.int64]:
    """Where the file holds rows [start, stop) of the family's tensor."""
    if entry.pairs:
        return paired_rows(entry.tensor.shape[0] // entry.pairs, start, stop)
    if entry.parts:
        return parted_rows(entry.parts, entry.tensor.shape[0] // (3 * entry.parts), start, stop)
    return np.arange(start, stop)


def _one_of(tensor: GgufTensor, index: int, where: str) -> GgufTensor:
    """One expert's matrix of a stack of them."""
    if len(tensor.shape) != 3 or index >= tensor.shape[0]:
        raise CheckpointError(f"{where}: there are {tensor.shape[0]} experts; {REMEDY}")
    check_readable(where, tensor.dtype)
    offset = tensor.offset + index * (tensor.nbytes // tensor.shape[0])
    return GgufTensor(tensor.dtype, tensor.shape[1:], offset)


def _read(file: Path, name: str, tensor: GgufTensor, start: int, stop: int) -> Bytes:
    wanted = (stop - start) * tensor.row_nbytes
    offset = tensor.offset + start * tensor.row_nbytes
    try:
        raw = np.fromfile(file, dtype=np.uint8, count=wanted, offset=offset)
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error}); {REMEDY}") from error
    if raw.size != wanted:
        raise CheckpointError(f"{file}: tensor {name!r} is cut short; {REMEDY}")
    return raw.reshape(stop - start, -1)


def _whole_vector(file: Path, name: str, tensor: GgufTensor) -> Floats:
    """All elements of a vector, which may be blocks of a quantized format."""
    flat = GgufTensor(tensor.dtype, (1, tensor.shape[0]), tensor.offset)
    return dequantized(name, tensor.dtype, _read(file, name, flat, 0, 1)).reshape(-1)


def _vector(file: Path, header: GgufHeader, name: str) -> Floats:
    tensor = header.tensors.get(name)
    if tensor is None or len(tensor.shape) != 1:
        raise CheckpointError(f"{file}: tensor {name!r} is no vector, or missing; {REMEDY}")
    check_readable(name, tensor.dtype)
    return _whole_vector(file, name, tensor)


def _entries(
    header: GgufHeader, architecture: Architecture, config: Mapping[str, Any]
) -> Iterator[tuple[str, Stored]]:
    heads = {
        "attn_q": config["num_attention_heads"],
        "attn_k": config.get("num_key_value_heads", 0),
    }
    for name, found in _names(header, config["num_hidden_layers"]):
        base, _, ending = found.rpartition(".")
        kind = base.rpartition(".")[2]
        tensor = header.tensors[found]
        pairs = heads.get(kind, 0) if architecture.paired else 0
        if pairs and tensor.shape[0] % (2 * pairs):
            raise CheckpointError(
                f"{header.where}: tensor {found!r} has {tensor.shape[0]} rows for {pairs} heads; "
                + REMEDY
            )
        parts = config["num_attention_heads"] if architecture.parted and kind == "attn_qkv" else 0
        if parts and tensor.shape[0] % (3 * parts):
            raise CheckpointError(
                f"{header.where}: tensor {found!r} has {tensor.shape[0]} rows for {parts} heads; "
                + REMEDY
            )
        offset = architecture.norm_offset if kind.endswith("norm") and ending == "weight" else 0.0
        yield name, Stored(tensor, pairs, parts, offset, found)


def _names(header: GgufHeader, layers: int) -> Iterator[tuple[str, str]]:
    """(name in config.json's family, name in the file) of every tensor, by the package's table.

    A tensor has the names of all families that have its like; those of ours begin so.
    """
    gguf = library()
    architecture = header.metadata["general.architecture"]
    (known,) = (key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    for alias, (_, base) in gguf.get_tensor_name_map(known, layers).mapping.items():
        if not alias.startswith(OURS):
            continue
        for ending in ("weight", "bias"):
            if f"{base}.{ending}" in header.tensors:
                yield f"{alias}.{ending}", f"{base}.{ending}"
