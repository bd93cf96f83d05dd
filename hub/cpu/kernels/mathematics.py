"""Transcendental functions of four floats, as arithmetic: a module links no library.

Range reduction and polynomials: Cody and Waite (1980); Muller, Elementary Functions (2016).
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import math
from typing import Any

from tvm.tirx.script.builder import ir as B

from .vectors import constant, f32, opaque

LOG2_HIGH, LOG2_LOW = 0.693359375, -2.12194440e-4
"""The logarithm of 2 in two parts, of which the first has so few digits that products are exact."""


def _horner(x: Any, *coefficients: float) -> Any:
    """The polynomial of x, the highest power's coefficient first."""
    total = f32(coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * x + f32(coefficient)
    return total


def exp(x: Any) -> Any:
    """e ** x within 2e-7 of itself, for x held within -87 and 88."""
    held = opaque(B.max(B.min(x, f32(88)), f32(-87)))
    power = opaque(B.nearbyint(held * f32(math.log2(math.e))))
    rest = opaque(held - power * f32(LOG2_HIGH) - power * f32(LOG2_LOW))
    terms = [1 / math.factorial(i) for i in range(7, -1, -1)]
    bits = (B.Cast("int32x4", power) + constant(127, "int32")) << constant(23, "int32")
    return opaque(_horner(rest, *terms) * B.reinterpret("float32x4", bits))


def tanh(x: Any) -> Any:
    """The hyperbolic tangent: within 1e-6 of itself where it is not tiny, 1 beyond 10."""
    size = opaque(B.max(B.min(x, f32(10)), f32(-10)))
    square = opaque(size * size)
    # Near 0 the quotient of exponentials would lose digits: the series to the 9th power instead.
    near = size * _horner(square, 62 / 2835, -17 / 315, 2 / 15, -1 / 3, 1.0)
    grown = exp(size + size)
    far = f32(1) - f32(2) / (grown + f32(1))
    return opaque(B.Select(square < f32(0.04), near, far))


def activated(activation: str, x: Any) -> Any:
    """`x` through "silu", "gelu_tanh", "gelu" or "relu", as `hub/tir.py` has them."""
    if activation == "relu":
        return B.max(x, f32(0))
    if activation == "silu":
        return x / (f32(1) + exp(f32(0) - x))
    if activation == "gelu_tanh":
        twice = x * (f32(1.5957691216057308) + x * x * f32(0.07135481282636944))
        return x / (f32(1) + exp(f32(0) - twice))
    assert activation == "gelu", activation
    return x * f32(0.5) * (f32(1) + _erf(opaque(x * f32(0.7071067811865476))))


def _erf(z: Any) -> Any:
    """Abramowitz and Stegun 7.1.26: within 1.5e-7."""
    size = opaque(B.max(z, f32(0) - z))
    t = opaque(f32(1) / (f32(1) + f32(0.3275911) * size))
    tail = _horner(t, 1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
    value = opaque(f32(1) - tail * t * exp(f32(0) - size * size))
    return B.Select(z < f32(0), f32(0) - value, value)


def soft_capped(x: Any, cap: float) -> Any:
    """cap * tanh(x / cap)."""
    return f32(cap) * tanh(x * f32(1 / cap))
