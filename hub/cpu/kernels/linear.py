"""Matrix products on the processor: `matmul` and `gate_up`, for one row and for many.

Arguments are those of `hub/kernels/linear.py`. Quantized matrices meet rows rounded to int8 in
groups of 32 columns (`codes.rounded`), where the profile is not exact: a step that rounds, then
one that multiplies. Shapes are scalars: one function serves all matrices of a scheme and ending.
"""

from __future__ import annotations

from typing import Any

from runtime.plan import Expr, Uniform

from ...kernels.kernel import Op, ceil_div, times
from ...schemes import GROUP, SCHEMES
from . import codes
from .epilogue import Epilogue
from .exact_product import exact_product
from .kernel import CpuKernel, CpuProfile, CpuSequence
from .rounded_product import ROWS, product_of_many, product_of_one, takes_bytes
from .vectors import named

KNOWN = {"scheme", "rows", "cols", "start", "out_cols", "epilogue", "bias", "activation"}
KNOWN |= {"softcap", "few", "n"}
"""Attributes that these kernels honour; an op with others is left to TVM."""


def linear(op: Op, profile: CpuProfile) -> CpuKernel | CpuSequence | None:
    """`matmul` or `gate_up`."""
    if set(op.attrs) - KNOWN:
        return None
    return _Linear(op, profile).steps()


class _Linear:
    """The steps of one op."""

    def __init__(self, op: Op, profile: CpuProfile) -> None:
        self._op, self._profile, self._epilogue = op, profile, Epilogue.of(op)
        self._scheme, self._many = op.text("scheme"), op.dynamic
        self._groups = op.integer("cols") // GROUP
        self._rows = op.integer("rows") // (2 if self._epilogue.gated else 1)
        self._quantized = SCHEMES[self._scheme].group is not None
        self._bytes = takes_bytes(self._scheme, relaxed=profile.relaxed)

    def steps(self) -> CpuKernel | CpuSequence:
        if not self._quantized:
            return self._product(exact_product(self._scheme, self._epilogue, many=self._many), 0)
        arguments = 4 + self._epilogue.buffers
        prepared = (arguments,) if self._profile.exact else (arguments, arguments + 1)
        sides = len(prepared) - 1
        steps = (
            (self._prepared(sides), (0, *prepared)),
            (self._product(self._func(), sides), (*prepared, *range(1, arguments))),
        )
        nbytes = 4 if self._profile.exact else 1 if self._bytes else 2
        sizes = (self._padded * GROUP * nbytes, self._padded * 8)
        return CpuSequence(steps, tuple(times(self._tokens, size) for size in sizes[: sides + 1]))

    def _func(self) -> Any:
        """The product of a quantized matrix."""
        if self._profile.exact:
            return exact_product(self._scheme, self._epilogue, many=self._many)
        make = product_of_many if self._many else product_of_one
        return make(self._scheme, self._epilogue, relaxed=self._profile.relaxed)

    @property
    def _tokens(self) -> Expr:
        """Rows of the prepared x."""
        if not self._many:
            return Expr(1)
        return times(ceil_div(self._op.tokens, codes.TOKENS), codes.TOKENS)

    @property
    def _padded(self) -> int:
        """Groups of a prepared row."""
        return self._groups if self._many else -(-self._groups // 4) * 4

    def _prepared(self, sides: int) -> CpuKernel:
        """The step that rounds or reorders x; it writes codes, and `sides` where it rounds."""
        if sides:
            func = codes.rounded(self._scheme, many=self._many, relaxed=self._bytes)
        else:
            func = codes.reordered(self._scheme, many=self._many)
        order = "q8" if self._scheme == "q8" else "nibbles"
        kind = "round" if sides else "reorder"
        key = (self._many, self._bytes if sides else False, codes.OFFSETS[self._scheme])
        return CpuKernel(
            named(f"{kind}_{order}", kind, order, *key),
            func,
            (1, 2) if sides else (1,),
            self._sizes(),
            times(self._tokens, self._padded),
        )

    def _sizes(self) -> tuple[Uniform, ...]:
        groups = Uniform("i32", Expr(self._groups))
        return (Uniform("i32", self._op.tokens), groups) if self._many else (groups,)

    def _product(self, func: Any, sides: int) -> CpuKernel:
        relaxed = self._bytes if sides else False
        kind = f"{self._scheme}_{'rounded' if sides else 'exact'}_{'many' if self._many else 'one'}"
        out = 1 + sides + len(SCHEMES[self._scheme].buffers(1, GROUP)) + self._epilogue.buffers
        start, out_cols = self._op.integer("start", 0), self._op.integer("out_cols", self._rows)
        shape = tuple(Uniform("i32", Expr(value)) for value in (self._rows, start, out_cols))
        return CpuKernel(
            named(kind, kind, relaxed, self._epilogue),
            func,
            (out,),
            (*self._sizes(), *shape),
            Expr(-(-self._rows // ROWS)),
        )
