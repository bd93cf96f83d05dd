"""The head of a GGUF file: its metadata, and where every tensor lies.

Everything that the file says about sizes, counts and offsets is checked against the file before
it is used. It knows the container, not models.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .errors import CheckpointError
from .gguf_types import BLOCKS, NAMES

MAGIC = b"GGUF"
VERSIONS = (2, 3)
ALIGNMENT = 32
"""Where general.alignment is silent."""
MAX_STRING_NBYTES = 64 * 1024 * 1024
MAX_ITEMS = 1 << 22
"""Of an array, of all metadata keys, of all tensors: far beyond any model, well within memory."""
MAX_DIMS = 4
REMEDY = "download the file again"

NUMBERS: Mapping[int, np.dtype[Any]] = {
    0: np.dtype("<u1"),
    1: np.dtype("<i1"),
    2: np.dtype("<u2"),
    3: np.dtype("<i2"),
    4: np.dtype("<u4"),
    5: np.dtype("<i4"),
    6: np.dtype("<f4"),
    7: np.dtype("?"),
    10: np.dtype("<u8"),
    11: np.dtype("<i8"),
    12: np.dtype("<f8"),
}
STRING, ARRAY = 8, 9


class Stream(Protocol):
    """Bytes read from the start on."""

    def read(self, count: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """A tensor as the file has it: `shape` slowest first, `offset` from the start of the file."""

    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def row_nbytes(self) -> int:
        """Bytes of one row: of all that follows the first dimension."""
        elements, nbytes = BLOCKS[self.dtype]
        return math.prod(self.shape[1:] if len(self.shape) > 1 else (1,)) * nbytes // elements

    @property
    def nbytes(self) -> int:
        elements, nbytes = BLOCKS[self.dtype]
        return math.prod(self.shape) * nbytes // elements


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """Metadata by key (numbers, text, lists of either) and tensors by name."""

    where: str
    metadata: Mapping[str, Any]
    tensors: Mapping[str, GgufTensor]


def read_header(file: Path) -> GgufHeader:
    """The head of a file; CheckpointError when it is damaged or no GGUF file."""
    try:
        with file.open("rb") as stream:
            return parse_header(stream, file.stat().st_size, str(file))
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error}); {REMEDY}") from error


def parse_header(stream: Stream, size: int, where: str) -> GgufHeader:
    """The head of a file of `size` bytes; CheckpointError names the file by `where`."""
    reader = _Bytes(stream, size, where)
    if reader.take(4) != MAGIC:
        raise CheckpointError(f"{where}: not a GGUF file; give one that ends in .gguf")
    version = reader.unpack("<I")
    if version not in VERSIONS:
        raise CheckpointError(
            f"{where}: GGUF version {version}; this version reads {', '.join(map(str, VERSIONS))} "
            "(little endian): convert the model again with a current converter"
        )
    tensor_count, key_count = reader.count(MAX_ITEMS, 16), reader.count(MAX_ITEMS, 12)
    metadata = reader.items(key_count, lambda: reader.value(reader.unpack("<I")))
    tensors = reader.items(tensor_count, reader.tensor)
    start = _aligned(reader.position, metadata.get("general.alignment", ALIGNMENT), where)
    placed = {name: _placed(name, raw, start, size, where) for name, raw in tensors.items()}
    return GgufHeader(where, metadata, placed)


def _aligned(position: int, alignment: Any, where: str) -> int:
    if type(alignment) is not int or alignment <= 0 or alignment & (alignment - 1):
        raise CheckpointError(f"{where}: alignment {alignment!r} is no power of two; {REMEDY}")
    return -(-position // alignment) * alignment


_Raw = tuple[tuple[int, ...], int, int]
"""Shape, type number and offset as the file has them."""


def _placed(name: str, raw: _Raw, start: int, size: int, where: str) -> GgufTensor:
    shape, kind, offset = raw
    dtype = NAMES.get(kind, f"type {kind}")
    if min(shape, default=1) < 1:
        raise CheckpointError(f"{where}: tensor {name!r} has shape {list(shape)}; {REMEDY}")
    tensor = GgufTensor(dtype, shape, start + offset)
    if dtype not in BLOCKS:
        # Perhaps nobody asks for it; who does is told.
        return tensor
    if shape and shape[-1] % BLOCKS[dtype][0]:
        raise CheckpointError(
            f"{where}: tensor {name!r} has rows of {shape[-1]} elements, {dtype} packs "
            f"{BLOCKS[dtype][0]} at a time; {REMEDY}"
        )
    if tensor.offset + tensor.nbytes > size:
        raise CheckpointError(
            f"{where}: cut short: tensor {name!r} ends at byte {tensor.offset + tensor.nbytes}, "
            f"the file has {size}; {REMEDY}"
        )
    return tensor


class _Bytes:
    """Reads fields one after the other and never beyond the size of the file."""

    def __init__(self, stream: Stream, size: int, where: str) -> None:
        self._stream, self._size, self._where = stream, size, where
        self.position = 0

    def take(self, count: int) -> bytes:
        data = self._stream.read(count) if count <= self._size - self.position else b""
        if len(data) != count:
            raise CheckpointError(f"{self._where}: cut short, or no GGUF file; {REMEDY}")
        self.position += count
        return data

    def unpack(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def count(self, most: int, item_nbytes: int) -> int:
        """A number of things to come, of at least `item_nbytes` each."""
        count: int = self.unpack("<Q")
        if count > min(most, (self._size - self.position) // item_nbytes):
            raise CheckpointError(f"{self._where}: announces {count} items; {REMEDY}")
        return count

    def string(self) -> str:
        try:
            return self.take(self.count(MAX_STRING_NBYTES, 1)).decode()
        except UnicodeDecodeError as error:
            raise CheckpointError(
                f"{self._where}: holds text that is no UTF-8; {REMEDY}"
            ) from error

    def items(self, count: int, value: Callable[[], Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for _ in range(count):
            name = self.string()
            if name in found:
                raise CheckpointError(f"{self._where}: names {name!r} twice; {REMEDY}")
            found[name] = value()
        return found

    def value(self, kind: int) -> Any:
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            return self._array()
        if kind not in NUMBERS:
            raise CheckpointError(f"{self._where}: holds a value of unknown type {kind}; {REMEDY}")
        dtype = NUMBERS[kind]
        return np.frombuffer(self.take(dtype.itemsize), dtype)[0].item()

    def _array(self) -> list[Any]:
        kind = self.unpack("<I")
        if kind == STRING:
            return [self.string() for _ in range(self.count(MAX_ITEMS, 8))]
        if kind not in NUMBERS:
            raise CheckpointError(f"{self._where}: holds an array of type {kind}; {REMEDY}")
        dtype = NUMBERS[kind]
        count = self.count(MAX_ITEMS, dtype.itemsize)
        numbers: list[Any] = np.frombuffer(self.take(count * dtype.itemsize), dtype).tolist()
        return numbers

    def tensor(self) -> _Raw:
        count = self.unpack("<I")
        if count > MAX_DIMS:
            raise CheckpointError(f"{self._where}: a tensor of {count} dimensions; {REMEDY}")
        shape = tuple(self.unpack("<Q") for _ in range(count))
        return shape[::-1], self.unpack("<I"), self.unpack("<Q")
