"""Attention of many tokens on a GPU: rows of queries against blocks of keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runtime.plan import Expr

from .kernel import Grid, LibraryKernel, Op, Profile, ceil_div, symbols, times
from .template import render

LANES = 16
MOST_CHUNK = 4


def tile_attention(op: Op, profile: Profile, values: Mapping[str, object]) -> LibraryKernel:
    """`attention` of n tokens; `values` say how the cache lies and which keys a token sees."""
    tile = attention_tile(op.integer("head_dim"))
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
    """A workgroup's share: `down` times `deep` rows by four times LANES keys.

    A row is a token and one of the query heads that share a KV head. What a workgroup keeps stays
    under 16 KiB for every head size.
    """

    quads: int
    down: int
    deep: int

    @property
    def block(self) -> int:
        return self.down * self.deep

    def values(self) -> dict[str, object]:
        """What the template is told."""
        keys = 4 * LANES
        chunk = max(d for d in range(1, MOST_CHUNK + 1) if self.quads % d == 0)
        scores = chunk * (self.block + 1 + keys + 1)
        return {
            "quads": self.quads,
            "lanes": LANES,
            "down": self.down,
            "deep": self.deep,
            "block": self.block,
            "keys": keys,
            "threads": LANES * self.down,
            "chunk": chunk,
            "columns": -(-self.quads // LANES),
            "whole": self.quads % LANES == 0,
            "tile_vectors": max(scores, LANES * (self.block + 1)),
        }

    def grid(self, tokens: Expr, heads: int, kv_heads: int) -> Grid:
        """KV heads across, blocks of rows down."""
        rows = times(tokens, heads // kv_heads)
        return Expr(kv_heads), ceil_div(rows, self.block), Expr(1)


def attention_tile(head_dim: int) -> AttentionTile:
    """The tile for a head size, measured on an NVIDIA H200: narrow heads want more threads."""
    quads = head_dim // 4
    return AttentionTile(quads, 16, 2) if quads <= 16 else AttentionTile(quads, 8, 4)
