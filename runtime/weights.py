"""The weight index: which bytes of which chunk make which tensor.

All tensors of a model form one virtual byte stream, in the order the device needs them; the stream
is cut into chunks of at most 16 MiB, each stored once under its sha256. A tensor may span chunks.
Padding between tensors (to 256 bytes) is zero.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import codec
from .errors import FormatError
from .plan import Dtype

WEIGHTS_FORMAT = 1
CHUNK_NBYTES = 16 * 1024 * 1024
TENSOR_ALIGNMENT = 256
REMEDY = "build the model again with `modelpress build`"


@dataclass(frozen=True, slots=True)
class Tensor:
    """A weight buffer: its name in the plan, element type, shape, and place in the stream."""

    name: str
    dtype: Dtype
    shape: tuple[int, ...]
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """`nbytes` of the stream from `offset`, stored as blobs/sha256/<first two>/<sha256>."""

    sha256: str
    offset: int
    nbytes: int

    @property
    def path(self) -> str:
        """Where the chunk lies, relative to the hub's root."""
        return blob_path(self.sha256)


@dataclass(frozen=True, slots=True)
class WeightIndex:
    """Tensors and chunks of one model in one scheme."""

    format: int
    nbytes: int
    tensors: tuple[Tensor, ...]
    chunks: tuple[Chunk, ...]

    @classmethod
    def loads(cls, text: str | bytes, where: str = "weights.json") -> WeightIndex:
        data = codec.loads(dict, text, where)
        codec.check_format(data, WEIGHTS_FORMAT, where, REMEDY)
        index: WeightIndex = codec.decode(cls, data, where)
        index.check(where)
        return index

    def dumps(self) -> str:
        return codec.dumps(self)

    def check(self, where: str = "weights.json") -> None:
        """Chunks tile the stream exactly; tensors lie inside it, aligned, without overlap."""
        end = 0
        for i, chunk in enumerate(self.chunks):
            if chunk.offset != end or not 0 < chunk.nbytes <= CHUNK_NBYTES:
                raise FormatError(f"{where}.chunks[{i}]", "chunks do not tile the stream")
            if len(chunk.sha256) != 64 or not set(chunk.sha256) <= set("0123456789abcdef"):
                raise FormatError(f"{where}.chunks[{i}].sha256", "not a sha256 in hexadecimal")
            end += chunk.nbytes
        if end != self.nbytes:
            raise FormatError(where, f"chunks hold {end} bytes, the index says {self.nbytes}")
        end = 0
        for i, tensor in enumerate(self.tensors):
            place = f"{where}.tensors[{i}]"
            if tensor.offset < end or tensor.offset % TENSOR_ALIGNMENT or tensor.nbytes % 4:
                raise FormatError(place, f"{tensor.name!r} overlaps or is not aligned")
            end = tensor.offset + tensor.nbytes
            if end > self.nbytes:
                raise FormatError(place, f"{tensor.name!r} ends after the last chunk")


def blob_path(sha256: str) -> str:
    """The path of a content-addressed blob, relative to the hub's root."""
    return f"blobs/sha256/{sha256[:2]}/{sha256}"
