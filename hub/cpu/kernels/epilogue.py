"""What happens to products before they are stored, and where they are stored.

Four neighbouring columns of one row at a time: a bias, an activation or a gate, a soft cap, a
residual, each where the op has it.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.tirx.script.builder import ir as B

from ...kernels.kernel import Op
from .mathematics import activated, soft_capped
from .vectors import Body, lane, load, opaque, store


@dataclass(frozen=True, slots=True)
class Epilogue:
    """The parts of an op's end that its code depends on."""

    gated: bool
    bias: bool
    residual: bool
    activation: str
    softcap: float

    @classmethod
    def of(cls, op: Op) -> Epilogue:
        """What the attributes of a `matmul` or `gate_up` ask for."""
        return cls(
            gated=op.name == "gate_up",
            bias=bool(op.attrs.get("bias", False)),
            residual=op.attrs.get("epilogue", "none") == "add",
            activation=str(op.attrs.get("activation", "")),
            softcap=op.number("softcap", 0.0),
        )

    @property
    def buffers(self) -> int:
        """How many buffers it reads."""
        return int(self.bias) + int(self.residual)


class Ending:
    """An epilogue over a kernel's parameters, which it declares: bias, residual, the result."""

    def __init__(self, epilogue: Epilogue, f: Body) -> None:
        self._epilogue = epilogue
        self._bias = f.buffer() if epilogue.bias else None
        self._residual = f.buffer() if epilogue.residual else None
        self._out = f.buffer()

    def scalars(self, f: Body) -> None:
        """Declares rows (of results), start (the first one's column) and out_cols."""
        self.rows, self._start = f.scalar("rows"), f.scalar("start")
        self._out_cols = f.scalar("out_cols")

    def finish(self, token: Any, first: Any, sums: Any, ups: Any = None) -> None:
        """Store the four columns from `first` on of row `token`, those that there are."""
        at = opaque(token * self._out_cols + self._start + first)
        value = opaque(sums)
        if self._bias is not None:
            value = opaque(value + load(self._bias, self._start + first))
        if self._epilogue.activation:
            value = opaque(activated(self._epilogue.activation, value))
        if ups is not None:
            value = opaque(value * ups)
        if self._epilogue.softcap:
            value = opaque(soft_capped(value, self._epilogue.softcap))
        if self._residual is not None:
            value = opaque(value + load(self._residual, at))
        with B.If(first + 4 <= self.rows):
            with B.Then():
                store(self._out, at, value)
            with B.Else():
                for i in range(3):
                    with B.If(first + i < self.rows), B.Then():
                        store(self._out, at + i, lane(value, i), 1)
