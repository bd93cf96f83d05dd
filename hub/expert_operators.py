"""The operators of a mixture of experts, as TIR; see `operators.py`.

A token's feed-forward part is computed by `top` of `total` experts alone. The matrices of all
experts of a layer lie one below the other in one stored matrix, whose parts hold `experts` whole
experts from `start` on. Mixture of experts with such a router: arXiv 1701.06538, 2409.02060.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import functools
from typing import Any

from tvm import tirx
from tvm.tirx.script.builder import ir as B

from .tir import Function, activated, dot, element, local, operator, options, reads_all

LOWEST = -3.4e38


@functools.cache
def route(total: int, top: int, *, renormalize: bool) -> Any:
    """The `top` largest logits of each token, largest first and of equal ones the first, and the
    softmax of all logits there; `renormalize` makes the shares of a token add up to one.

    (logits f32[n, total], ids i32[n, top], shares f32[n, top])
    """

    def build(f: Function) -> None:
        logits = f.tensor((f.n, total))
        ids, shares = f.tensor((f.n, top), "i32"), f.tensor((f.n, top))
        with B.serial(0, f.n) as i, B.sblock("route"):
            vi = B.axis.spatial(f.n, i)
            reads_all(logits)
            B.writes(ids[vi, 0:top], shares[vi, 0:top])
            # value: the largest logit not yet taken, the one taken last, the sum of exponentials.
            value = local(3)
            index = B.sblock_alloc_buffer((2,), "int32", scope="local")
            B.buffer_store(index, B.int32(-1), [1])
            with B.serial(0, top) as s:
                B.buffer_store(value, B.float32(LOWEST), [0])
                B.buffer_store(index, B.int32(0), [0])
                with B.serial(0, total) as e:
                    after = tirx.any(
                        index[1] < 0,
                        logits[vi, e] < value[1],
                        tirx.all(logits[vi, e] == value[1], B.Cast("int32", e) > index[1]),
                    )
                    with B.If(tirx.all(after, logits[vi, e] > value[0])), B.Then():
                        B.buffer_store(value, logits[vi, e], [0])
                        B.buffer_store(index, B.Cast("int32", e), [0])
                B.buffer_store(value, value[0], [1])
                B.buffer_store(index, index[0], [1])
                B.buffer_store(ids, index[0], [vi, s])
            first = ids[vi, 0]
            B.buffer_store(value, B.float32(0), [2])
            with B.serial(0, top if renormalize else total) as e:
                at = ids[vi, e] if renormalize else e
                raised = B.exp(logits[vi, at] - logits[vi, first])
                B.buffer_store(value, value[2] + raised, [2])
            with B.serial(0, top) as s:
                share = B.exp(logits[vi, ids[vi, s]] - logits[vi, first]) / value[2]
                B.buffer_store(shares, share, [vi, s])

    attrs: dict[str, Any] = {"total": total, "top": top} | options(renormalize=renormalize)
    return operator("route", attrs, build)


@functools.cache
def expert_gate_up(
    scheme: str, features: int, cols: int, start: int, experts: int, top: int, activation: str
) -> Any:
    """For each of a token's experts in [start, start + experts): activation(x @ G^T) * (x @ U^T);
    what other experts give is left. An expert's rows are its G, then its U.

    (x f32[n, cols], ids i32[n, top], weights of [experts * 2 * features, cols]...,
    out f32[n, top * features])
    """

    def build(f: Function) -> None:
        x, ids = f.tensor((f.n, cols)), f.tensor((f.n, top), "i32")
        weights = f.matrix(scheme, experts * 2 * features, cols)
        out = f.tensor((f.n, top * features))
        with B.grid(f.n, top * features) as (i, j), B.sblock("expert_gate_up"):
            vi, vj = B.axis.remap("SS", [i, j])
            reads_all(x, ids, *weights)
            B.writes(out[vi, vj])
            expert = ids[vi, vj // features]
            with B.If(tirx.all(expert >= start, expert < start + experts)), B.Then():
                acc = local(2)
                row = (expert - start) * (2 * features) + vj % features
                dot(acc, 0, cols, lambda k: x[vi, k] * element(scheme, weights, row, k, cols))
                dot(
                    acc, 1, cols,
                    lambda k: x[vi, k] * element(scheme, weights, row + features, k, cols),
                )  # fmt: skip
                B.buffer_store(out, activated(activation, acc[0]) * acc[1], [vi, vj])

    attrs: dict[str, Any] = {"scheme": scheme, "features": features, "cols": cols}
    attrs |= {"start": start, "experts": experts, "top": top, "activation": activation}
    return operator("expert_gate_up", attrs, build)


@functools.cache
def expert_down(
    scheme: str, rows: int, features: int, start: int, experts: int, top: int, epilogue: str
) -> Any:
    """The sum over a token's experts in [start, start + experts), in the order of its ids, of
    share * (hidden @ D^T); plus the residual where epilogue is "add", plus what is already in
    `out` where it is "accumulate".

    (hidden f32[n, top * features], ids i32[n, top], shares f32[n, top],
    weights of [experts * rows, features]..., [residual f32[n, rows]], out f32[n, rows])
    """
    assert epilogue in ("add", "accumulate"), epilogue

    def build(f: Function) -> None:
        hidden, ids = f.tensor((f.n, top * features)), f.tensor((f.n, top), "i32")
        shares, weights = f.tensor((f.n, top)), f.matrix(scheme, experts * rows, features)
        residual = [f.tensor((f.n, rows))] if epilogue == "add" else []
        out = f.tensor((f.n, rows))
        with B.grid(f.n, rows) as (i, j), B.sblock("expert_down"):
            vi, vj = B.axis.remap("SS", [i, j])
            reads_all(hidden, ids, shares, *weights, *residual, *([] if residual else [out]))
            B.writes(out[vi, vj])
            acc = local(2)
            B.buffer_store(acc, B.float32(0), [1])
            with B.serial(0, top) as s:
                expert = ids[vi, s]
                with B.If(tirx.all(expert >= start, expert < start + experts)), B.Then():
                    row = (expert - start) * rows + vj
                    dot(
                        acc, 0, features,
                        lambda k: hidden[vi, s * features + k]
                        * element(scheme, weights, row, k, features),
                    )  # fmt: skip
                    B.buffer_store(acc, acc[1] + shares[vi, s] * acc[0], [1])
            before = residual[0][vi, vj] if residual else out[vi, vj]
            B.buffer_store(out, before + acc[1], [vi, vj])

    attrs: dict[str, Any] = {"scheme": scheme, "rows": rows, "features": features, "start": start}
    attrs |= {"experts": experts, "top": top, "epilogue": epilogue}
    return operator("expert_down", attrs, build)
