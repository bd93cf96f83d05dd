"""How the matrix kernels for many tokens are cut into tiles: a choice by the shape of the matrix.

A tile's operands go through workgroup memory a few columns at a time; its sums stay with the
threads. Large tiles read little and need a large matrix to fill a GPU with workgroups.
"""

from __future__ import annotations

from dataclasses import dataclass

SOME_ROWS, MANY_ROWS = 2048, 6144
"""From here on there are enough workgroups of MEDIUM tiles, and of WIDE ones."""


@dataclass(frozen=True, slots=True)
class Tile:
    """What a workgroup does: `tokens` by `rows` sums, of which a thread has `deep` by `wide`.

    `depth` columns of both operands lie in workgroup memory at a time.
    """

    tokens: int
    rows: int
    deep: int
    wide: int
    depth: int

    @property
    def threads(self) -> int:
        return (self.tokens // self.deep) * (self.rows // self.wide)

    def values(self) -> dict[str, object]:
        """What the template is told."""
        quads = self.depth // 4
        return {
            "tokens": self.tokens,
            "tile_rows": self.rows,
            "deep": self.deep,
            "wide": self.wide,
            "down": self.tokens // self.deep,
            "across": self.rows // self.wide,
            "quads": quads,
            "threads": self.threads,
            "turn": 8 // quads,
        }


NARROW = Tile(tokens=64, rows=32, deep=4, wide=4, depth=32)
MEDIUM = Tile(tokens=64, rows=64, deep=8, wide=4, depth=16)
WIDE = Tile(tokens=64, rows=128, deep=8, wide=8, depth=16)


def tile_for(rows: int) -> Tile:
    """The tile for a matrix of `rows` rows, measured on an NVIDIA H200 with 512 tokens.

    Tiles are in f32 for f16 profiles too: half as wide ones were no faster, and cost 5e-4 of the
    logits.
    """
    if rows < SOME_ROWS:
        return NARROW
    return MEDIUM if rows < MANY_ROWS else WIDE
