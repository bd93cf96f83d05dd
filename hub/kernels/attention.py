"""Attention over the paged KV cache; `rope.py` fills it.

Caches are [pages, kv_heads, page_size, head_dim] of f32 or f16; position p lies in page
`page_table[p // page_size]`, slot `p % page_size`. Token i of a call has position pos + i.
"""

from __future__ import annotations

from runtime.plan import Expr

from .attention_tiles import tile_attention
from .decode_attention import (
    batch_values,
    cache_values,
    enables,
    largest_divisor,
    split_attention,
)
from .kernel import KernelSequence, LibraryKernel, Op, Profile, symbols
from .template import render


def attention(op: Op, profile: Profile) -> LibraryKernel | KernelSequence:
    """q f32[n, H*D], page_table, k_cache, v_cache, out f32[n, H*D]; causal, grouped-query.

    `window` > 0 limits a token to that many positions including its own. For one token a GPU
    splits the keys over workgroups and merges what they found (arXiv 2205.14135), unless scores
    are held within a `softcap`. `attention_rows` is for tokens of different sequences: see
    `attention_operators.Batch`.
    """
    values = cache_values(op, profile) | batch_values(op)
    values |= {"window": op.integer("window"), "scale": f"{op.number('scale'):.9e}"}
    values |= {"softcap": f"{op.number('softcap'):.9e}" if "softcap" in op.attrs else ""}
    if op.dynamic and not profile.software and not values["seats"]:
        return tile_attention(op, profile, values)
    if profile.software or values["softcap"]:
        return _whole(op, profile, values)
    return split_attention(op, profile, values)


def _whole(op: Op, profile: Profile, values: dict[str, object]) -> LibraryKernel:
    shape = _attention_shape(op, profile)
    values |= shape
    return render(
        op,
        profile,
        template="attention",
        values=values,
        grid=(Expr(op.integer("heads") // shape["group"]), op.tokens, Expr(1)),
        writes=(4,),
        uniforms=() if values["seats"] else symbols("pos"),
        enables=enables(values),
        any_n=profile.software or bool(values["seats"]),
    )


def _attention_shape(op: Op, profile: Profile) -> dict[str, int]:
    """How a workgroup is cut: threads, keys a thread, heads together, columns and slices."""
    quads = op.integer("head_dim") // 4
    if profile.software:
        # Loads cost more than arithmetic: query heads of one group share every key and value.
        group = largest_divisor(op.integer("heads") // op.integer("kv_heads"), 4)
        threads, keys = 16, 2
    else:
        group, keys = 1, 1
        threads = 64
    return {
        "quads": quads,
        "group": group,
        "threads": threads,
        "keys": keys,
        "columns": -(-quads // threads),
        "slices": max(1, threads // quads),
    }
