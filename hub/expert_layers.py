"""The feed-forward part of a layer with experts: calls to the operators of `expert_operators.py`.

Only the experts that the router chooses for a token are computed for it.
"""

from __future__ import annotations

from dataclasses import dataclass

from tvm.relax.frontend.nn import Tensor, op

from . import expert_operators
from .layers import F32, Matrix


@dataclass(frozen=True, slots=True)
class Mixture:
    """One layer's router and experts: `total` of them, `top` for each token."""

    router: Matrix
    gate_up: Matrix
    down: Matrix
    total: int
    top: int
    features: int
    """Of one expert: the rows of its gate."""
    renormalize: bool
    activation: str

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        """x f32[n, hidden] -> residual + what its experts give, each by its share."""
        ids, shares = self._route(x)
        return self._down(self._gate_up(x, ids), ids, shares, residual)

    def _route(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(ids i32[n, top], shares f32[n, top])."""
        func = expert_operators.route(self.total, self.top, renormalize=self.renormalize)
        shape = (x.shape[0], self.top)
        outputs = [Tensor.placeholder(shape, "int32"), Tensor.placeholder(shape, F32)]
        ids, shares = op.tensor_ir_op(func, "route", [self.router.multiply(x)], outputs)
        return ids, shares

    def _gate_up(self, x: Tensor, ids: Tensor) -> Tensor:
        """f32[n, top * features]."""
        matrix, unit, out = self.gate_up, 2 * self.features, None
        placeholder = Tensor.placeholder((x.shape[0], self.top * self.features), F32)
        for part, weights in zip(matrix.parts, matrix.buffers, strict=True):
            func = expert_operators.expert_gate_up(
                matrix.scheme.name,
                self.features,
                matrix.spec.cols,
                part.start // unit,
                part.rows // unit,
                self.top,
                self.activation,
            )
            args = [x, ids, *weights]
            if out is None:
                out = op.tensor_ir_op(func, "expert_gate_up", args, placeholder)
            else:
                out = op.tensor_ir_inplace_op(
                    func, "expert_gate_up", [*args, out], [len(args)], placeholder
                )
        assert out is not None
        return out

    def _down(self, hidden: Tensor, ids: Tensor, shares: Tensor, residual: Tensor) -> Tensor:
        """f32[n, rows]."""
        matrix, rows, out = self.down, residual.shape[1], None
        placeholder = Tensor.placeholder(residual.shape, F32)
        for part, weights in zip(matrix.parts, matrix.buffers, strict=True):
            func = expert_operators.expert_down(
                matrix.scheme.name,
                rows,
                self.features,
                part.start // rows,
                part.rows // rows,
                self.top,
                "add" if out is None else "accumulate",
            )
            args = [hidden, ids, shares, *weights]
            if out is None:
                out = op.tensor_ir_op(func, "expert_down", [*args, residual], placeholder)
            else:
                out = op.tensor_ir_inplace_op(
                    func, "expert_down", [*args, out], [len(args)], placeholder
                )
        assert out is not None
        return out
