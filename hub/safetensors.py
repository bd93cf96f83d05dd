"""safetensors files, read lazily by tensor and row range as float32.

numpy lacks bfloat16 and memory maps count as resident memory, so the header is decoded here and
ranges are read with plain reads. It knows bytes and shapes, not models.
Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import CheckpointError

Floats = NDArray[np.float32]

MAX_HEADER_NBYTES = 100_000_000
REMEDY = "download or copy the file again"
BAD_HEADER = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
NBYTES = {"F32": 4, "F16": 2, "BF16": 2}

assert sys.byteorder == "little", "safetensors stores little-endian numbers, read here in place"


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """Where a tensor lies: `offset` counts from the start of `file`."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int


def read_header(file: Path) -> dict[str, TensorEntry]:
    """The tensors of one file; CheckpointError when it is cut short or no safetensors file."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            prefix = stream.read(8)
            length = int.from_bytes(prefix, "little")
            if len(prefix) < 8 or length > min(MAX_HEADER_NBYTES, size - 8):
                raise CheckpointError(f"{file}: not a safetensors file, or cut short; {REMEDY}")
            text = stream.read(length)
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error}); {REMEDY}") from error
    try:
        header = json.loads(text)
        items = [(name, item) for name, item in header.items() if name != "__metadata__"]
        entries = {name: _entry(file, name, item, 8 + length) for name, item in items}
    except BAD_HEADER as error:
        raise CheckpointError(f"{file}: not a safetensors file (bad header); {REMEDY}") from error
    _check_extent(file, entries, size)
    return entries


def read_rows(name: str, entry: TensorEntry, start: int, stop: int) -> Floats:
    """Rows [start, stop) of a tensor (elements, for a vector) as float32 of the same rank."""
    if entry.dtype not in NBYTES:
        raise CheckpointError(
            f"{entry.file}: tensor {name!r} is {entry.dtype}; this version reads "
            f"{', '.join(NBYTES)}: convert the checkpoint first"
        )
    width = math.prod(entry.shape[1:])
    nbytes = NBYTES[entry.dtype]
    wanted, offset = (stop - start) * width * nbytes, entry.offset + start * width * nbytes
    try:
        raw = np.fromfile(entry.file, dtype=np.uint8, count=wanted, offset=offset)
    except OSError as error:
        raise CheckpointError(f"{entry.file}: cannot be read ({error}); {REMEDY}") from error
    if raw.size != wanted:
        raise CheckpointError(f"{entry.file}: tensor {name!r} is cut short; {REMEDY}")
    return to_float32(raw, entry.dtype).reshape(stop - start, *entry.shape[1:])


def to_float32(raw: NDArray[np.uint8], dtype: str) -> Floats:
    """Raw little-endian bytes of a dtype in `NBYTES` as float32; exact for all three."""
    if dtype == "F32":
        return raw.view(np.float32)
    if dtype == "F16":
        return raw.view(np.float16).astype(np.float32)
    bits = raw.view(np.uint16).astype(np.uint32)
    return np.left_shift(bits, 16, out=bits).view(np.float32)


def _entry(file: Path, name: str, item: Mapping[str, Any], start: int) -> TensorEntry:
    shape = tuple(int(size) for size in item["shape"])
    begin, end = (int(offset) for offset in item["data_offsets"])
    dtype = str(item["dtype"])
    if not 0 <= begin <= end or min(shape, default=0) < 0:
        raise ValueError(name)
    if dtype in NBYTES and end - begin != math.prod(shape) * NBYTES[dtype]:
        raise CheckpointError(
            f"{file}: tensor {name!r} has {end - begin} bytes, its shape {list(shape)} as {dtype} "
            f"needs {math.prod(shape) * NBYTES[dtype]}; {REMEDY}"
        )
    return TensorEntry(file, dtype, shape, start + begin)


def _check_extent(file: Path, entries: Mapping[str, TensorEntry], size: int) -> None:
    for name, entry in entries.items():
        end = entry.offset + math.prod(entry.shape) * NBYTES.get(entry.dtype, 0)
        if end > size:
            raise CheckpointError(
                f"{file}: cut short: tensor {name!r} ends at byte {end}, the file has {size}; "
                f"{REMEDY}"
            )
