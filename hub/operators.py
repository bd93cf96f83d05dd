"""The operators models are made of, as TIR: what each one computes, before any tuning.

Each function returns a PrimFunc written for clarity: one block per output element, a serial loop
inside, sums in float32. It runs as it is on llvm (the oracle), is what a device gets when the
kernel library has nothing for it, and carries the attributes `modelpress.op` and
`modelpress.attrs` (JSON) by which the library finds it. Weight layouts: `schemes.py`.

The number of tokens `n` is always symbolic here; whoever lowers a call knows whether it is 1.
Parameters come in the order: tensors read, tensors written in place, `pos`, fresh outputs.
"""

# ruff: noqa: E501, F722, F821  (TVMScript is not plain Python)
# mypy: ignore-errors

from __future__ import annotations

import functools
import json
from collections.abc import Mapping

import tvm
from tvm.script import tirx as T

OP_ATTR = "modelpress.op"
ATTRS_ATTR = "modelpress.attrs"
OPAQUE_PATTERN = 8


def _tagged(func: tvm.tirx.PrimFunc, op: str, attrs: Mapping[str, object]) -> tvm.tirx.PrimFunc:
    text = json.dumps(dict(attrs), sort_keys=True)
    func = func.without_attr("global_symbol") if "global_symbol" in func.attrs else func
    return (
        func.with_attr(OP_ATTR, op)
        .with_attr(ATTRS_ATTR, text)
        .with_attr("op_pattern", OPAQUE_PATTERN)
    )


def _half(word, high):
    """The f16 in the low or high half of a u32 word, as float32: exponent moved by a product."""
    bits = T.bitwise_and(T.shift_right(word, high * T.uint32(16)), T.uint32(0xFFFF))
    sign = T.shift_left(T.bitwise_and(bits, T.uint32(0x8000)), T.uint32(16))
    rest = T.shift_left(T.bitwise_and(bits, T.uint32(0x7FFF)), T.uint32(13))
    magnitude = T.reinterpret("float32", rest) * T.float32(2.0**112)
    return T.if_then_else(sign == T.uint32(0), magnitude, -magnitude)


def _scale(s, row, k, cols):
    index = row * (cols // 32) + k // 32
    return _half(s[index // 2], T.Cast("uint32", index % 2))


def _element(scheme, weights, row, k, cols):
    """Element (row, k) of a stored matrix, dequantized."""
    if scheme == "f32":
        return weights[0][row, k]
    if scheme == "f16":
        return _half(weights[0][row, k // 2], T.Cast("uint32", k % 2))
    if scheme == "q8":
        shift = T.Cast("uint32", k % 4 * 8)
        byte = T.bitwise_and(T.shift_right(weights[0][row, k // 4], shift), T.uint32(0xFF))
        value = T.Cast("int32", byte)
        signed = T.if_then_else(value > 127, value - 256, value)
        return T.Cast("float32", signed) * _scale(weights[1], row, k, cols)
    shift = T.Cast("uint32", k % 4 * 8 + k % 8 // 4 * 4)
    nibble = T.bitwise_and(T.shift_right(weights[0][row, k // 8], shift), T.uint32(0xF))
    return T.Cast("float32", T.Cast("int32", nibble) - 8) * _scale(weights[1], row, k, cols)


def _weight_shapes(scheme, rows, cols):
    """((shape, dtype) of the first buffer, of the second or None)."""
    if scheme == "f32":
        return (rows, cols), "float32", None
    if scheme == "f16":
        return (rows, cols // 2), "uint32", None
    return (rows, cols // (4 if scheme == "q8" else 8)), "uint32", ((rows * (cols // 32) + 1) // 2,)


@functools.cache
def embedding(scheme: str, rows: int, cols: int, start: int, total: int):
    """out[i] = row ids[i] of the table, for ids in [start, start + rows); other rows are left.

    (ids i32[n], weights..., out f32[n, cols])
    """
    shape, dtype, scales = _weight_shapes(scheme, rows, cols)

    if scales is None:

        @T.prim_func(private=True, s_tir=True)
        def func(p_ids: T.handle, p_w: T.handle, p_out: T.handle):
            n = T.int64()
            ids = T.match_buffer(p_ids, (n,), "int32")
            w = T.match_buffer(p_w, shape, dtype)
            out = T.match_buffer(p_out, (n, cols), "float32")
            for i, j in T.grid(n, cols):
                with T.sblock("embedding"):
                    vi, vj = T.axis.remap("SS", [i, j])
                    T.reads(ids[vi], w[0:rows, 0 : shape[1]])
                    T.writes(out[vi, vj])
                    if T.min(T.max(ids[vi], 0), total - 1) >= start and T.min(T.max(ids[vi], 0), total - 1) < start + rows:
                        out[vi, vj] = _element(scheme, (w,), T.min(T.max(ids[vi], 0), total - 1) - start, vj, cols)
    else:

        @T.prim_func(private=True, s_tir=True)
        def func(p_ids: T.handle, p_q: T.handle, p_s: T.handle, p_out: T.handle):
            n = T.int64()
            ids = T.match_buffer(p_ids, (n,), "int32")
            q = T.match_buffer(p_q, shape, dtype)
            s = T.match_buffer(p_s, scales, "uint32")
            out = T.match_buffer(p_out, (n, cols), "float32")
            for i, j in T.grid(n, cols):
                with T.sblock("embedding"):
                    vi, vj = T.axis.remap("SS", [i, j])
                    T.reads(ids[vi], q[0:rows, 0 : shape[1]], s[0 : scales[0]])
                    T.writes(out[vi, vj])
                    if T.min(T.max(ids[vi], 0), total - 1) >= start and T.min(T.max(ids[vi], 0), total - 1) < start + rows:
                        out[vi, vj] = _element(scheme, (q, s), T.min(T.max(ids[vi], 0), total - 1) - start, vj, cols)

    attrs = {"scheme": scheme, "rows": rows, "cols": cols, "start": start, "total": total}
    return _tagged(func, "embedding", attrs)


@functools.cache
def matmul(scheme: str, rows: int, cols: int, start: int, out_cols: int, epilogue: str):
    """out[:, start:start+rows] = x @ W^T, plus residual's same columns when epilogue is "add".

    (x f32[n, cols], weights..., [residual f32[n, out_cols]], out f32[n, out_cols])
    """
    shape, dtype, scales = _weight_shapes(scheme, rows, cols)

    if scales is None and epilogue == "none":

        @T.prim_func(private=True, s_tir=True)
        def func(p_x: T.handle, p_w: T.handle, p_out: T.handle):
            n = T.int64()
            x = T.match_buffer(p_x, (n, cols), "float32")
            w = T.match_buffer(p_w, shape, dtype)
            out = T.match_buffer(p_out, (n, out_cols), "float32")
            for i, j in T.grid(n, rows):
                with T.sblock("matmul"):
                    vi, vj = T.axis.remap("SS", [i, j])
                    T.reads(x[vi, 0:cols], w[vj, 0 : shape[1]])
                    T.writes(out[vi, start + vj])
                    acc = T.sblock_alloc_buffer((1,), "float32", scope="local")
                    acc[0] = T.float32(0)
                    for k in range(cols):
                        acc[0] = acc[0] + x[vi, k] * _element(scheme, (w,), vj, k, cols)
                    out[vi, start + vj] = acc[0]

    elif scales is None:

        @T.prim_func(private=True, s_tir=True)
        def func(p_x: T.handle, p_w: T.handle, p_r: T.handle, p_out: T.handle):
            n = T.int64()
            x = T.match_buffer(p_x, (n, cols), "float32")
            w = T.match_buffer(p_w, shape, dtype)
            r = T.match_buffer(p_r, (n, out_cols), "float32")
            out = T.match_buffer(p_out, (n, out_cols), "float32")
            for i, j in T.grid(n, rows):
                with T.sblock("matmul"):
                    vi, vj = T.axis.remap("SS", [i, j])
                    T.reads(x[vi, 0:cols], w[vj, 0 : shape[1]], r[vi, start + vj])
                    T.writes(out[vi, start + vj])
                    acc = T.sblock_alloc_buffer((1,), "float32", scope="local")
                    acc[0] = T.float32(0)
                    for k in range(cols):
                        acc[0] = acc[0] + x[vi, k] * _element(scheme, (w,), vj, k, cols)
                    out[vi, start + vj] = acc[0] + r[vi, start + vj]

    elif epilogue == "none":

        @T.prim_func(private=True, s_tir=True)
        def func(p_x: T.handle, p_q: T.handle, p_s: T.handle, p_out: T.handle):
            n = T.int64()
            x = T.match_buffer(p_x, (n, cols), "float32")
            q = T.match_buffer(p_q, shape, dtype)
            s = T.match_buffer(p_s, scales, "uint32")
            out = T.match_buffer(p_out, (n, out_cols), "float32")
            for i, j in T.grid(n, rows):
                with T.sblock("matmul"):
                    vi, vj = T.axis.remap("SS", [i, j])
                    T.reads(x[vi, 0:cols], q[vj, 0 : shape[1]], s[0 : scales[0]])
                    T.writes(out[vi, start + vj])
                    acc = T.sblock_alloc_buffer((1,), "float32", scope="local")
                    acc[0] = T.float32(0)
                    for k in range(cols):
                        acc[0] = acc[0] + x[vi, k] * _element(scheme, (q, s), vj, k, cols)
                    out[vi, start + vj] = acc[0]

    else:

        @T.prim_func(private=True, s_tir=True)
        def func(p_x: T.handle, p_q: T.handle, p_s: T.handle, p_r: T.handle, p_out: T.handle):
            n = T.int64()
            x = T.match_buffer(p_x, (n, cols), "float32")
            q = T.match_buffer(p_q, shape, dtype)
            s = T.match_buffer(p_s, scales, "uint32")
            r = T.match_buffer(p_r, (n, out_cols), "float32")
            out = T.match_buffer(p_out, (n, out_cols), "float32")
            for i, j in T.grid(n, rows):
                with T.sblock("matmul"):
                    vi, vj = T.axis.remap("SS", [i, j])
                    T.reads(x[vi, 0:cols], q[vj, 0 : shape[1]], s[0 : scales[0]], r[vi, start + vj])
                    T.writes(out[vi, start + vj])
                    acc = T.sblock_alloc_buffer((1,), "float32", scope="local")
                    acc[0] = T.float32(0)
                    for k in range(cols):
                        acc[0] = acc[0] + x[vi, k] * _element(scheme, (q, s), vj, k, cols)
                    out[vi, start + vj] = acc[0] + r[vi, start + vj]

    attrs = {
        "scheme": scheme,
        "rows": rows,
        "cols": cols,
        "start": start,
        "out_cols": out_cols,
        "epilogue": epilogue,
    }
    return _tagged(func, "matmul", attrs)


@functools.cache
def gate_up(scheme: str, rows: int, cols: int):
    """out = silu(x @ G^T) * (x @ U^T); the weight's first half of rows is G, the second U.

    (x f32[n, cols], weights..., out f32[n, rows / 2])
    """
    shape, dtype, scales = _weight_shapes(scheme, rows, cols)
    half = rows // 2

    if scales is None:

        @T.prim_func(private=True, s_tir=True)
        def func(p_x: T.handle, p_w: T.handle, p_out: T.handle):
            n = T.int64()
            x = T.match_buffer(p_x, (n, cols), "float32")
            w = T.match_buffer(p_w, shape, dtype)
            out = T.match_buffer(p_out, (n, half), "float32")
            for i, j in T.grid(n, half):
                with T.sblock("gate_up"):
                    vi, vj = T.axis.remap("SS", [i, j])
                    T.reads(x[vi, 0:cols], w[0:rows, 0 : shape[1]])
                    T.writes(out[vi, vj])
                    acc = T.sblock_alloc_buffer((2,), "float32", scope="local")
                    acc[0] = T.float32(0)
                    acc[1] = T.float32(0)
                    for k in range(cols):
                        acc[0] = acc[0] + x[vi, k] * _element(scheme, (w,), vj, k, cols)
                        acc[1] = acc[1] + x[vi, k] * _element(scheme, (w,), vj + half, k, cols)
                    out[vi, vj] = acc[0] / (T.float32(1) + T.exp(T.min(-acc[0], T.float32(80)))) * acc[1]

    else:

        @T.prim_func(private=True, s_tir=True)
        def func(p_x: T.handle, p_q: T.handle, p_s: T.handle, p_out: T.handle):
            n = T.int64()
            x = T.match_buffer(p_x, (n, cols), "float32")
            q = T.match_buffer(p_q, shape, dtype)
            s = T.match_buffer(p_s, scales, "uint32")
            out = T.match_buffer(p_out, (n, half), "float32")
            for i, j in T.grid(n, half):
                with T.sblock("gate_up"):
                    vi, vj = T.axis.remap("SS", [i, j])
                    T.reads(x[vi, 0:cols], q[0:rows, 0 : shape[1]], s[0 : scales[0]])
                    T.writes(out[vi, vj])
                    acc = T.sblock_alloc_buffer((2,), "float32", scope="local")
                    acc[0] = T.float32(0)
                    acc[1] = T.float32(0)
                    for k in range(cols):
                        acc[0] = acc[0] + x[vi, k] * _element(scheme, (q, s), vj, k, cols)
                        acc[1] = acc[1] + x[vi, k] * _element(scheme, (q, s), vj + half, k, cols)
                    out[vi, vj] = acc[0] / (T.float32(1) + T.exp(T.min(-acc[0], T.float32(80)))) * acc[1]

    attrs = {"scheme": scheme, "rows": rows, "cols": cols, "activation": "silu"}
    return _tagged(func, "gate_up", attrs)


@functools.cache
def rms_norm(cols: int, eps: float):
    """out = x / sqrt(mean(x^2) + eps) * weight.   (x f32[n, cols], weight f32[cols], out)"""

    @T.prim_func(private=True, s_tir=True)
    def func(p_x: T.handle, p_w: T.handle, p_out: T.handle):
        n = T.int64()
        x = T.match_buffer(p_x, (n, cols), "float32")
        w = T.match_buffer(p_w, (cols,), "float32")
        out = T.match_buffer(p_out, (n, cols), "float32")
        for i in range(n):
            with T.sblock("rms_norm"):
                vi = T.axis.spatial(n, i)
                T.reads(x[vi, 0:cols], w[0:cols])
                T.writes(out[vi, 0:cols])
                acc = T.sblock_alloc_buffer((1,), "float32", scope="local")
                acc[0] = T.float32(0)
                for k in range(cols):
                    acc[0] = acc[0] + x[vi, k] * x[vi, k]
                acc[0] = T.float32(1) / T.sqrt(acc[0] / T.float32(cols) + T.float32(eps))
                for k in range(cols):
                    out[vi, k] = x[vi, k] * acc[0] * w[k]

    return _tagged(func, "rms_norm", {"cols": cols, "eps": eps})


@functools.cache
def last_row(cols: int):
    """out[0] = x[n - 1].   (x f32[n, cols], out f32[1, cols])"""

    @T.prim_func(private=True, s_tir=True)
    def func(p_x: T.handle, p_out: T.handle):
        n = T.int64()
        x = T.match_buffer(p_x, (n, cols), "float32")
        out = T.match_buffer(p_out, (1, cols), "float32")
        for j in range(cols):
            with T.sblock("last_row"):
                vj = T.axis.spatial(cols, j)
                T.reads(x[0:n, vj])
                T.writes(out[0, vj])
                out[0, vj] = x[n - 1, vj]

    return _tagged(func, "last_row", {"cols": cols})


@functools.cache
def rope_append(
    heads: int, kv_heads: int, head_dim: int, page_size: int, kv_dtype: str, context: int
):
    """Rotate q and k (half-split), write k and v at positions pos.. into their pages.

    (qkv f32[n, (H+2KV)*D], rope f32[context, D], page_table i32[pages], k_cache, v_cache, pos,
    q f32[n, H*D]); caches [pages, KV, page_size, D] of kv_dtype.
    """
    half = head_dim // 2
    width = (heads + 2 * kv_heads) * head_dim
    k_base = heads * head_dim
    v_base = (heads + kv_heads) * head_dim
    kv_type = {"f32": "float32", "f16": "float16"}[kv_dtype]

    @T.prim_func(private=True, s_tir=True)
    def func(
        p_qkv: T.handle,
        p_rope: T.handle,
        p_table: T.handle,
        p_k: T.handle,
        p_v: T.handle,
        pos: T.int64,
        p_q: T.handle,
    ):
        n = T.int64()
        pages = T.int64()
        qkv = T.match_buffer(p_qkv, (n, width), "float32")
        rope = T.match_buffer(p_rope, (context, head_dim), "float32")
        table = T.match_buffer(p_table, (pages,), "int32")
        kc = T.match_buffer(p_k, (pages, kv_heads, page_size, head_dim), kv_type)
        vc = T.match_buffer(p_v, (pages, kv_heads, page_size, head_dim), kv_type)
        q = T.match_buffer(p_q, (n, heads * head_dim), "float32")
        for i, h, d in T.grid(n, heads, half):
            with T.sblock("rotate_q"):
                vi, vh, vd = T.axis.remap("SSS", [i, h, d])
                T.reads(qkv[vi, 0:width], rope[0:context, 0:head_dim])
                T.writes(q[vi, 0 : heads * head_dim])
                q[vi, vh * head_dim + vd] = (
                    qkv[vi, vh * head_dim + vd] * rope[pos + vi, vd]
                    - qkv[vi, vh * head_dim + vd + half] * rope[pos + vi, vd + half]
                )
                q[vi, vh * head_dim + vd + half] = (
                    qkv[vi, vh * head_dim + vd + half] * rope[pos + vi, vd]
                    + qkv[vi, vh * head_dim + vd] * rope[pos + vi, vd + half]
                )
        for i, h, d in T.grid(n, kv_heads, half):
            with T.sblock("append"):
                vi, vh, vd = T.axis.remap("SSS", [i, h, d])
                T.reads(qkv[vi, 0:width], rope[0:context, 0:head_dim], table[0:pages])
                T.writes(kc[0:pages, vh, 0:page_size, 0:head_dim], vc[0:pages, vh, 0:page_size, 0:head_dim])
                kc[table[(pos + vi) // page_size], vh, (pos + vi) % page_size, vd] = T.Cast(
                    kv_type,
                    qkv[vi, k_base + vh * head_dim + vd] * rope[pos + vi, vd]
                    - qkv[vi, k_base + vh * head_dim + vd + half] * rope[pos + vi, vd + half],
                )
                kc[table[(pos + vi) // page_size], vh, (pos + vi) % page_size, vd + half] = T.Cast(
                    kv_type,
                    qkv[vi, k_base + vh * head_dim + vd + half] * rope[pos + vi, vd]
                    + qkv[vi, k_base + vh * head_dim + vd] * rope[pos + vi, vd + half],
                )
                vc[table[(pos + vi) // page_size], vh, (pos + vi) % page_size, vd] = T.Cast(
                    kv_type, qkv[vi, v_base + vh * head_dim + vd]
                )
                vc[table[(pos + vi) // page_size], vh, (pos + vi) % page_size, vd + half] = T.Cast(
                    kv_type, qkv[vi, v_base + vh * head_dim + vd + half]
                )

    attrs = {
        "heads": heads,
        "kv_heads": kv_heads,
        "head_dim": head_dim,
        "page_size": page_size,
        "kv_dtype": kv_dtype,
        "context": context,
    }
    return _tagged(func, "rope_append", attrs)


@functools.cache
def attention(
    heads: int,
    kv_heads: int,
    head_dim: int,
    page_size: int,
    kv_dtype: str,
    window: int,
    scale: float,
):
    """Causal grouped-query attention over the paged cache, by the online softmax.

    (q f32[n, H*D], page_table i32[pages], k_cache, v_cache, pos, out f32[n, H*D]); token i has
    position pos + i and sees positions up to its own, only the last `window` of them if not 0.
    """
    group = heads // kv_heads
    width = heads * head_dim
    reach = window or 2**30
    kv_type = {"f32": "float32", "f16": "float16"}[kv_dtype]

    @T.prim_func(private=True, s_tir=True)
    def func(p_q: T.handle, p_table: T.handle, p_k: T.handle, p_v: T.handle, pos: T.int64, p_out: T.handle):
        n = T.int64()
        pages = T.int64()
        q = T.match_buffer(p_q, (n, width), "float32")
        table = T.match_buffer(p_table, (pages,), "int32")
        kc = T.match_buffer(p_k, (pages, kv_heads, page_size, head_dim), kv_type)
        vc = T.match_buffer(p_v, (pages, kv_heads, page_size, head_dim), kv_type)
        out = T.match_buffer(p_out, (n, width), "float32")
        for i, h in T.grid(n, heads):
            with T.sblock("attention"):
                vi, vh = T.axis.remap("SS", [i, h])
                T.reads(
                    q[vi, 0:width],
                    table[0:pages],
                    kc[0:pages, 0:kv_heads, 0:page_size, 0:head_dim],
                    vc[0:pages, 0:kv_heads, 0:page_size, 0:head_dim],
                )
                T.writes(out[vi, 0:width])
                acc = T.sblock_alloc_buffer((head_dim,), "float32", scope="local")
                state = T.sblock_alloc_buffer((4,), "float32", scope="local")
                state[0] = T.float32(-3.0e38)
                state[1] = T.float32(0)
                for d in range(head_dim):
                    acc[d] = T.float32(0)
                for back in range(T.min(pos + vi + 1, reach)):
                    state[2] = T.float32(0)
                    for d in range(head_dim):
                        state[2] = state[2] + q[vi, vh * head_dim + d] * T.Cast(
                            "float32",
                            kc[table[(pos + vi - back) // page_size], vh // group, (pos + vi - back) % page_size, d],
                        )
                    state[2] = state[2] * T.float32(scale)
                    state[3] = T.max(state[0], state[2])
                    state[2] = T.exp(state[2] - state[3])
                    state[0] = T.exp(T.max(state[0] - state[3], T.float32(-80)))
                    state[1] = state[1] * state[0] + state[2]
                    for d in range(head_dim):
                        acc[d] = acc[d] * state[0] + state[2] * T.Cast(
                            "float32",
                            vc[table[(pos + vi - back) // page_size], vh // group, (pos + vi - back) % page_size, d],
                        )
                    state[0] = state[3]
                for d in range(head_dim):
                    out[vi, vh * head_dim + d] = acc[d] / state[1]

    attrs = {
        "heads": heads,
        "kv_heads": kv_heads,
        "head_dim": head_dim,
        "page_size": page_size,
        "kv_dtype": kv_dtype,
        "window": window,
        "scale": scale,
    }
    return _tagged(func, "attention", attrs)
