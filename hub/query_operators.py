"""Operators of attention that others' keys and values are read by, as TIR; see `operators.py`.

Also what values are normed by where a model norms them.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import functools
from typing import Any

from tvm.tirx.script.builder import ir as B

from .attention_operators import Batch, Heads, Turning, named, places_of
from .tir import Function, dot, local, operator, reads_all


@functools.cache
def rope_queries(shape: Heads, context: int, batch: Batch | None = None) -> Any:
    """Norm and rotate q alone (half-split), for attention to what another layer has appended.

    (q f32[n, H*D], rope f32[context, table], [q_norm], pos, out f32[n, H*D]); where tokens are of
    sequences of their own, their table stands in the place of pos.
    """
    heads, head_dim = shape.heads, shape.head_dim

    def build(f: Function) -> None:
        given = f.tensor((f.n, heads * head_dim))
        rope = f.tensor((context, shape.table))
        gains = tuple(f.tensor((size,)) for size in shape.gains[:1])
        table = None if batch is None else f.tensor((batch.words,), "i32")
        places, q = places_of(f, table, batch), f.tensor((f.n, heads * head_dim))
        turning = Turning(shape, given, rope, gains)
        with B.grid(f.n, heads, head_dim // 2) as (i, h, d), B.sblock("rotate"):
            vi, vh, vd = B.axis.remap("SSS", [i, h, d])
            reads_all(given, rope, *gains, *([] if table is None else [table]))
            B.writes(q[vi, 0 : heads * head_dim])
            pos = places.before(vi)
            for value, at in turning.pair(vi, vh, vd, 0, pos):
                B.buffer_store(q, turning.grown(value, vi, pos), [vi, vh * head_dim + at])

    name, attrs = named("rope_queries", shape.attrs | {"context": context}, batch)
    return operator(name, attrs, build)


@functools.cache
def norm_values(heads: int, kv_heads: int, head_dim: int, eps: float) -> Any:
    """qkv with every head of values divided by its root mean square.

    (qkv f32[n, (H+2KV)*D], out of the same shape)
    """
    width, first = (heads + 2 * kv_heads) * head_dim, (heads + kv_heads) * head_dim

    def build(f: Function) -> None:
        qkv, out = f.tensor((f.n, width)), f.tensor((f.n, width))
        with B.grid(f.n, width) as (i, j), B.sblock("norm_values"):
            vi, vj = B.axis.remap("SS", [i, j])
            reads_all(qkv)
            B.writes(out[vi, vj])
            B.buffer_store(out, qkv[vi, vj], [vi, vj])
            with B.If(vj >= first), B.Then():
                acc, start = local(1), vj // head_dim * head_dim
                dot(acc, 0, head_dim, lambda k: qkv[vi, start + k] * qkv[vi, start + k])
                mean = acc[0] / B.float32(head_dim) + B.float32(eps)
                B.buffer_store(out, qkv[vi, vj] / B.sqrt(mean), [vi, vj])

    attrs = {"heads": heads, "kv_heads": kv_heads, "head_dim": head_dim, "eps": eps}
    return operator("norm_values", attrs, build)
