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
from .kernel import KernelSequence, LibraryKernel, Op, Profile, ceil_div, symbols, times
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


LARGE = MatrixTile(tokens=256, rows=32, deep=4, wide=2)
SMALL = MatrixTile(tokens=128, rows=32, deep=2, wide=2)
"""Measured on an NVIDIA H200 with 512 tokens."""
MANY_ROWS = 4096
"""From here on there are workgroups enough of LARGE tiles, as far as tokens fill them."""
MANY_COLS = 4096
"""Beyond it a sum of all products would be off by more than 2e-5."""


def matrix_product(
    op: Op, profile: Profile, values: Mapping[str, object], *, outputs: int, bias: int, out: int
) -> KernelSequence:
    """`matmul` or `gate_up` of n tokens, whose template is told `values`; `bias` and `out` are the
    numbers of the op's first argument after the weights and of its last.

    Tokens that do not fill a LARGE tile go into SMALL ones.
    """
    cols, halved = op.integer("cols"), 2 if values["gated"] else 1
    arguments = (out + 1, out + 2, *range(1, out + 1))
    # The row itself makes way for its halves and its scale.
    told = {**values, "bias_binding": bias + 1, "out_binding": out + 1}
    product = _Product(op, profile, told, outputs, halved)
    n, size = op.tokens, Expr(LARGE.tokens)
    products: tuple[LibraryKernel, ...]
    if outputs * halved >= MANY_ROWS:
        tail = ceil_div(Expr(("%", n, size)), SMALL.tokens)
        products = (
            product.kernel(LARGE, Expr(("//", n, size)), part="matrix", apart=cols > MANY_COLS),
            product.kernel(SMALL, tail, part="matrix_tail", after=LARGE.tokens),
        )
    else:
        products = (product.kernel(SMALL, ceil_div(n, SMALL.tokens), part="matrix"),)
    padded = times(ceil_div(n, SMALL.tokens), SMALL.tokens)
    return KernelSequence(
        ((_halves(op, profile), (0, out + 1, out + 2)), *((p, arguments) for p in products)),
        (times(padded, 4 * cols), times(padded, 4)),
    )


def _halves(op: Op, profile: Profile) -> LibraryKernel:
    """x f32[n, cols], then halves f16 and scales f32[n], as its template lays them out."""
    return render(
        op,
        profile,
        template="halves",
        values={"groups": op.integer("cols") // GROUP, "threads": HALVES_THREADS},
        grid=(op.tokens, Expr(1), Expr(1)),
        writes=(1, 2),
        enables=("f16",),
        part="halves",
    )


@dataclass(frozen=True, slots=True)
class _Product:
    """A matrix product in one tile or another; `halved` rows of a tile make one column."""

    op: Op
    profile: Profile
    values: Mapping[str, object]
    outputs: int
    halved: int

    def kernel(
        self, tile: MatrixTile, tiles: Expr, *, part: str, apart: bool = True, after: int = 0
    ) -> LibraryKernel:
        """`tiles` of tokens; only those behind the last multiple of `after`, if that is not 0."""
        block = tile.rows // self.halved
        shape = tile.values() | {"outputs_tile": block, "apart": apart, "after": after}
        out = self.values["out_binding"]
        assert isinstance(out, int)
        return render(
            self.op,
            self.profile,
            template="linear_matrix",
            values={**self.values, **shape},
            grid=(ceil_div(Expr(self.outputs), block), tiles, Expr(1)),
            writes=(out,),
            uniforms=symbols("n"),
            enables=("f16", "subgroups", "chromium_experimental_subgroup_matrix"),
            part=part,
        )
