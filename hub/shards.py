"""The weight stream cut into chunks: content-addressed blobs and the index over them.

At most one chunk and one buffer are in memory. It knows bytes and names, not schemes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from runtime.weights import (
    CHUNK_NBYTES,
    TENSOR_ALIGNMENT,
    WEIGHTS_FORMAT,
    Chunk,
    Tensor,
    WeightIndex,
    blob_path,
)

from .errors import HubError
from .files import write_blob, writing
from .stream import PressedBuffer

NUMPY_DTYPES = {"f32": np.float32, "f16": np.float16, "i32": np.int32, "u32": np.uint32}


class ChunkWriter:
    """Appends buffers to the stream and stores each full chunk; a context manager.

    When the block fails, the blobs that this writer added are removed again.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._open = bytearray()
        self._stored = 0
        self._tensors: list[Tensor] = []
        self._chunks: list[Chunk] = []
        self._added: list[str] = []

    def __enter__(self) -> ChunkWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.discard()

    @property
    def nbytes(self) -> int:
        """Bytes of the stream so far."""
        return self._stored + len(self._open)

    def append(self, buffer: PressedBuffer) -> None:
        """Add one buffer, aligned; OutputError when a chunk cannot be stored."""
        self._extend(bytes(-self.nbytes % TENSOR_ALIGNMENT))
        data = np.ascontiguousarray(buffer.data)
        tensor = Tensor(buffer.name, buffer.dtype, data.shape, self.nbytes, data.nbytes)
        self._extend(data.reshape(-1).view(np.uint8).data)
        self._tensors.append(tensor)

    def store(self, data: bytes) -> None:
        """Keep bytes that are no weights under their sha256; OutputError when that cannot be."""
        with writing(self._root):
            sha256, new = write_blob(self._root, data)
        if new:
            self._added.append(sha256)

    def finish(self) -> WeightIndex:
        """Store the last chunk and return the index."""
        if self._open:
            self._store()
        index = WeightIndex(WEIGHTS_FORMAT, self._stored, tuple(self._tensors), tuple(self._chunks))
        index.check()
        return index

    def discard(self) -> None:
        """Remove the blobs this writer added."""
        for sha256 in self._added:
            (self._root / blob_path(sha256)).unlink(missing_ok=True)

    def _extend(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            room = CHUNK_NBYTES - len(self._open)
            self._open += view[:room]
            view = view[room:]
            if len(self._open) == CHUNK_NBYTES:
                self._store()

    def _store(self) -> None:
        with writing(self._root):
            sha256, new = write_blob(self._root, self._open)
        if new:
            self._added.append(sha256)
        self._chunks.append(Chunk(sha256, self._stored, len(self._open)))
        self._stored += len(self._open)
        self._open = bytearray()


def read_buffers(root: Path, index: WeightIndex) -> Iterator[tuple[Tensor, NDArray[np.generic]]]:
    """Every tensor from its chunks, verified; HubError names a chunk that is missing or wrong."""
    chunks = iter(index.chunks)
    held, start = bytearray(), 0
    for tensor in index.tensors:
        end = tensor.offset + tensor.nbytes
        while start + len(held) < end:
            held += read_chunk(root, next(chunks))
        del held[: tensor.offset - start]
        raw = np.frombuffer(bytes(held[: tensor.nbytes]), dtype=NUMPY_DTYPES[tensor.dtype])
        del held[: tensor.nbytes]
        start = end
        yield tensor, raw.reshape(tensor.shape)


def read_chunk(root: Path, chunk: Chunk) -> bytes:
    """The bytes of a chunk; HubError when the blob is missing or not what its name says."""
    path = root / chunk.path
    if not path.is_file():
        raise HubError(f"{path}: chunk is missing; build the model again")
    data = path.read_bytes()
    if len(data) != chunk.nbytes or hashlib.sha256(data).hexdigest() != chunk.sha256:
        raise HubError(f"{path}: chunk is damaged; build the model again")
    return data


def write_chunks(buffers: Iterable[PressedBuffer], root: Path) -> WeightIndex:
    """Store a whole stream under `root` and return its index."""
    with ChunkWriter(root) as writer:
        for buffer in buffers:
            writer.append(buffer)
        return writer.finish()
