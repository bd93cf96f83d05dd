"""Inputs that every layer is given besides: calls to the operators of `input_operators.py`."""

from __future__ import annotations

from tvm.relax.frontend.nn import Tensor, op

from . import input_operators


def mixed_inputs(
    projected: Tensor, looked_up: Tensor, gain: Tensor, scale: float, eps: float
) -> Tensor:
    """What a token's embedding and its own row of a table give all layers, f32[n, layers * size];
    the embedding's part is times `scale` and normed with weights f32[size]."""
    func = input_operators.mix_inputs(int(projected.shape[1]), int(gain.shape[0]), scale, eps)
    return op.tensor_ir_op(func, "mix_inputs", [projected, looked_up, gain], projected)


def gated_inputs(gate: Tensor, inputs: Tensor, layer: int) -> Tensor:
    """gate f32[n, size] times the inputs of that layer."""
    size = int(gate.shape[1])
    func = input_operators.gate_inputs(size, int(inputs.shape[1]), layer * size)
    return op.tensor_ir_op(func, "gate_inputs", [gate, inputs], gate)


def scaled(x: Tensor, factor: Tensor) -> Tensor:
    """x times the one number of `factor`."""
    func = input_operators.scale_rows(int(x.shape[1]))
    return op.tensor_ir_op(func, "scale_rows", [x, factor], x)
