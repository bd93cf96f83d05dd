"""Kernels of layers that remember: the convolution, the gated delta rule, the norm of its heads.

What they compute, and where states lie: `linear_operators.py`.
"""

from __future__ import annotations

from runtime.plan import STATE_RING, Expr, Uniform

from .kernel import LibraryKernel, Op, Profile, ceil_div, symbols
from .template import render

CONV_TOKENS = 16
"""Of a thread, one after the other: as many rows are read as are computed, and a few before."""
TILE_TOKENS, TILE_THREADS = 8, 64
"""Tokens whose queries and keys a workgroup has at hand, and its threads."""
MOST_QUADS = 64
KEY_EPS = 1e-6


def causal_conv(op: Op, profile: Profile) -> LibraryKernel:
    """x f32[n, width], weight f32[channels * kernel], state f32[PLACES, kernel - 1, channels],
    out f32[n, channels]."""
    channels, threads = op.integer("channels"), 64
    return render(
        op,
        profile,
        template="causal_conv",
        values={
            "channels": channels,
            "width": op.integer("width"),
            "kernel": op.integer("kernel"),
            "tokens": CONV_TOKENS,
            "threads": threads,
            "ring": STATE_RING,
        },
        grid=(Expr(-(-channels // threads)), ceil_div(op.tokens, CONV_TOKENS), Expr(1)),
        writes=(2, 3),
        uniforms=_tokens(op),
        any_n=True,
    )


def delta_rule(op: Op, profile: Profile) -> LibraryKernel:
    """mixed f32[n, channels], rates f32[n, 2 * heads], decays f32[2 * heads], state f32[PLACES,
    heads, key_dim, value_dim], out f32[n, heads * value_dim]."""
    key_heads, heads = op.integer("key_heads"), op.integer("value_heads")
    dim, values = op.integer("key_dim"), op.integer("value_dim")
    assert dim % 4 == 0 and dim // 4 <= MOST_QUADS, op
    channels = 2 * key_heads * dim + heads * values
    assert channels % 4 == 0, op
    return render(
        op,
        profile,
        template="delta_rule",
        values={
            "heads": heads,
            "group": heads // key_heads,
            "quads": dim // 4,
            "values": values,
            "width": channels // 4,
            "keys": key_heads * dim // 4,
            # Half as many of wide heads: a workgroup keeps 16 KiB.
            "tokens": TILE_TOKENS if dim <= 128 else TILE_TOKENS // 2,
            "threads": TILE_THREADS,
            "shared": not profile.software,
            "ring": STATE_RING,
            "eps": f"{KEY_EPS:.1e}",
            "scale": f"{dim**-0.5:.9e}",
        },
        grid=(Expr(-(-values // TILE_THREADS)), Expr(heads), Expr(1)),
        writes=(3, 4),
        uniforms=_tokens(op),
        any_n=True,
    )


def _tokens(op: Op) -> tuple[Uniform, ...]:
    """How many there are and where: one text serves one token and many."""
    return (Uniform("u32", op.tokens), *symbols("pos"))


def gated_norm(op: Op, profile: Profile) -> LibraryKernel:
    """x f32[n, heads * dim], gates f32[n, width], weight f32[dim], out f32[n, heads * dim]."""
    heads, dim = op.integer("heads"), op.integer("dim")
    assert dim % 4 == 0 and op.integer("width") % 4 == 0 and op.integer("start") % 4 == 0, op
    return render(
        op,
        profile,
        template="gated_norm",
        values={
            "heads": heads,
            "quads": dim // 4,
            "width": op.integer("width") // 4,
            "start": op.integer("start") // 4,
            "threads": 1 if profile.software else 32,
            "eps": f"{op.number('eps'):.9e}",
        },
        grid=(Expr(heads), op.tokens, Expr(1)),
        writes=(3,),
        any_n=True,
    )
