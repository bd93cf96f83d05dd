"""Linear attention with a recurrent state: calls to the operators of `linear_operators.py`.

Also what its models' other layers add: a gate on what attention gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm import relax
from tvm.relax.frontend.nn import Tensor, op

from . import linear_operators
from .layers import F32, Matrix
from .linear_operators import PLACES, DeltaShape


@dataclass(frozen=True, slots=True)
class DeltaNet:
    """One layer: its projections, its convolution, and what its heads are normed by."""

    shape: DeltaShape
    mixer: Matrix
    """Queries, keys, values, gates."""
    rates: Matrix
    """Of forgetting and learning, by head."""
    decays: Tensor
    conv: Tensor
    gain: Tensor
    eps: float

    def forward(
        self, x: Tensor, pos: Any, states: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """x f32[n, hidden], (rows, memory) -> (f32[n, value_heads * value_dim], both states)."""
        shape, at = self.shape, relax.ShapeExpr([pos])
        projected, (rows, memory) = self.mixer.multiply(x), states
        width = int(projected.shape[1])
        conv = linear_operators.causal_conv(shape.channels, width, shape.kernel)
        mixed, rows = _stateful(
            conv, "causal_conv", [projected, self.conv, rows, at], shape.channels
        )
        args = [mixed, self.rates.multiply(x), self.decays, memory, at]
        read, memory = _stateful(
            linear_operators.delta_rule(shape), "delta_rule", args, shape.values
        )
        norm = linear_operators.gated_norm(
            shape.value_heads, shape.value_dim, width, shape.channels, self.eps
        )
        args = [read, projected, self.gain]
        return op.tensor_ir_op(norm, "gated_norm", args, read), (rows, memory)


def _stateful(func: Any, name: str, args: list[Any], cols: int) -> tuple[Tensor, Tensor]:
    """(f32[n, cols], the state), which is the last argument but one and written in place."""
    state = args[-2]
    out = Tensor.placeholder((args[0].shape[0], cols), F32)
    result, left = op.tensor_ir_inplace_op(
        func, name, args, [-1, len(args) - 2], [out, Tensor.placeholder(state.shape, F32)]
    )
    return result, left


def state_shapes(shape: DeltaShape) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of the two states of a layer: the rows that the convolution looks back to, and what the
    heads remember."""
    rows = (PLACES, shape.kernel - 1, shape.channels)
    return rows, (PLACES, shape.value_heads, shape.key_dim, shape.value_dim)


def moved(name: str, state: Tensor, pos: Any, slot: Any) -> Tensor:
    """A state with one place copied to another: `name` is "save" or "restore"."""
    moves = {"save": linear_operators.save_state, "restore": linear_operators.restore_state}
    func = moves[name](*(int(dim) for dim in state.shape[1:]))
    args = [state, relax.ShapeExpr([pos, slot])]
    return op.tensor_ir_inplace_op(func, f"{name}_state", args, [0], state)


def without_gates(qkv: Tensor, heads: int, head_dim: int) -> Tensor:
    """Queries, keys and values, where a gate follows each head of queries."""
    width = int(qkv.shape[1])
    func = linear_operators.without_gates(heads, head_dim, width)
    out = Tensor.placeholder((qkv.shape[0], width - heads * head_dim), F32)
    return op.tensor_ir_op(func, "without_gates", [qkv], out)


def apply_gates(attended: Tensor, qkv: Tensor, heads: int, head_dim: int) -> Tensor:
    """What attention gives, through those gates."""
    func = linear_operators.apply_gates(heads, head_dim, int(qkv.shape[1]))
    return op.tensor_ir_op(func, "apply_gates", [attended, qkv], attended)
