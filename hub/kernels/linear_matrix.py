"""Matrix products of many tokens on subgroup matrices: f16 operands, f32 sums, f32's accuracy.

An f32 is the sum of two f16 to about 2^-22, so a product of two f32 is three products of f16, the
fourth being too small to matter. Tokens are taken apart once, by a dispatch of their own, which
also scales each to the range of f16; weights where they are dequantized. One product alone would
be off by 1e-3 of the logits on small random models, as much as the halves of the KV cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runtime.plan import Expr

from ..schemes import GROUP
from .kernel import KernelSequence, Op, Profile, ceil_div, symbols, times
from .template import render

SIDE = 16
SUBGROUP = 32
HALVES_THREADS = 256


@dataclass(frozen=True, slots=True)
class MatrixTile:
    """What a workgroup does: `tokens` by `rows`, of which a subgroup has `deep` by `wide` squares
    of SIDE."""

    tokens: int
    rows: int
    deep: int
    wide: int

    def values(self) -> dict[str, object]:
        """What the template is told."""
        across = self.rows // (self.wide * SIDE)
        subgroups = across * self.tokens // (self.deep * SIDE)
        return {
            "tokens": self.tokens,
            "tile_rows": self.rows,
            "deep": self.deep,
            "wide": self.wide,
            "across": across,
            "subgroups": subgroups,
            "threads": subgroups * SUBGROUP,
        }


TILE = MatrixTile(tokens=128, rows=32, deep=2, wide=2)
"""Measured on an NVIDIA H200."""


def matrix_product(
    op: Op, profile: Profile, values: Mapping[str, object], *, outputs: int, bias: int, out: int
) -> KernelSequence:
    """`matmul` or `gate_up` of n tokens, whose template is told `values`; `bias` and `out` are the
    numbers of the op's first argument after the weights and of its last."""
    cols, gated = op.integer("cols"), bool(values["gated"])
    halves = render(
        op,
        profile,
        template="halves",
        values={"groups": cols // GROUP, "threads": HALVES_THREADS},
        grid=(op.tokens, Expr(1), Expr(1)),
        writes=(1, 2),
        enables=("f16",),
        part="halves",
    )
    block = TILE.rows // (2 if gated else 1)
    product = render(
        op,
        profile,
        template="linear_matrix",
        # The row itself makes way for its halves and its scale.
        values={
            **values,
            **TILE.values(),
            "outputs_tile": block,
            "bias_binding": bias + 1,
            "out_binding": out + 1,
        },
        grid=(ceil_div(Expr(outputs), block), ceil_div(op.tokens, TILE.tokens), Expr(1)),
        writes=(out + 1,),
        uniforms=symbols("n"),
        enables=("f16", "subgroups", "chromium_experimental_subgroup_matrix"),
        part="matrix",
    )
    padded = times(ceil_div(op.tokens, TILE.tokens), TILE.tokens)
    return KernelSequence(
        ((halves, (0, out + 1, out + 2)), (product, (out + 1, out + 2, *range(1, out + 1)))),
        (times(padded, 4 * cols), times(padded, 4)),
    )
