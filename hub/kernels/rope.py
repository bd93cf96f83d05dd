"""`rope_append`: norms and rotates queries and keys, appends keys and values to the paged cache.

Caches are [pages, kv_heads, page_size, head_dim] of f32 or f16; position p lies in page
`page_table[p // page_size]`, slot `p % page_size`. Token i of a call has position pos + i.

`rope_append_rows` is for tokens of different sequences: see `attention_operators.Batch`.
"""

from __future__ import annotations

from runtime.plan import Expr

from .decode_attention import batch_values, cache_values, enables
from .kernel import LibraryKernel, Op, Profile, ceil_div, folded, symbols, times
from .template import render


def rope_append(op: Op, profile: Profile) -> LibraryKernel:
    """qkv f32[n, (H+2KV)*D], (rope f32[context, table],) (q_norm, k_norm,) page_table, k_cache,
    v_cache, out q f32[n, H*D].

    Half-split rotation of the first `rotary` elements of a head: element d pairs with
    d + rotary/2; the table holds cosines, then sines. `qk_norm` "head" norms each head of q and k
    with weights f32[D]; "row" all of q and all of k with weights f32[H*D] and f32[KV*D]; "layer"
    and "layers" are layer norms, as `attention_operators.Heads` has them. With `growth` queries
    are multiplied by 1 + growth * log(1 + floor(position / every)).
    """
    head_dim = op.integer("head_dim")
    values = cache_values(op, profile) | {
        "rotary": op.integer("rotary", head_dim),
        "table": op.integer("table", head_dim),
        "growth": f"{op.number('growth'):.9e}" if "growth" in op.attrs else "",
        "every": op.integer("every", 1),
        **batch_values(op),
    }
    if "qk_norm" in op.attrs:
        return _normed(op, profile, values)
    heads = op.integer("heads") + 2 * op.integer("kv_heads")
    pairs = times(op.tokens, heads * (head_dim // 2))
    # Many tokens are tens of thousands of workgroups: starting those takes longer than the work.
    threads = 256 if op.dynamic and not profile.software else 64
    first = 1 if values["table"] else 0
    return render(
        op,
        profile,
        template="rope_append",
        values=values | {"threads": threads, "first": first},
        grid=folded(ceil_div(pairs, threads)),
        writes=(2 + first, 3 + first, 4 + first),
        uniforms=symbols(*(["n"] if op.dynamic else []), *([] if values["seats"] else ["pos"])),
        enables=enables(values),
    )


def _normed(op: Op, profile: Profile, values: dict[str, object]) -> LibraryKernel:
    """A workgroup a head of a token, which sums what the head is normed by."""
    kind = op.text("qk_norm")
    assert kind in ("head", "row", "layer", "layers"), kind
    # With a layer norm's weights eight buffers are bound, as many as every device can.
    assert values["table"] and not values["growth"], op
    values |= {"kind": kind, "eps": f"{op.number('eps'):.9e}"}
    # A head a thread keeps processors free of barriers.
    values |= {"threads": 1 if profile.software else 64}
    return render(
        op,
        profile,
        template="rope_append_normed",
        values=values,
        grid=(Expr(op.integer("heads") + 2 * op.integer("kv_heads")), op.tokens, Expr(1)),
        writes=(5, 6, 7),
        uniforms=() if values["seats"] else symbols("pos"),
        enables=enables(values),
        any_n=True,
    )
