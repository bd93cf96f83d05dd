"""Attention of many tokens on a GPU: rows of queries against blocks of keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runtime.plan import Expr

from .kernel import Grid, LibraryKernel, Op, Profile, ceil_div, symbols, times
from .template import render

LANES, DOWN, DEEP = 16, 16, 2
"""Measured on an NVIDIA H200 over heads of 64 to 128."""
MOST_CHUNK = 8
"""Vectors of 4 columns that lie in workgroup memory at a time, at most."""


def tile_attention(op: Op, profile: Profile, values: Mapping[str, object]) -> LibraryKernel:
    """`attention` of n tokens; `values` say how the cache lies and which keys a token sees."""
    tile = AttentionTile(op.integer("head_dim") // 4)
    return render(
        op,
        profile,
        template="attention_tile",
        values={"softcap": "", **values, **tile.values()},
        grid=tile.grid(op.tokens, op.integer("heads"), op.integer("kv_heads")),
        writes=(4,),
        uniforms=symbols("n", "pos"),
        enables=("f16",) if values["kv"] == "f16" else (),
    )


@dataclass(frozen=True, slots=True)
class AttentionTile:
    """A workgroup's share for heads of `quads` times 4: DOWN times DEEP rows by 4 LANES keys.

    A row is a token and one of the query heads that share a KV head. What a workgroup keeps stays
    under 16 KiB for every head size.
    """

    quads: int

    @property
    def block(self) -> int:
        return DOWN * DEEP

    def values(self) -> dict[str, object]:
        """What the template is told."""
        keys = 4 * LANES
        chunk = max(d for d in range(1, MOST_CHUNK + 1) if self.quads % d == 0)
        scores = chunk * (self.block + 1 + keys + 1)
        return {
            "quads": self.quads,
            "lanes": LANES,
            "down": DOWN,
            "deep": DEEP,
            "block": self.block,
            "keys": keys,
            "threads": LANES * DOWN,
            "chunk": chunk,
            "columns": -(-self.quads // LANES),
            "whole": self.quads % LANES == 0,
            "tile_vectors": max(scores, LANES * (self.block + 1)),
        }

    def grid(self, tokens: Expr, heads: int, kv_heads: int) -> Grid:
        """KV heads across, blocks of rows down."""
        rows = times(tokens, heads // kv_heads)
        return Expr(kv_heads), ceil_div(rows, self.block), Expr(1)
