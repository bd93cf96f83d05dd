"""`copy_words`: one row of a buffer, from or to another."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from tvm.tirx.script.builder import ir as B

from runtime.plan import Expr

from ...kernels.kernel import Op
from .kernel import CpuKernel, CpuProfile
from .tokens import kernel, symbol
from .vectors import Body

TILE = 4096
"""Words of an item."""


def copy_words(op: Op, profile: CpuProfile) -> CpuKernel:
    """given, out: `words` words, from row `row` of one to the start of the other: the side named
    "row" is the one that has rows (`source` or `target`)."""
    words, from_row = op.integer("words"), op.text("source") == "row"
    assert from_row != (op.text("target") == "row"), op

    def build(f: Body) -> None:
        given, out = f.buffer("uint32"), f.buffer("uint32")
        first = f.scalar("row") * words
        with f.items() as tile, B.serial(0, B.min(TILE, words - tile * TILE)) as i:
            at = B.bind(tile * TILE + i)
            if from_row:
                B.buffer_store(out, given[first + at], [at])
            else:
                B.buffer_store(out, given[at], [first + at])

    items = Expr(-(-words // TILE))
    key = (words, from_row)
    return kernel("copy_words", build, (1,), key=key, uniforms=(symbol("row"),), items=items)
