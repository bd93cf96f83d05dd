"""The operators of inputs that every layer is given besides, as TIR; see `operators.py`.

Per-layer embeddings as in Gemma 3n and Gemma 4; reference: transformers' Gemma4TextModel.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import functools
from typing import Any

from tvm.tirx.script.builder import ir as B

from .tir import Function, dot, local, operator, reads_all


@functools.cache
def mix_inputs(width: int, size: int, scale: float, eps: float) -> Any:
    """((projected * scale) normed by its root mean square within each `size` columns, times the
    weight, + looked_up) / sqrt(2).

    (projected f32[n, width], looked_up f32[n, width], weight f32[size], out f32[n, width])
    """

    def build(f: Function) -> None:
        projected, looked_up = f.tensor((f.n, width)), f.tensor((f.n, width))
        weight, out = f.tensor((size,)), f.tensor((f.n, width))
        with B.grid(f.n, width) as (i, j), B.sblock("mix_inputs"):
            vi, vj = B.axis.remap("SS", [i, j])
            reads_all(projected, looked_up, weight)
            B.writes(out[vi, vj])
            acc, start = local(1), vj // size * size
            dot(acc, 0, size, lambda k: projected[vi, start + k] * projected[vi, start + k])
            mean = acc[0] * B.float32(scale * scale / size) + B.float32(eps)
            normed = projected[vi, vj] * B.float32(scale) / B.sqrt(mean) * weight[vj % size]
            B.buffer_store(out, (normed + looked_up[vi, vj]) * B.float32(0.5**0.5), [vi, vj])

    return operator("mix_inputs", {"width": width, "size": size, "scale": scale, "eps": eps}, build)


@functools.cache
def gate_inputs(size: int, width: int, start: int) -> Any:
    """out = gate * the columns of `inputs` from `start` on.

    (gate f32[n, size], inputs f32[n, width], out f32[n, size])
    """

    def build(f: Function) -> None:
        gate, inputs = f.tensor((f.n, size)), f.tensor((f.n, width))
        out = f.tensor((f.n, size))
        with B.grid(f.n, size) as (i, j), B.sblock("gate_inputs"):
            vi, vj = B.axis.remap("SS", [i, j])
            reads_all(gate, inputs)
            B.writes(out[vi, vj])
            B.buffer_store(out, gate[vi, vj] * inputs[vi, start + vj], [vi, vj])

    return operator("gate_inputs", {"size": size, "width": width, "start": start}, build)


@functools.cache
def scale_rows(cols: int) -> Any:
    """out = x * factor[0].   (x f32[n, cols], factor f32[1], out f32[n, cols])"""

    def build(f: Function) -> None:
        x, factor = f.tensor((f.n, cols)), f.tensor((1,))
        out = f.tensor((f.n, cols))
        with B.grid(f.n, cols) as (i, j), B.sblock("scale_rows"):
            vi, vj = B.axis.remap("SS", [i, j])
            reads_all(x, factor)
            B.writes(out[vi, vj])
            B.buffer_store(out, x[vi, vj] * factor[0], [vi, vj])

    return operator("scale_rows", {"cols": cols}, build)
