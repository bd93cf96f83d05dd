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
from typing import Any

from tvm import tirx
from tvm.tirx.script.builder import ir as B

from .tir import (
    ATTRS_ATTR,
    DTYPES,
    OP_ATTR,
    Function,
    activated,
    dot,
    element,
    local,
    operator,
    options,
    reads_all,
    soft_capped,
)

__all__ = ["ATTRS_ATTR", "DTYPES", "OP_ATTR"]


@functools.cache
def embedding(
    scheme: str, rows: int, cols: int, start: int, total: int, *, scale: float = 1.0
) -> Any:
    """out[i] = row ids[i] of the table times `scale`, for ids in [start, start + rows); other rows
    are left.

    (ids i32[n], weights..., out f32[n, cols])
    """

    def build(f: Function) -> None:
        ids, weights = f.tensor((f.n,), "i32"), f.matrix(scheme, rows, cols)
        out = f.tensor((f.n, cols))
        with B.grid(f.n, cols) as (i, j), B.sblock("embedding"):
            vi, vj = B.axis.remap("SS", [i, j])
            reads_all(ids, *weights)
            B.writes(out[vi, vj])
            row = B.min(B.max(ids[vi], B.int32(0)), B.int32(total - 1))
            with B.If(tirx.all(row >= start, row < start + rows)), B.Then():
                value = element(scheme, weights, row - start, vj, cols)
                value = value if scale == 1 else value * B.float32(scale)
                B.buffer_store(out, value, [vi, vj])

    attrs: dict[str, Any] = {"scheme": scheme, "rows": rows, "cols": cols, "start": start}
    attrs |= {"total": total} | options(scale=scale if scale != 1 else None)
    return operator("embedding", attrs, build)


@functools.cache
def add_positions(rows: int, cols: int) -> Any:
    """out[i] = x[i] + table[pos + i].

    (x f32[n, cols], table f32[rows, cols], pos, out f32[n, cols])
    """

    def build(f: Function) -> None:
        x, table = f.tensor((f.n, cols)), f.tensor((rows, cols))
        pos, out = f.position(), f.tensor((f.n, cols))
        with B.grid(f.n, cols) as (i, j), B.sblock("add_positions"):
            vi, vj = B.axis.remap("SS", [i, j])
            reads_all(x, table)
            B.writes(out[vi, vj])
            B.buffer_store(out, x[vi, vj] + table[pos + vi, vj], [vi, vj])

    return operator("add_positions", {"rows": rows, "cols": cols}, build)


@functools.cache
def add_positions_rows(rows: int, cols: int, words: int) -> Any:
    """out[i] = x[i] + table[positions[i]]: each token of a sequence of its own.

    (x f32[n, cols], table f32[rows, cols], positions i32[words], out f32[n, cols])
    """

    def build(f: Function) -> None:
        x, table = f.tensor((f.n, cols)), f.tensor((rows, cols))
        positions, out = f.tensor((words,), "i32"), f.tensor((f.n, cols))
        with B.grid(f.n, cols) as (i, j), B.sblock("add_positions"):
            vi, vj = B.axis.remap("SS", [i, j])
            reads_all(x, table, positions)
            B.writes(out[vi, vj])
            B.buffer_store(out, x[vi, vj] + table[positions[vi], vj], [vi, vj])

    return operator("add_positions_rows", {"rows": rows, "cols": cols}, build)


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
    activation: str = "",
    softcap: float = 0.0,
) -> Any:
    """out[:, start:start+rows] = x @ W^T, plus the same columns of a bias, through the activation,
    held within the soft cap, plus the residual's same columns when epilogue is "add".

    (x f32[n, cols], weights..., [bias f32[out_cols]], [residual f32[n, out_cols]],
    out f32[n, out_cols])
    """

    def build(f: Function) -> None:
        x, weights = f.tensor((f.n, cols)), f.matrix(scheme, rows, cols)
        added = [f.tensor((out_cols,))] if bias else []
        residual = [f.tensor((f.n, out_cols))] if epilogue == "add" else []
        out = f.tensor((f.n, out_cols))
        with B.grid(f.n, rows) as (i, j), B.sblock("matmul"):
            vi, vj = B.axis.remap("SS", [i, j])
            reads_all(x, *weights, *added, *residual)
            B.writes(out[vi, start + vj])
            acc = local(1)
            dot(acc, 0, cols, lambda k: x[vi, k] * element(scheme, weights, vj, k, cols))
            total = acc[0] + added[0][start + vj] if added else acc[0]
            total = activated(activation, total) if activation else total
            total = soft_capped(total, softcap) if softcap else total
            total = total + residual[0][vi, start + vj] if residual else total
            B.buffer_store(out, total, [vi, start + vj])

    attrs: dict[str, Any] = {"scheme": scheme, "rows": rows, "cols": cols, "start": start}
    attrs |= {"out_cols": out_cols, "epilogue": epilogue} | options(
        bias=bias, activation=activation, softcap=softcap
    )
    return operator("matmul", attrs, build)


@functools.cache
def gate_up(scheme: str, rows: int, cols: int, activation: str) -> Any:
    """out = activation(x @ G^T) * (x @ U^T); the weight's first half of rows is G, the second U.

    (x f32[n, cols], weights..., out f32[n, rows / 2])
    """
    half = rows // 2

    def build(f: Function) -> None:
        x, weights = f.tensor((f.n, cols)), f.matrix(scheme, rows, cols)
        out = f.tensor((f.n, half))
        with B.grid(f.n, half) as (i, j), B.sblock("gate_up"):
            vi, vj = B.axis.remap("SS", [i, j])
            reads_all(x, *weights)
            B.writes(out[vi, vj])
            acc = local(2)
            dot(acc, 0, cols, lambda k: x[vi, k] * element(scheme, weights, vj, k, cols))
            dot(acc, 1, cols, lambda k: x[vi, k] * element(scheme, weights, vj + half, k, cols))
            B.buffer_store(out, activated(activation, acc[0]) * acc[1], [vi, vj])

    attrs = {"scheme": scheme, "rows": rows, "cols": cols, "activation": activation}
    return operator("gate_up", attrs, build)


@functools.cache
def rms_norm(cols: int, eps: float, *, residual: bool = False) -> Any:
    """out = x / sqrt(mean(x^2) + eps) * weight (+ residual).

    (x f32[n, cols], weight f32[cols], [residual f32[n, cols]], out f32[n, cols])
    """

    def build(f: Function) -> None:
        x, weight = f.tensor((f.n, cols)), f.tensor((cols,))
        added = [f.tensor((f.n, cols))] if residual else []
        out = f.tensor((f.n, cols))
        with B.serial(0, f.n) as i, B.sblock("rms_norm"):
            vi = B.axis.spatial(f.n, i)
            reads_all(x, weight, *added)
            B.writes(out[vi, 0:cols])
            acc = local(1)
            dot(acc, 0, cols, lambda k: x[vi, k] * x[vi, k])
            mean = acc[0] / B.float32(cols) + B.float32(eps)
            B.buffer_store(acc, B.float32(1) / B.sqrt(mean), [0])
            with B.serial(0, cols) as k:
                value = x[vi, k] * acc[0] * weight[k]
                B.buffer_store(out, value + added[0][vi, k] if added else value, [vi, k])

    attrs: dict[str, Any] = {"cols": cols, "eps": eps} | options(residual=residual)
    return operator("rms_norm", attrs, build)


@functools.cache
def layer_norm(cols: int, eps: float) -> Any:
    """out = (x - mean) / sqrt(variance + eps) * weight + bias, of each row (arXiv 1607.06450).

    (x f32[n, cols], weight f32[cols], bias f32[cols], out f32[n, cols])
    """

    def build(f: Function) -> None:
        x, weight, bias = f.tensor((f.n, cols)), f.tensor((cols,)), f.tensor((cols,))
        out = f.tensor((f.n, cols))
        with B.serial(0, f.n) as i, B.sblock("layer_norm"):
            vi = B.axis.spatial(f.n, i)
            reads_all(x, weight, bias)
            B.writes(out[vi, 0:cols])
            acc = local(2)
            dot(acc, 0, cols, lambda k: x[vi, k])
            B.buffer_store(acc, acc[0] / B.float32(cols), [0])
            dot(acc, 1, cols, lambda k: (x[vi, k] - acc[0]) * (x[vi, k] - acc[0]))
            variance = acc[1] / B.float32(cols) + B.float32(eps)
            B.buffer_store(acc, B.float32(1) / B.sqrt(variance), [1])
            with B.serial(0, cols) as k:
                value = (x[vi, k] - acc[0]) * acc[1] * weight[k] + bias[k]
                B.buffer_store(out, value, [vi, k])

    return operator("layer_norm", {"cols": cols, "eps": eps}, build)


@functools.cache
def last_row(cols: int) -> Any:
    """out[0] = x[n - 1].   (x f32[n, cols], out f32[1, cols])"""

    def build(f: Function) -> None:
        x, out = f.tensor((f.n, cols)), f.tensor((1, cols))
        with B.serial(0, cols) as j, B.sblock("last_row"):
            vj = B.axis.spatial(cols, j)
            reads_all(x)
            B.writes(out[0, vj])
            B.buffer_store(out, x[f.n - 1, vj], [0, vj])

    return operator("last_row", {"cols": cols}, build)
