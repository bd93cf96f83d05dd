"""The operators of encoders, as TIR: attention in both directions, and texts to vectors.

Texts lie one after the other in the rows of a call, as long as each is: no padding is computed.
`spans` i32[n, 2] are the first row of each row's text and the one behind its last; `texts`
i32[texts, 2] the same for each text.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tvm import tirx
from tvm.tirx.script.builder import ir as B

from .tir import Function, dot, local, operator, options, reads_all

POOLINGS = ("cls", "mean", "max", "mean_sqrt_len", "last")
"""How the rows of a text become one: its first, their mean, the largest of each column, their sum
over the square root of their number, its last (Reimers and Gurevych 2019, arXiv 1908.10084)."""
SMALLEST_NORM = 1e-12
"""What a vector is divided by at least."""


@functools.cache
def encoder_attention(heads: int, head_dim: int, scale: float) -> Any:
    """Attention of every row to all rows of its text, by the online softmax (arXiv 1805.02867).

    (qkv f32[n, 3*H*D], spans i32[n, 2], out f32[n, H*D])
    """
    width = heads * head_dim

    def build(f: Function) -> None:
        qkv, spans = f.tensor((f.n, 3 * width)), f.tensor((f.n, 2), "i32")
        out = f.tensor((f.n, width))
        with B.grid(f.n, heads) as (i, h), B.sblock("encoder_attention"):
            vi, vh = B.axis.remap("SS", [i, h])
            reads_all(qkv, spans)
            B.writes(out[vi, 0:width])
            # state: the largest score so far, the sum of weights, this score, the rescaling.
            acc, state = local(head_dim), local(4)
            B.buffer_store(state, B.float32(-3.0e38), [0])
            B.buffer_store(state, B.float32(0), [1])
            with B.serial(0, head_dim) as d:
                B.buffer_store(acc, B.float32(0), [d])
            with B.serial(0, spans[vi, 1] - spans[vi, 0]) as step:
                at, column = spans[vi, 0] + step, vh * head_dim
                dot(state, 2, head_dim, lambda d: qkv[vi, column + d] * qkv[at, width + column + d])
                B.buffer_store(state, state[2] * B.float32(scale), [2])
                B.buffer_store(state, B.max(state[0], state[2]), [3])
                B.buffer_store(state, B.exp(state[2] - state[3]), [2])
                B.buffer_store(state, B.exp(B.max(state[0] - state[3], B.float32(-80))), [0])
                B.buffer_store(state, state[1] * state[0] + state[2], [1])
                with B.serial(0, head_dim) as d:
                    value = qkv[at, 2 * width + column + d]
                    B.buffer_store(acc, acc[d] * state[0] + state[2] * value, [d])
                B.buffer_store(state, state[3], [0])
            with B.serial(0, head_dim) as d:
                B.buffer_store(out, acc[d] / state[1], [vi, vh * head_dim + d])

    attrs: dict[str, Any] = {"heads": heads, "head_dim": head_dim, "scale": scale}
    return operator("encoder_attention", attrs, build)


@functools.cache
def pool(cols: int, pooling: str, *, normalized: bool = False) -> Any:
    """One vector a text, of length 1 where `normalized`.

    (x f32[n, cols], texts i32[texts, 2], out f32[texts, cols])
    """
    assert pooling in POOLINGS, pooling

    def build(f: Function) -> None:
        x, count = f.tensor((f.n, cols)), tirx.Var("texts", "int64")
        texts = f.tensor((count, 2), "i32")
        out = f.tensor((count, cols))
        with B.serial(0, count) as i, B.sblock("pool"):
            vi = B.axis.spatial(count, i)
            reads_all(x, texts)
            B.writes(out[vi, 0:cols])
            acc = local(1)
            with B.serial(0, cols) as k:
                value = _pooled(pooling, acc, lambda row: x[row, k], texts[vi, 0], texts[vi, 1])
                B.buffer_store(out, value, [vi, k])
            if normalized:
                dot(acc, 0, cols, lambda k: out[vi, k] * out[vi, k])
                B.buffer_store(acc, B.max(B.sqrt(acc[0]), B.float32(SMALLEST_NORM)), [0])
                with B.serial(0, cols) as k:
                    B.buffer_store(out, out[vi, k] / acc[0], [vi, k])

    attrs: dict[str, Any] = {"cols": cols, "pooling": pooling} | options(normalized=normalized)
    return operator("pool", attrs, build)


def _pooled(pooling: str, acc: Any, element: Callable[[Any], Any], first: Any, end: Any) -> Any:
    """One column of the rows [first, end) as one number; `acc` is for the sum."""
    if pooling in ("cls", "last"):
        return element(first if pooling == "cls" else end - 1)
    largest = pooling == "max"
    B.buffer_store(acc, B.float32(-3.0e38 if largest else 0), [0])
    with B.serial(0, end - first) as step:
        value = element(first + step)
        B.buffer_store(acc, B.max(acc[0], value) if largest else acc[0] + value, [0])
    if largest:
        return acc[0]
    count = B.Cast("float32", end - first)
    return acc[0] / (count if pooling == "mean" else B.sqrt(count))
