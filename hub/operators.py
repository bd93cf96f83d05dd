"""The operators models are made of, as TIR: what each one computes, before any tuning.

Each function returns a PrimFunc written for clarity: one block per output element, a serial loop
inside, sums in float32. It runs as it is on llvm (the oracle), is what a device gets when the
kernel library has nothing for it, and carries the attributes `modelpress.op` and
`modelpress.attrs` (JSON) by which the library finds it. Weight layouts: `schemes.py`.

The number of tokens `n` is always symbolic here; whoever lowers a call knows whether it is 1.
Parameters come in the order: tensors read, tensors written in place, `pos`, fresh outputs.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.tirx.script.builder import ir as B

from .schemes import GROUP, SCHEMES

OP_ATTR = "modelpress.op"
ATTRS_ATTR = "modelpress.attrs"
OPAQUE_PATTERN = 8
FAR = 2**30
"""A window no sequence reaches."""

DTYPES = {"f32": "float32", "f16": "float16", "i32": "int32", "u32": "uint32"}


class _Function:
    """A PrimFunc under construction: declares its parameters in order."""

    def __init__(self) -> None:
        self.n = tirx.Var("n", "int64")
        self.pages = tirx.Var("pages", "int64")
        self._count = 0

    def tensor(self, shape: Sequence[Any], dtype: str = "f32") -> Any:
        self._count += 1
        handle = B.arg(f"p{self._count}", B.handle())
        buffer = B.match_buffer(handle, tuple(shape), DTYPES[dtype])
        # Distinct names: the lowered host function refers to its buffers by them.
        return IRBuilder.name(f"t{self._count}", buffer)

    def matrix(self, scheme: str, rows: int, cols: int) -> tuple[Any, ...]:
        """The buffers of a stored matrix."""
        buffers = SCHEMES[scheme].buffers(rows, cols)
        return tuple(self.tensor(shape, dtype) for _, dtype, shape in buffers)

    def position(self) -> Any:
        return B.arg("pos", tirx.Var("pos", "int64"))


def _operator(op: str, attrs: Mapping[str, Any], build: Callable[[_Function], None]) -> Any:
    """Run `build` inside a fresh PrimFunc and tag the result."""
    with IRBuilder() as builder, B.prim_func(is_private=True, s_tir=True):
        build(_Function())
    text = json.dumps(dict(attrs), sort_keys=True)
    return (
        builder.get()
        .with_attr(OP_ATTR, op)
        .with_attr(ATTRS_ATTR, text)
        .with_attr("op_pattern", OPAQUE_PATTERN)
    )


def _options(**options: Any) -> dict[str, Any]:
    """The options that are on: one that is off leaves no trace in a kernel's text."""
    return {name: value for name, value in options.items() if value}


def _half(word: Any, high: Any) -> Any:
    """The f16 in the low or high half of a u32 word, as float32: exponent moved by a product."""
    u32 = B.uint32
    bits = (word >> (high * u32(16))) & u32(0xFFFF)
    magnitude = B.reinterpret("float32", (bits & u32(0x7FFF)) << u32(13)) * B.float32(2.0**112)
    return B.if_then_else((bits & u32(0x8000)) == u32(0), magnitude, -magnitude)


def _element(scheme: str, weights: tuple[Any, ...], row: Any, k: Any, cols: int) -> Any:
    """Element (row, k) of a stored matrix, dequantized."""
    if scheme == "f32":
        return weights[0][row, k]
    if scheme == "f16":
        return _half(weights[0][row, k // 2], B.Cast("uint32", k % 2))
    index = row * (cols // GROUP) + k // GROUP
    scale = _half(weights[1][index // 2], B.Cast("uint32", index % 2))
    if scheme == "q8":
        byte = (weights[0][row, k // 4] >> B.Cast("uint32", k % 4 * 8)) & B.uint32(0xFF)
        value = B.Cast("int32", byte)
        return B.Cast("float32", B.if_then_else(value > 127, value - 256, value)) * scale
    shift = B.Cast("uint32", k % 4 * 8 + k % 8 // 4 * 4)
    nibble = B.Cast("int32", (weights[0][row, k // 8] >> shift) & B.uint32(0xF))
    return B.Cast("float32", nibble - 8) * scale


def _reads_all(*tensors: Any) -> None:
    """Declare whole tensors as read: blocks here index by values, not by loops."""
    B.reads(*(t[tuple(slice(0, dim) for dim in t.shape)] for t in tensors))


def _dot(acc: Any, slot: int, cols: int, product: Callable[[Any], Any]) -> None:
    """acc[slot] = the sum of product(k) for k < cols."""
    B.buffer_store(acc, B.float32(0), [slot])
    with B.serial(0, cols) as k:
        B.buffer_store(acc, acc[slot] + product(k), [slot])


def _local(size: int) -> Any:
    return B.sblock_alloc_buffer((size,), "float32", scope="local")


@functools.cache
def embedding(scheme: str, rows: int, cols: int, start: int, total: int) -> Any:
    """out[i] = row ids[i] of the table, for ids in [start, start + rows); other rows are left.

    (ids i32[n], weights..., out f32[n, cols])
    """

    def build(f: _Function) -> None:
        ids, weights = f.tensor((f.n,), "i32"), f.matrix(scheme, rows, cols)
        out = f.tensor((f.n, cols))
        with B.grid(f.n, cols) as (i, j), B.sblock("embedding"):
            vi, vj = B.axis.remap("SS", [i, j])
            _reads_all(ids, *weights)
            B.writes(out[vi, vj])
            row = B.min(B.max(ids[vi], B.int32(0)), B.int32(total - 1))
            with B.If(tirx.all(row >= start, row < start + rows)), B.Then():
                value = _element(scheme, weights, row - start, vj, cols)
                B.buffer_store(out, value, [vi, vj])

    attrs = {"scheme": scheme, "rows": rows, "cols": cols, "start": start, "total": total}
    return _operator("embedding", attrs, build)


@functools.cache
def matmul(
    scheme: str,
    rows: int,
    cols: int,
    start: int,
    out_cols: int,
    epilogue: str,
    *,
    bias: bool = False,
) -> Any:
    """out[:, start:start+rows] = x @ W^T, plus the same columns of a bias, and of the residual
    when epilogue is "add".

    (x f32[n, cols], weights..., [bias f32[out_cols]], [residual f32[n, out_cols]],
    out f32[n, out_cols])
    """

    def build(f: _Function) -> None:
        x, weights = f.tensor((f.n, cols)), f.matrix(scheme, rows, cols)
        added = [f.tensor((out_cols,))] if bias else []
        residual = [f.tensor((f.n, out_cols))] if epilogue == "add" else []
        out = f.tensor((f.n, out_cols))
        with B.grid(f.n, rows) as (i, j), B.sblock("matmul"):
            vi, vj = B.axis.remap("SS", [i, j])
            _reads_all(x, *weights, *added, *residual)
            B.writes(out[vi, start + vj])
            acc = _local(1)
            _dot(acc, 0, cols, lambda k: x[vi, k] * _element(scheme, weights, vj, k, cols))
            total = acc[0] + added[0][start + vj] if added else acc[0]
            total = total + residual[0][vi, start + vj] if residual else total
            B.buffer_store(out, total, [vi, start + vj])

    attrs: dict[str, Any] = {"scheme": scheme, "rows": rows, "cols": cols, "start": start}
    attrs |= {"out_cols": out_cols, "epilogue": epilogue} | _options(bias=bias)
    return _operator("matmul", attrs, build)


@functools.cache
def gate_up(scheme: str, rows: int, cols: int) -> Any:
    """out = silu(x @ G^T) * (x @ U^T); the weight's first half of rows is G, the second U.

    (x f32[n, cols], weights..., out f32[n, rows / 2])
    """
    half = rows // 2

    def build(f: _Function) -> None:
        x, weights = f.tensor((f.n, cols)), f.matrix(scheme, rows, cols)
        out = f.tensor((f.n, half))
        with B.grid(f.n, half) as (i, j), B.sblock("gate_up"):
            vi, vj = B.axis.remap("SS", [i, j])
            _reads_all(x, *weights)
            B.writes(out[vi, vj])
            acc = _local(2)
            _dot(acc, 0, cols, lambda k: x[vi, k] * _element(scheme, weights, vj, k, cols))
            _dot(acc, 1, cols, lambda k: x[vi, k] * _element(scheme, weights, vj + half, k, cols))
            decay = B.exp(B.min(-acc[0], B.float32(80)))
            B.buffer_store(out, acc[0] / (B.float32(1) + decay) * acc[1], [vi, vj])

    attrs = {"scheme": scheme, "rows": rows, "cols": cols, "activation": "silu"}
    return _operator("gate_up", attrs, build)


@functools.cache
def rms_norm(cols: int, eps: float) -> Any:
    """out = x / sqrt(mean(x^2) + eps) * weight.   (x f32[n, cols], weight f32[cols], out)"""

    def build(f: _Function) -> None:
        x, weight, out = f.tensor((f.n, cols)), f.tensor((cols,)), f.tensor((f.n, cols))
        with B.serial(0, f.n) as i, B.sblock("rms_norm"):
            vi = B.axis.spatial(f.n, i)
            _reads_all(x, weight)
            B.writes(out[vi, 0:cols])
            acc = _local(1)
            _dot(acc, 0, cols, lambda k: x[vi, k] * x[vi, k])
            mean = acc[0] / B.float32(cols) + B.float32(eps)
            B.buffer_store(acc, B.float32(1) / B.sqrt(mean), [0])
            with B.serial(0, cols) as k:
                B.buffer_store(out, x[vi, k] * acc[0] * weight[k], [vi, k])

    return _operator("rms_norm", {"cols": cols, "eps": eps}, build)


@functools.cache
def last_row(cols: int) -> Any:
    """out[0] = x[n - 1].   (x f32[n, cols], out f32[1, cols])"""

    def build(f: _Function) -> None:
        x, out = f.tensor((f.n, cols)), f.tensor((1, cols))
        with B.serial(0, cols) as j, B.sblock("last_row"):
            vj = B.axis.spatial(cols, j)
            _reads_all(x)
            B.writes(out[0, vj])
            B.buffer_store(out, x[f.n - 1, vj], [0, vj])

    return _operator("last_row", {"cols": cols}, build)


@functools.cache
def rope_append(
    heads: int, kv_heads: int, head_dim: int, page_size: int, kv_dtype: str, context: int
) -> Any:
    """Rotate q and k (half-split), write k and v at positions pos.. into their pages.

    (qkv f32[n, (H+2KV)*D], rope f32[context, D], page_table i32[pages], k_cache, v_cache, pos,
    q f32[n, H*D]); caches [pages, KV, page_size, D] of kv_dtype.
    """
    half, width = head_dim // 2, (heads + 2 * kv_heads) * head_dim

    def build(f: _Function) -> None:
        qkv, rope = f.tensor((f.n, width)), f.tensor((context, head_dim))
        table = f.tensor((f.pages,), "i32")
        cache = (f.pages, kv_heads, page_size, head_dim)
        keys, values = f.tensor(cache, kv_dtype), f.tensor(cache, kv_dtype)
        pos, q = f.position(), f.tensor((f.n, heads * head_dim))

        def rotated(i: Any, base: Any, d: Any) -> tuple[Any, Any]:
            low, high = qkv[i, base + d], qkv[i, base + d + half]
            cos, sin = rope[pos + i, d], rope[pos + i, d + half]
            return low * cos - high * sin, high * cos + low * sin

        with B.grid(f.n, heads, half) as (i, h, d), B.sblock("rotate"):
            vi, vh, vd = B.axis.remap("SSS", [i, h, d])
            _reads_all(qkv, rope)
            B.writes(q[vi, 0 : heads * head_dim])
            low, high = rotated(vi, vh * head_dim, vd)
            B.buffer_store(q, low, [vi, vh * head_dim + vd])
            B.buffer_store(q, high, [vi, vh * head_dim + vd + half])
        with B.grid(f.n, kv_heads, half) as (i, h, d), B.sblock("append"):
            vi, vh, vd = B.axis.remap("SSS", [i, h, d])
            _reads_all(qkv, rope, table)
            span = (slice(0, f.pages), vh, slice(0, page_size), slice(0, head_dim))
            B.writes(keys[span], values[span])
            page, slot = table[(pos + vi) // page_size], (pos + vi) % page_size
            low, high = rotated(vi, (heads + vh) * head_dim, vd)
            base = (heads + kv_heads + vh) * head_dim
            for buffer, value, at in (
                (keys, low, vd),
                (keys, high, vd + half),
                (values, qkv[vi, base + vd], vd),
                (values, qkv[vi, base + vd + half], vd + half),
            ):
                B.buffer_store(buffer, B.Cast(DTYPES[kv_dtype], value), [page, vh, slot, at])

    attrs = {"heads": heads, "kv_heads": kv_heads, "head_dim": head_dim, "context": context}
    return _operator("rope_append", attrs | {"page_size": page_size, "kv_dtype": kv_dtype}, build)


@functools.cache
def attention(
    heads: int,
    kv_heads: int,
    head_dim: int,
    page_size: int,
    kv_dtype: str,
    window: int,
    scale: float,
) -> Any:
    """Causal grouped-query attention over the paged cache, by the online softmax.

    (q f32[n, H*D], page_table i32[pages], k_cache, v_cache, pos, out f32[n, H*D]); token i has
    position pos + i and sees positions up to its own, only the last `window` of them if not 0.
    Online softmax: arXiv 1805.02867.
    """
    group, width = heads // kv_heads, heads * head_dim

    def build(f: _Function) -> None:
        q, table = f.tensor((f.n, width)), f.tensor((f.pages,), "i32")
        cache = (f.pages, kv_heads, page_size, head_dim)
        keys, values = f.tensor(cache, kv_dtype), f.tensor(cache, kv_dtype)
        pos, out = f.position(), f.tensor((f.n, width))
        with B.grid(f.n, heads) as (i, h), B.sblock("attention"):
            vi, vh = B.axis.remap("SS", [i, h])
            _reads_all(q, table, keys, values)
            B.writes(out[vi, 0:width])
            # state: the largest score so far, the sum of weights, this score, the rescaling.
            acc, state = _local(head_dim), _local(4)
            B.buffer_store(state, B.float32(-3.0e38), [0])
            B.buffer_store(state, B.float32(0), [1])
            with B.serial(0, head_dim) as d:
                B.buffer_store(acc, B.float32(0), [d])
            with B.serial(0, B.min(pos + vi + 1, FAR if window == 0 else window)) as back:
                at = pos + vi - back
                page, slot = table[at // page_size], at % page_size

                def element(buffer: Any, d: Any) -> Any:
                    return B.Cast("float32", buffer[page, vh // group, slot, d])

                _dot(state, 2, head_dim, lambda d: q[vi, vh * head_dim + d] * element(keys, d))
                B.buffer_store(state, state[2] * B.float32(scale), [2])
                B.buffer_store(state, B.max(state[0], state[2]), [3])
                B.buffer_store(state, B.exp(state[2] - state[3]), [2])
                B.buffer_store(state, B.exp(B.max(state[0] - state[3], B.float32(-80))), [0])
                B.buffer_store(state, state[1] * state[0] + state[2], [1])
                with B.serial(0, head_dim) as d:
                    B.buffer_store(acc, acc[d] * state[0] + state[2] * element(values, d), [d])
                B.buffer_store(state, state[3], [0])
            with B.serial(0, head_dim) as d:
                B.buffer_store(out, acc[d] / state[1], [vi, vh * head_dim + d])

    attrs: dict[str, Any] = {
        "heads": heads,
        "kv_heads": kv_heads,
        "head_dim": head_dim,
        "window": window,
    }
    attrs |= {"page_size": page_size, "kv_dtype": kv_dtype, "scale": scale}
    return _operator("attention", attrs, build)
