"""A Relax function without branches as a list of calls in plain Python: read once, run often.

Values are known by the name of the plan buffer behind a parameter, or by where they come from. It
runs nothing.
"""

# mypy: disable-error-code="attr-defined"

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from tvm import relax, tirx

from runtime.plan import Expr

from .errors import CompileError
from .operators import ATTRS_ATTR, OP_ATTR
from .tvm_kernels import read_expr

Use: TypeAlias = str | tuple[int, int]
"""A parameter's plan buffer, or (call, which of its results)."""
SYMBOLS = {name: Expr(name) for name in ("n", "pos", "pages")}
KINDS = ("relax.call_tir", "relax.call_tir_inplace")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a PrimFunc; integers among the arguments are expressions of n, pos and pages.

    `places[i]` is the argument that result i is written into, -1 for a fresh one.
    """

    function: str
    operator: str
    attrs: Mapping[str, Any]
    args: tuple[Use | Expr, ...]
    places: tuple[int, ...]
    results: tuple[Use, ...]
    params: tuple[tuple[int | str, ...], ...]
    """The dimensions of every parameter; none for an integer."""
    dtypes: tuple[str, ...]
    """Of the fresh results, in order."""

    def shapes(self, args: Sequence[Any]) -> list[tuple[tuple[int, ...], str]]:
        """(shape, element type) of the fresh results for these arguments.

        Their own shapes decide, not what the graph said: rows that it leaves out may be kept.
        """
        bound: dict[str, int] = {}
        for dims, arg in zip(self.params, args, strict=False):
            for dim, size in zip(dims, getattr(arg, "shape", ()), strict=True):
                if isinstance(dim, str):
                    bound[dim] = int(size)
        fresh = self.params[len(args) :]
        return [
            (tuple(bound[dim] if isinstance(dim, str) else dim for dim in dims), dtype)
            for dims, dtype in zip(fresh, self.dtypes, strict=True)
        ]


def read_calls(ir: Any, entry: str, inputs: Sequence[str]) -> tuple[tuple[Call, ...], Use]:
    """Every call of `entry` in order, and its first result; CompileError for anything else.

    `inputs` names the plan buffer of each parameter.
    """
    function = ir[entry]
    reader = _Reader(ir, dict(zip(function.params, inputs, strict=True)))
    for block in function.body.blocks:
        for binding in block.bindings:
            reader.bind(binding.var, binding.value)
    return tuple(reader.calls), reader.use(function.body.body)[0]


class _Reader:
    def __init__(self, ir: Any, values: dict[Any, Any]) -> None:
        self.ir, self.values = ir, values
        self.calls: list[Call] = []

    def bind(self, var: Any, value: Any) -> None:
        self.values[var] = self.call(value) if isinstance(value, relax.Call) else self.use(value)

    def use(self, value: Any) -> Any:
        """The value's name, a tuple of them, or an expression."""
        if isinstance(value, relax.Tuple):
            return tuple(self.use(item) for item in value.fields)
        if isinstance(value, relax.TupleGetItem):
            return self.values[value.tuple_value][value.index]
        # Else it is an expression of the symbols, whose variables are of the same class.
        return self.values[value] if value in self.values else read_expr(value, SYMBOLS, "walk")

    def call(self, call: Any) -> Any:
        name = getattr(call.op, "name", "")
        if name not in KINDS or len(call.args) > 2:
            raise CompileError(f"cannot walk over a call of {name or call.op}")
        func, number = self.ir[call.args[0]], len(self.calls)
        args = [use for arg in call.args[1].fields for use in self._flat(arg)]
        kinds = call.ty_args[0]
        types = list(kinds.fields) if isinstance(kinds, relax.TupleType) else [kinds]
        places = [-1] * len(types)
        if name != KINDS[0]:
            places = [int(i) for i in call.attrs.inplace_indices]
        results = tuple((number, i) for i in range(len(places)))
        self.calls.append(
            Call(
                call.args[0].name_hint,
                str(func.attrs.get(OP_ATTR, "")),
                json.loads(str(func.attrs.get(ATTRS_ATTR, "{}"))),
                tuple(args),
                tuple(places),
                results,
                tuple(_dims(param) for param in func.params),
                tuple(str(t.dtype) for p, t in zip(places, types, strict=True) if p < 0),
            )
        )
        return results if isinstance(kinds, relax.TupleType) else results[0]

    def _flat(self, arg: Any) -> list[Any]:
        if isinstance(arg, relax.ShapeExpr):
            return [read_expr(value, SYMBOLS, "walk") for value in arg.values]
        return [self.use(arg)]


def _dims(param: Any) -> tuple[int | str, ...]:
    if not isinstance(param.ty, tirx.buffer.BufferType):
        return ()
    return tuple(str(d.name) if isinstance(d, tirx.Var) else int(d) for d in param.ty.shape)
