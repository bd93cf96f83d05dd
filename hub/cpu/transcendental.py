"""exp, tanh, log and the like as arithmetic: WebAssembly has none, and no library is linked.

`EXPANSIONS` says what each call of TIR on float32 becomes, before loops are made vectors, so that
a loop over them stays a vector loop. Range reductions: Cody and Waite, Software Manual for the
Elementary Functions (1980); polynomials: fitted at Chebyshev points, or as named.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import tvm
from tvm import tirx
from tvm_ffi import structural_map

F32, I32 = "float32", "int32"
ROUNDING = 1.5 * 2**23
"""Added to a small number, it leaves the nearest integer in the last bits."""


def expand(func: tirx.PrimFunc) -> tirx.PrimFunc:
    """`func` with every call in `EXPANSIONS` written out."""

    def replace(call: Any) -> Any:
        make = EXPANSIONS.get(str(getattr(call.op, "name", "")))
        return call if make is None or str(call.ty.dtype) != F32 else make(*call.args)

    expanded: tirx.PrimFunc = structural_map(func, (tvm.ir.Call, replace))
    return expanded


def without_lets(func: tirx.PrimFunc) -> tirx.PrimFunc:
    """`func` with what its expressions hold bound in statements of their own.

    TVM's analysis stumbles over a held value that it meets twice.
    """

    def flat(stmt: Any) -> Any:
        if not any(isinstance(part, tirx.SeqStmt) for part in stmt.seq):
            return stmt
        parts = [p.seq if isinstance(p, tirx.SeqStmt) else [p] for p in stmt.seq]
        return tirx.SeqStmt([inner for part in parts for inner in part])

    plain = ((tirx.BufferStore, tirx.Bind, tirx.Evaluate), _with_bindings)
    found: tirx.PrimFunc = structural_map(func, (plain, (tirx.SeqStmt, flat)))
    return found


def _with_bindings(stmt: Any) -> Any:
    bindings: list[Any] = []

    def bare(value: Any) -> Any:
        return structural_map(value, (tirx.Let, take), order="pre")

    def take(expr: Any) -> Any:
        while isinstance(expr, tirx.Let):
            # What the value holds itself comes before it.
            value = bare(expr.value)
            bindings.append(tirx.Bind(expr.var, value))
            expr = expr.body
        return expr

    found = bare(stmt)
    return tirx.SeqStmt([*bindings, found]) if bindings else stmt


def _f32(value: float) -> Any:
    return tirx.const(value, F32)


def _i32(value: int) -> Any:
    return tirx.const(value, I32)


def _let(value: Any, body: Callable[[Any], Any]) -> Any:
    """`body` of the value, which is computed once.

    An integer is repeated instead: TVM's analysis takes one that is held for one that changes, and
    LLVM computes it once all the same.
    """
    if str(value.ty.dtype) != F32:
        return body(value)
    var = tirx.Var("held", value.ty)
    return tirx.Let(var, value, body(var))


def _horner(x: Any, *coefficients: float) -> Any:
    """The polynomial of x, the highest power's coefficient first."""
    total = _f32(coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * x + _f32(coefficient)
    return total


def exp(x: Any) -> Any:
    """e ** x, relative error under 2e-7, for x held within -87.3 and 88.3."""
    held = tirx.max(tirx.min(x, _f32(88.3)), _f32(-87.3))

    def shifted(y: Any, t: Any) -> Any:
        power = t - _f32(ROUNDING)
        # ln 2 in two parts: the first has so few bits that its product with `power` is exact.
        rest = y - power * _f32(0.693359375) - power * _f32(-2.12194440054690583e-4)
        scale = tirx.reinterpret(F32, (tirx.reinterpret(I32, t) << _i32(23)) + _i32(127 << 23))
        return _let(rest, lambda r: _raised(r) * scale)

    return _let(
        held, lambda y: _let(y * _f32(math.log2(math.e)) + _f32(ROUNDING), lambda t: shifted(y, t))
    )


def _raised(r: Any) -> Any:
    """e ** r for |r| <= ln(2) / 2."""
    tail = _horner(r, *EXP_TAIL)
    return tail * r * r + r + _f32(1)


EXP_TAIL = (1.98993925e-4, 1.39337332e-3, 8.33329834e-3, 4.16664642e-2, 0.166666667, 0.5)
"""(e ** r - 1 - r) / r ** 2 on |r| <= ln(2) / 2."""


def exp2(x: Any) -> Any:
    return exp(x * _f32(math.log(2)))


def tanh(x: Any) -> Any:
    """Within 2e-7."""

    def signed(v: Any) -> Any:
        size = tirx.max(v, -v)
        value = _let(exp(size * _f32(-2)), lambda t: (_f32(1) - t) / (_f32(1) + t))
        return _let(value, lambda found: tirx.Select(v < _f32(0), -found, found))

    return _let(x, signed)


def sigmoid(x: Any) -> Any:
    return _f32(1) / (_f32(1) + exp(-x))


def log(x: Any) -> Any:
    """The natural logarithm of a positive normal number, relative error under 3e-7 away from 1."""

    def split(bits: Any) -> Any:
        # The exponent such that the mantissa lies between sqrt(1/2) and sqrt(2).
        power = (bits - _i32(0x3F3504F3)) >> _i32(23)
        mantissa = _let(power, lambda p: tirx.reinterpret(F32, bits - (p << _i32(23))))
        return _let(mantissa, lambda m: _log_of(m) + tirx.Cast(F32, power) * _f32(math.log(2)))

    return _let(x, lambda held: split(tirx.reinterpret(I32, held)))


def _log_of(m: Any) -> Any:
    """By the series of the inverse hyperbolic tangent of (m - 1) / (m + 1)."""

    def series(s: Any) -> Any:
        return s * _horner(s * s, 2 / 9, 2 / 7, 2 / 5, 2 / 3, 2)

    return _let((m - _f32(1)) / (m + _f32(1)), series)


def erf(x: Any) -> Any:
    """Abramowitz and Stegun 7.1.26: within 5e-7."""

    def signed(v: Any) -> Any:
        size = tirx.max(v, -v)
        t = _f32(1) / (_f32(1) + _f32(0.3275911) * size)
        tail = _let(
            t,
            lambda u: (
                u * _horner(u, 1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
            ),
        )
        value = _f32(1) - tail * exp(-(size * size))
        return _let(value, lambda found: tirx.Select(v < _f32(0), -found, found))

    return _let(x, signed)


def rsqrt(x: Any) -> Any:
    return _f32(1) / tirx.sqrt(x)


def power(base: Any, exponent: Any) -> Any:
    """base ** exponent of a positive base."""
    return exp(exponent * log(base))


HALF_PI = (1.5703125, 4.837512969970703e-4, 7.549533620476723e-8, 2.5633440682570896e-12)
"""pi / 2 in parts of 8, 11, 11 and 24 bits: the products with few turns are exact."""


def sine(x: Any) -> Any:
    return _turned(x, 0)


def cosine(x: Any) -> Any:
    return _turned(x, 1)


def _turned(x: Any, quarter: int) -> Any:
    """sin(x + quarter * pi / 2), absolute error under 3e-7 up to 1e4, under 1e-5 up to 1e5."""

    def reduced(v: Any, t: Any) -> Any:
        turns = t - _f32(ROUNDING)
        rest = v
        for part in HALF_PI:
            rest = rest - turns * _f32(part)
        place = (tirx.reinterpret(I32, t) + _i32(quarter)) & _i32(3)
        return _let(rest, lambda r: _let(place, lambda q: _quadrant(r, q)))

    return _let(x, lambda v: _let(v * _f32(2 / math.pi) + _f32(ROUNDING), lambda t: reduced(v, t)))


def _quadrant(r: Any, q: Any) -> Any:
    square = r * r
    low = r * _horner(square, 1 / 362880, -1 / 5040, 1 / 120, -1 / 6, 1)
    high = _horner(square, 1 / 40320, -1 / 720, 1 / 24, -0.5, 1)
    value = tirx.Select((q & _i32(1)) == _i32(0), low, high)
    return _let(value, lambda found: tirx.Select(q >= _i32(2), -found, found))


EXPANSIONS: Mapping[str, Callable[..., Any]] = {
    "tirx.cos": cosine,
    "tirx.erf": erf,
    "tirx.exp": exp,
    "tirx.exp2": exp2,
    "tirx.log": log,
    "tirx.pow": power,
    "tirx.rsqrt": rsqrt,
    "tirx.sigmoid": sigmoid,
    "tirx.sin": sine,
    "tirx.tanh": tanh,
}
