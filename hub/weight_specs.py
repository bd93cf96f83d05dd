"""What a family asks of a checkpoint: which tensors become which plan weights, in stream order.

A spec is pure description; `quantize.py` reads the checkpoint by it, `layers.py` binds the same
names in the Relax module, so the two cannot disagree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from runtime.plan import Dtype

from .schemes import Scheme, Schemes

BINDING_NBYTES = 128 * 1024 * 1024
"""WebGPU's default maxStorageBufferBindingSize: no weight buffer is larger."""


@dataclass(frozen=True, slots=True)
class RopeTable:
    """cos and sin of pos * inv_freq, as f32[length, 2 * len(inv_freq)]: cosines, then sines.

    The angle is the float32 product of position and frequency, as transformers computes it;
    both halves are multiplied by `scale`.
    """

    length: int
    inv_freq: tuple[float, ...]
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class WeightSpec:
    """One logical weight.

    kind "matrix": the checkpoint tensors `sources` concatenated along rows, [rows, cols], stored
    under the matrix's scheme; kind "vector": `sources` one after the other, f32[rows]; kind "rope":
    computed from `rope`.
    """

    name: str
    kind: Literal["matrix", "vector", "rope"]
    sources: tuple[str, ...]
    rows: int
    cols: int = 1
    rope: RopeTable | None = None
    offset: float = 0.0
    """Added to every element of a vector."""
    unit: int = 32
    """Rows of a matrix that no binding may part: those of one expert, where there are experts."""
    pinned: Scheme | None = None
    """The scheme of a matrix that is stored alike whatever the model's scheme is."""
    transposed: bool = False
    """Whether the checkpoint holds the sources of a matrix as [cols, rows]."""
    interleaved: int = 0
    """Heads, where the one source holds queries, keys and values head by head: its rows are
    [heads, 3, D], the weight's are [3, heads, D]."""

    flat: bool = False
    """Whether a vector's one source has further dimensions, which are read through."""

    def scheme(self, schemes: Schemes) -> Scheme:
        """How this matrix is stored."""
        return self.pinned or schemes.of(self.name)

    def parts(self, schemes: Schemes) -> tuple[Part, ...]:
        """The row ranges that each fit one binding; one part for all but huge matrices."""
        if self.kind != "matrix":
            return (Part(self.name, 0, self.rows),)
        buffers = self.scheme(schemes).buffers(self.rows, self.cols)
        row_nbytes = max(4 * math.prod(shape) for _, _, shape in buffers) // self.rows
        unit = self.unit
        most = max(unit, BINDING_NBYTES // max(row_nbytes, 1) // unit * unit)
        if self.rows <= most:
            return (Part(self.name, 0, self.rows),)
        count = -(-self.rows // most)
        size = -(-self.rows // count // unit) * unit
        starts = range(0, self.rows, size)
        return tuple(
            Part(f"{self.name}.{i}", start, min(size, self.rows - start))
            for i, start in enumerate(starts)
        )

    def tensors(self, schemes: Schemes) -> tuple[tuple[str, Dtype, tuple[int, ...]], ...]:
        """(buffer name, element type, shape) of everything stored for this weight, in order.

        A matrix part gives `<part>.w` or `<part>.q` and `<part>.s`; others just their name.
        """
        if self.kind == "vector":
            return ((self.name, "f32", (self.rows,)),)
        if self.kind == "rope":
            assert self.rope is not None
            return ((self.name, "f32", (self.rope.length, 2 * len(self.rope.inv_freq))),)
        return tuple(
            (f"{part.name}.{suffix}", dtype, shape)
            for part in self.parts(schemes)
            for suffix, dtype, shape in self.scheme(schemes).buffers(part.rows, self.cols)
        )


@dataclass(frozen=True, slots=True)
class Part:
    """Rows [start, start + rows) of a weight, in buffers named after `name`."""

    name: str
    start: int
    rows: int
