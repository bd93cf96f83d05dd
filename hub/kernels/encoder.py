"""Kernels of encoders: attention in both directions, and texts to vectors.

Texts lie one after the other in the rows of a call. `spans` i32[n, 2] are the first row of each
row's text and the one behind its last; `texts` i32[texts, 2] the same for each text.
"""

from __future__ import annotations

from runtime.plan import Expr

from .kernel import LibraryKernel, Op, Profile, ceil_div, symbols
from .template import render

ROWS, SOFTWARE_ROWS = 64, 16
"""Of a workgroup, each a thread's."""
TILE_QUADS = 256
"""Of the keys that a workgroup shares at a time, and of their values: 8 KiB together."""
MOST_QUADS = 32
"""A thread keeps two vectors of a head's size in registers."""
SMALLEST_NORM = 1e-12


def encoder_attention(op: Op, profile: Profile) -> LibraryKernel:
    """qkv f32[n, 3*H*D], spans i32[n, 2], out f32[n, H*D]: every row sees all rows of its text."""
    quads = op.integer("head_dim") // 4
    assert op.integer("head_dim") % 4 == 0 and quads <= MOST_QUADS, op
    threads = SOFTWARE_ROWS if profile.software else ROWS
    return render(
        op,
        profile,
        template="encoder_attention",
        values={
            "heads": op.integer("heads"),
            "quads": quads,
            "threads": threads,
            "keys": 1 if profile.software else TILE_QUADS // quads,
            "shared": not profile.software,
            "scale": f"{op.number('scale'):.9e}",
        },
        grid=(Expr(op.integer("heads")), ceil_div(op.tokens, threads), Expr(1)),
        writes=(2,),
        uniforms=symbols("n"),
    )


def pool(op: Op, profile: Profile) -> LibraryKernel:
    """x f32[n, cols], texts i32[texts, 2], out f32[texts, cols]: one vector a text."""
    assert op.integer("cols") % 4 == 0, op
    return render(
        op,
        profile,
        template="pool",
        values={
            "quads": op.integer("cols") // 4,
            "threads": 1 if profile.software else 64,
            "pooling": op.text("pooling"),
            "normalized": bool(op.attrs.get("normalized", False)),
            "smallest": f"{SMALLEST_NORM:.1e}",
        },
        grid=(Expr("texts"), Expr(1), Expr(1)),
        writes=(2,),
        any_n=True,
    )
