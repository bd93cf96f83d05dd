"""Attention of encoders, in both directions: every row to all rows of its text.

Arguments and attributes: `hub/encoder_operators.py`. A work item is one head of one row, which
takes the rows of its text a block at a time, as `attention.py` takes pages.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from typing import Any

from tvm.tirx.script.builder import ir as B

from ...kernels.kernel import Op, times
from .attention import PagedAttention, Shape
from .kernel import CpuKernel, CpuProfile
from .vectors import Body, function, named, opaque

BLOCK = 16
"""Rows of a text that are taken at once."""


def encoder_attention(op: Op, profile: CpuProfile) -> CpuKernel | None:
    """qkv f32[n, 3*H*D], spans i32[n, 2], out f32[n, H*D]."""
    if set(op.attrs) - {"heads", "head_dim", "scale", "n"} or op.integer("head_dim") % 4:
        return None
    heads = op.integer("heads")
    shape = Shape(
        heads=heads,
        kv_heads=heads,
        head_dim=op.integer("head_dim"),
        page=BLOCK,
        window=0,
        scale=op.number("scale"),
        softcap=0.0,
        seats=0,
        stride=0,
    )
    name = named("encoder_attention", shape)
    return CpuKernel(name, function(_BothWays(shape).build), (2,), (), times(op.tokens, heads))


class _BothWays(PagedAttention):
    """The code of one shape; a block is the number of its first row."""

    def build(self, f: Body) -> None:
        shape = self._shape
        width = shape.heads * shape.head_dim
        qkv, spans, out = f.buffer(), f.buffer("int32"), f.buffer()
        with f.items() as item:
            token = opaque(B.truncdiv(item, shape.heads))
            column = opaque((item - token * shape.heads) * shape.head_dim)
            first, self._end_row = opaque(spans[token * 2]), opaque(spans[token * 2 + 1])
            self._begin(qkv, token * (3 * width) + column)
            with B.serial(0, B.truncdiv(self._end_row - first + BLOCK - 1, BLOCK)) as block:
                at = opaque(first + block * BLOCK)
                self._column = opaque(column + width)
                self._score(qkv, at, at, first, opaque(self._end_row - 1))
                self._column = opaque(column + 2 * width)
                self._weigh(qkv, at)
            self._end(out, token * width + column)

    def _row(self, at: Any, position: Any) -> Any:
        # Rows behind the text are not seen, and behind the last text there are none to read.
        row = B.min(at + position, self._end_row - 1)
        return opaque(row * (3 * self._shape.heads * self._shape.head_dim) + self._column)
