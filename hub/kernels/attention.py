"""The attention kernels over the paged KV cache: `rope_append` and `attention`.

Caches are [pages, kv_heads, page_size, head_dim] of f32 or f16; position p lies in page
`page_table[p // page_size]`, slot `p % page_size`. Token i of a call has position pos + i.
"""

from __future__ import annotations

from runtime.plan import Expr

from .attention_tiles import tile_attention
from .kernel import KernelSequence, LibraryKernel, Op, Profile, ceil_div, folded, symbols, times
from .template import render


def rope_append(op: Op, profile: Profile) -> LibraryKernel:
    """qkv f32[n, (H+2KV)*D], rope f32[context, D], page_table, k_cache, v_cache, out q f32[n, H*D].

    Half-split rotation: element d pairs with d + D/2; the table holds cosines, then sines.
    """
    values = _cache_values(op, profile)
    heads = op.integer("heads") + 2 * op.integer("kv_heads")
    threads = times(op.tokens, heads * (op.integer("head_dim") // 2))
    return render(
        op,
        profile,
        template="rope_append",
        values=values,
        grid=folded(ceil_div(threads, 64)),
        writes=(3, 4, 5),
        uniforms=symbols("n", "pos") if op.dynamic else symbols("pos"),
        enables=_enables(values),
    )


def attention(op: Op, profile: Profile) -> LibraryKernel | KernelSequence:
    """q f32[n, H*D], page_table, k_cache, v_cache, out f32[n, H*D]; causal, grouped-query.

    `window` > 0 limits a token to that many positions including its own. For one token a GPU
    splits the keys over workgroups and merges what they found (arXiv 2205.14135).
    """
    values = _cache_values(op, profile)
    values |= {"window": op.integer("window"), "scale": f"{op.number('scale'):.9e}"}
    if op.dynamic and not profile.software:
        return tile_attention(op, profile, values)
    if profile.software:
        return _whole(op, profile, values)
    return _split(op, profile, values, encoding="")


def packed_attention(op: Op, profile: Profile) -> KernelSequence:
    """`attention` for one token that packs its result for the next matrix (`packed.py`)."""
    values = _cache_values(op, profile)
    values |= {"window": op.integer("window"), "scale": f"{op.number('scale'):.9e}"}
    assert op.integer("head_dim") % 8 == 0 and not op.dynamic, op
    return _split(op, profile, values, encoding=op.text("encoding"))


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
        uniforms=symbols("pos"),
        enables=_enables(values),
        any_n=profile.software,
    )


def _attention_shape(op: Op, profile: Profile) -> dict[str, int]:
    """How a workgroup is cut: threads, keys a thread, heads together, columns and slices."""
    quads = op.integer("head_dim") // 4
    if profile.software:
        # Loads cost more than arithmetic: query heads of one group share every key and value.
        group = _largest_divisor(op.integer("heads") // op.integer("kv_heads"), 4)
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


def _split(op: Op, profile: Profile, values: dict[str, object], *, encoding: str) -> KernelSequence:
    """A share of the keys a workgroup, then one workgroup a head to merge the shares."""
    heads, head_dim = op.integer("heads"), op.integer("head_dim")
    shape = _split_shape(heads, op.integer("kv_heads"), head_dim // 4)
    splits = shape["splits"]
    share = render(
        op,
        profile,
        template="attention_split",
        values=values | shape,
        grid=(Expr(heads // shape["group"]), Expr(splits), Expr(1)),
        writes=(4, 5),
        uniforms=symbols("pos"),
        enables=_enables(values),
        part="split",
    )
    merge = render(
        op,
        profile,
        template="attention_merge",
        values=values
        | shape
        | {"threads": 128, "slices": 128 // shape["quads"], "encoding": encoding},
        grid=(Expr(heads), Expr(1), Expr(1)),
        writes=(2,),
        part="merge",
    )
    return KernelSequence(
        ((share, (0, 1, 2, 3, 5, 6)), (merge, (5, 6, 4))),
        (splits * heads * head_dim * 4, splits * heads * 8),
    )


def _split_shape(heads: int, kv_heads: int, quads: int) -> dict[str, int]:
    """How decode attention is cut; what a workgroup keeps stays under 16 KiB for every shape.

    Query heads of one KV head share its keys. The splits fill a large GPU several times over at
    any number of heads, and are few enough that a merge reads little.
    """
    assert quads <= 128, quads
    group = _largest_divisor(heads // kv_heads, 8 if quads <= 64 else 4)
    threads = 128 if group <= 4 else 64
    most_lanes = 8 if group <= 4 else 4
    lanes = min(most_lanes, 1 << (quads.bit_length() - 1))
    block = max(64 if group <= 2 else 32, threads // lanes)
    return {
        "quads": quads,
        "group": group,
        "splits": min(64, max(16, 256 * group // heads)),
        "threads": threads,
        "lanes": lanes,
        "block": block,
        "keys": block * lanes // threads,
        "stride": group * block + 32 // lanes,
        "slices": threads // quads,
    }


def _largest_divisor(number: int, most: int) -> int:
    return max(d for d in range(1, most + 1) if number % d == 0)


def _cache_values(op: Op, profile: Profile) -> dict[str, object]:
    kv = op.text("kv_dtype")
    assert kv == "f32" or (kv == "f16" and profile.f16), (op, profile)
    assert op.integer("head_dim") % 4 == 0 and op.integer("heads") % op.integer("kv_heads") == 0
    keys = ("heads", "kv_heads", "head_dim", "page_size")
    return {"kv": kv} | {key: op.integer(key) for key in keys}


def _enables(values: dict[str, object]) -> tuple[str, ...]:
    return ("f16",) if values["kv"] == "f16" else ()
