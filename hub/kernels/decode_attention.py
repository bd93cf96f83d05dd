"""Attention of one token on a GPU, in two dispatches: shares of the keys, then their merge.

Splitting the keys over workgroups: arXiv 2205.14135 and its decoding form. How many shares there
are follows from the position at run time: each is at least a block of keys, and a workgroup that
has none of them leaves at once.
"""

from __future__ import annotations

from collections.abc import Mapping

from runtime.plan import Expr

from .kernel import KernelSequence, Op, Profile, symbols, times
from .template import render

BLOCKS = {4: 32, 8: 16}
"""Positions a workgroup scores at a time, at least, by how many query heads it does at most."""
LEAST_SPLITS, MOST_SPLITS = 32, 64


def decode_attention(op: Op, profile: Profile) -> KernelSequence:
    """`rope_append` and `attention` of one token together, the result packed (`packed.py`).

    qkv f32[1, (H+2KV)*D], rope f32[context, D], page_table, k_cache, v_cache, packed row of H*D
    columns under `encoding`.
    """
    values = cache_values(op, profile) | batch_values(op)
    values |= {"window": op.integer("window"), "scale": f"{op.number('scale'):.9e}"}
    return split_attention(op, profile, values, encoding=op.text("encoding"))


def split_attention(
    op: Op, profile: Profile, values: Mapping[str, object], *, encoding: str = ""
) -> KernelSequence:
    """A share of the keys a workgroup, then one workgroup a head to merge the shares.

    With an `encoding` the arguments are those of `decode_attention`, without one those of
    `attention`.
    """
    heads, head_dim, fused = op.integer("heads"), op.integer("head_dim"), bool(encoding)
    rows = bool(values["seats"])
    assert op.dynamic == rows and op.integer("page_size") % 2 == 0, op
    assert head_dim % 8 == 0 or not fused, op
    shape = _shape(heads, op.integer("kv_heads"), head_dim // 4)
    splits = shape["splits"]
    share = render(
        op,
        profile,
        template="attention_split",
        values={**values, **shape, "fused": fused, "ahead": _ahead(shape, str(values["kv"]))},
        grid=(Expr(heads // shape["group"]), Expr(splits), op.tokens),
        writes=(3, 4, 5, 6) if fused else (4, 5),
        uniforms=() if rows else symbols("pos"),
        enables=enables(values),
        part="split",
    )
    merge = render(
        op,
        profile,
        template="attention_merge",
        values={
            **values,
            **shape,
            "threads": 128,
            "slices": 128 // shape["quads"],
            "encoding": encoding,
        },
        grid=(Expr(heads), op.tokens, Expr(1)),
        writes=(2,),
        uniforms=() if rows else symbols("pos"),
        part="merge",
    )
    arguments = 6 if fused else 5
    sums, stats = arguments, arguments + 1
    return KernelSequence(
        (
            (share, (*range(arguments - 1), sums, stats)),
            (merge, (sums, stats, arguments - 1, *([1] if rows else []))),
        ),
        tuple(_of_rows(op, size) for size in (splits * heads * head_dim * 4, splits * heads * 8)),
    )


def _of_rows(op: Op, nbytes: int) -> int | Expr:
    return times(op.tokens, nbytes) if op.dynamic else nbytes


def _shape(heads: int, kv_heads: int, quads: int) -> dict[str, int]:
    """How decode attention is cut; what a workgroup keeps stays under 16 KiB for every shape.

    Query heads of one KV head share its keys. The splits fill a large GPU several times over at
    any number of heads, and are few enough that a merge reads little.
    """
    assert quads <= 128, quads
    group = largest_divisor(heads // kv_heads, 8 if quads <= 64 else 4)
    threads = 128 if group <= 4 else 64
    most_lanes = 8 if group <= 4 else 4
    lanes = min(most_lanes, 1 << (quads.bit_length() - 1))
    block = max(BLOCKS[4 if group <= 4 else 8], threads // lanes)
    slices = threads // quads
    return {
        "quads": quads,
        "group": group,
        "splits": min(MOST_SPLITS, max(LEAST_SPLITS, 256 * group // heads)),
        "threads": threads,
        "lanes": lanes,
        "block": block,
        "keys": block * lanes // threads,
        "turns": -(-quads // lanes),
        "values": -(-block // slices),
        "stride": group * block + 32 // lanes,
        "slices": slices,
    }


def _ahead(shape: Mapping[str, int], kv: str) -> bool:
    """Whether a thread's registers hold the next block as well as this one."""
    words = (shape["keys"] * shape["turns"] + shape["values"]) * (2 if kv == "f16" else 4)
    return words <= 32


def largest_divisor(number: int, most: int) -> int:
    """The largest divisor of `number` up to `most`."""
    return max(d for d in range(1, most + 1) if number % d == 0)


def cache_values(op: Op, profile: Profile) -> dict[str, object]:
    """What every kernel over the paged cache knows of its layout."""
    kv = op.text("kv_dtype")
    assert kv == "f32" or (kv == "f16" and profile.f16), (op, profile)
    assert op.integer("head_dim") % 4 == 0 and op.integer("heads") % op.integer("kv_heads") == 0
    keys = ("heads", "kv_heads", "head_dim", "page_size")
    return {"kv": kv} | {key: op.integer(key) for key in keys}


def batch_values(op: Op) -> dict[str, int]:
    """How many sequences the tokens may be of, and the most pages of one; 0 where it is one."""
    rows = op.name.endswith("_rows")
    return {"seats": op.integer("seats") if rows else 0, "row_pages": op.integer("stride", 0)}


def enables(values: Mapping[str, object]) -> tuple[str, ...]:
    """The WGSL extensions that a cache of halves needs."""
    return ("f16",) if values["kv"] == "f16" else ()
