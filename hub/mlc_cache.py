"""The parameter cache of an MLC repository: which bytes of which shard are which tensor.

Layout: tensor-cache.json (ndarray-cache.json before), whose records name shards, and in each the
tensors with their byte ranges. Everything is checked against the shards before it is used.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.progress import OnProgress, Progress

from .checkpoint import read_json
from .errors import CheckpointError, UnsupportedError

INDEXES = ("tensor-cache.json", "ndarray-cache.json")
NUMPY = {"float32": np.float32, "float16": np.float16, "uint32": np.uint32, "bfloat16": np.uint16}
SHORTENED = "f32-to-bf16"
"""A format of float32 tensors whose lower halves were left out."""
REMEDY = "download it again"
HASH_NBYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class MlcTensor:
    """Where a tensor lies; `dtype` is what its bytes are."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def row_nbytes(self) -> int:
        """Bytes of one row: of all that follows the first dimension."""
        return math.prod(self.shape[1:]) * np.dtype(NUMPY[self.dtype]).itemsize

    def one(self, index: int) -> MlcTensor:
        """What lies at one place of the first dimension."""
        offset = self.offset + index * self.row_nbytes
        return MlcTensor(self.file, self.dtype, self.shape[1:], offset)


@dataclass(frozen=True, slots=True)
class MlcCache:
    """Tensors by name, and the md5 that the index promises of each shard."""

    index: Path
    tensors: Mapping[str, MlcTensor]
    md5: Mapping[Path, str | None]


def read_cache(folder: Path) -> MlcCache:
    """Decode the index and check it against the shards; CheckpointError with the remedy."""
    found = [folder / name for name in INDEXES if (folder / name).is_file()]
    if not found:
        raise CheckpointError(f"{folder}: holds neither {' nor '.join(INDEXES)}; {REMEDY}")
    index = found[0]
    shards, tensors = {}, {}
    try:
        for shard in read_json(index)["records"]:
            file = _shard(folder, shard)
            md5 = shard.get("md5sum")
            shards[file] = str(md5) if md5 else None
            for record in shard["records"]:
                if record["name"] in tensors:
                    raise CheckpointError(f"{index}: names {record['name']!r} twice; {REMEDY}")
                tensors[str(record["name"])] = _tensor(file, record)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CheckpointError(f"{index}: not a parameter cache ({error!r}); {REMEDY}") from error
    return MlcCache(index, tensors, shards)


def read_rows(name: str, tensor: MlcTensor, start: int, stop: int) -> NDArray[Any]:
    """Rows [start, stop) of a tensor in its own type (uint16 for bfloat16)."""
    wanted = (stop - start) * tensor.row_nbytes
    offset = tensor.offset + start * tensor.row_nbytes
    try:
        raw = np.fromfile(tensor.file, dtype=np.uint8, count=wanted, offset=offset)
    except OSError as error:
        raise CheckpointError(f"{tensor.file}: cannot be read ({error}); {REMEDY}") from error
    if raw.size != wanted:
        raise CheckpointError(f"{tensor.file}: tensor {name!r} is cut short; {REMEDY}")
    return raw.view(NUMPY[tensor.dtype]).reshape(stop - start, *tensor.shape[1:])


def identify(cache: MlcCache, on_progress: OnProgress) -> dict[str, str]:
    """sha256 of the index and the shards, by name; CheckpointError for one whose md5 differs."""
    files = [cache.index, *cache.md5]
    total, done = sum(file.stat().st_size for file in files), 0
    digests = {}
    for file in files:
        sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        for block in _blocks(file):
            sha256.update(block)
            md5.update(block)
            done += len(block)
            on_progress(Progress("identify", done, total, "bytes"))
        if cache.md5.get(file) not in (None, md5.hexdigest()):
            raise CheckpointError(f"{file}: its md5 is not what the index says; {REMEDY}")
        digests[file.name] = sha256.hexdigest()
    return digests


def _blocks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while block := stream.read(HASH_NBYTES):
            yield block


def _shard(folder: Path, record: Mapping[str, Any]) -> Path:
    name = record["dataPath"]
    if not isinstance(name, str) or Path(name).name != name or name in ("", ".."):
        raise CheckpointError(f"{folder}: {name!r} is not a file beside the index; {REMEDY}")
    if record.get("format") != "raw-shard":
        raise UnsupportedError(
            f"{folder / name}: format {record.get('format')!r}; this version reads raw-shard"
        )
    if not (folder / name).is_file():
        raise CheckpointError(f"{folder / name}: missing; the index names it, {REMEDY}")
    return folder / name


def _tensor(file: Path, record: Mapping[str, Any]) -> MlcTensor:
    name, dtype, form = record["name"], record["dtype"], record.get("format", "raw")
    if form == SHORTENED and dtype == "float32":
        dtype = "bfloat16"
    elif form != "raw":
        raise UnsupportedError(f"{file}: tensor {name!r} has format {form!r}, which is not read")
    if dtype not in NUMPY:
        raise UnsupportedError(
            f"{file}: tensor {name!r} is {dtype!r}; this version reads {', '.join(NUMPY)}"
        )
    shape = tuple(int(size) for size in record["shape"])
    offset, nbytes = int(record["byteOffset"]), int(record["nbytes"])
    wanted = math.prod(shape) * np.dtype(NUMPY[dtype]).itemsize
    if min(shape, default=1) < 1 or len(shape) not in (1, 2, 3) or nbytes != wanted:
        raise CheckpointError(
            f"{file}: tensor {name!r} has {nbytes} bytes, its shape {list(shape)} as {dtype} "
            f"needs {wanted}; {REMEDY}"
        )
    if offset < 0 or offset + nbytes > file.stat().st_size:
        raise CheckpointError(f"{file}: cut short, or tensor {name!r} lies outside it; {REMEDY}")
    return MlcTensor(file, dtype, shape, offset)
