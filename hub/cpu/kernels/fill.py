"""`fill`: synthetic weights, the numbers that `hub/kernels/fill.py` documents.

A buffer's size is a scalar: one function serves every buffer of its kind.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import math
from typing import Any

from tvm.tirx.script.builder import ir as B

from runtime.plan import Expr, Uniform

from ...kernels.fill import KINDS
from ...kernels.kernel import Op
from .kernel import CpuKernel, CpuProfile
from .tokens import kernel, mix, symbol, total
from .vectors import Body

TILE = 4096
"""Words of an item."""
FLOATS = ("uniform", "ones", "rope")
SEEDED = ("bits", "scales", "halves", "uniform")
TURN_PARTS = (6.28125, 0.0019353072)
"""A whole turn in two parts, of which the first has few digits."""


def fill(op: Op, profile: CpuProfile) -> CpuKernel:
    """One buffer of `count` words; uniforms count, and seed for the kinds that are random."""
    kind, count = op.text("kind"), op.integer("count")
    assert kind in KINDS, kind

    def build(f: Body) -> None:
        buffer = f.buffer("float32" if kind in FLOATS else "uint32")
        size, seed = f.scalar("count"), f.scalar("seed") if kind in SEEDED else None
        with f.items() as tile, B.serial(0, B.min(TILE, size - tile * TILE)) as i:
            at = B.bind(tile * TILE + i)
            B.buffer_store(buffer, _value(op, kind, at, seed), [at])

    uniforms = (Uniform("i32", Expr(count)), *([symbol("seed")] if kind in SEEDED else []))
    fixed = sorted((name, value) for name, value in op.attrs.items() if name != "count")
    items = Expr(-(-count // TILE))
    return kernel("fill", build, (0,), key=(fixed,), uniforms=uniforms, items=items)


def _value(op: Op, kind: str, at: Any, seed: Any) -> Any:
    if kind == "ones":
        return B.float32(1)
    if kind == "rope":
        return _rope(op, at)
    word = mix(mix(total(B.Cast("uint32", at), B.uint32(0x9E3779B9))) ^ B.Cast("uint32", seed))
    if kind == "bits":
        return word
    if kind == "scales":
        exponent = ((op.integer("exponent", -7) + 15) << 10) * 0x10001
        return (word & B.uint32(0x83FF83FF)) | B.uint32(exponent)
    if kind == "uniform":
        steps = B.Cast("float32", B.Cast("int32", word >> B.uint32(9)))
        return (steps * B.float32(2.0**-23) - B.float32(0.5)) * B.float32(0.1)
    word = B.bind(word)
    halves = [_small_half(word & B.uint32(0xFFFF)), _small_half(word >> B.uint32(16))]
    return halves[0] | (halves[1] << B.uint32(16))


def _small_half(part: Any) -> Any:
    """The f16 of (part / 65536 - 1/2) / 10, rounded to the nearest, as its bits."""
    share = B.Cast("float32", B.Cast("int32", part)) * B.float32(2.0**-16)
    value = B.bind((share - B.float32(0.5)) * B.float32(0.1))
    bits = B.bind(B.reinterpret("uint32", value))
    sign = (bits >> B.uint32(16)) & B.uint32(0x8000)
    size = B.bind(bits & B.uint32(0x7FFFFFFF))
    # Normal halves: half of a last place, or a little less before an even digit, then a shift.
    odd = (size >> B.uint32(13)) & B.uint32(1)
    normal = (size + B.uint32(0xFFF) + odd - B.uint32(0x38000000)) >> B.uint32(13)
    # Smaller ones count 2^-24: a sum with 1/2 leaves the count in the last digits.
    counted = B.reinterpret("float32", size) + B.float32(0.5)
    small = B.reinterpret("uint32", counted) - B.uint32(0x3F000000)
    return sign | B.Select(size < B.uint32(0x38800000), small, normal)


def _rope(op: Op, at: Any) -> Any:
    """Cosines, then sines, of position * theta ** (-column / half)."""
    half = op.integer("half")
    step = -math.log2(op.number("theta", 10000.0)) / half
    column = B.bind(B.truncmod(at, 2 * half))
    position = B.Cast("float32", B.truncdiv(at, 2 * half))
    power = B.Cast("float32", B.truncmod(column, half)) * B.float32(step)
    angle = B.bind(position * B.exp2(power))
    turns = B.bind(B.nearbyint(angle * B.float32(0.15915494)))
    rest = angle
    for part in TURN_PARTS:
        rest = rest - turns * B.float32(part)
    rest = B.bind(rest)
    return B.Select(column < half, B.cos(rest), B.sin(rest))
