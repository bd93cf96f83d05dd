"""How operators are written: a PrimFunc under construction, and what the operators share.

One block per output element, a serial loop inside, sums in float32; `operators.py` and
`attention_operators.py` say what each computes.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.tirx.script.builder import ir as B

from .schemes import GROUP, SCHEMES

OP_ATTR = "modelpress.op"
ATTRS_ATTR = "modelpress.attrs"
OPAQUE_PATTERN = 8
DTYPES = {"f32": "float32", "f16": "float16", "i32": "int32", "u32": "uint32"}


class Function:
    """A PrimFunc under construction: declares its parameters in order."""

    def __init__(self) -> None:
        self.n = tirx.Var("n", "int64")
        self.pages = tirx.Var("pages", "int64")
        self._count = 0

    def tensor(self, shape: Sequence[Any], dtype: str = "f32") -> Any:
        self._count += 1
        handle = B.arg(f"p{self._count}", B.handle())
        buffer = B.match_buffer(handle, tuple(shape), DTYPES[dtype])
        # Distinct names: the lowered host function refers to its buffers by them.
        return IRBuilder.name(f"t{self._count}", buffer)

    def matrix(self, scheme: str, rows: int, cols: int) -> tuple[Any, ...]:
        """The buffers of a stored matrix."""
        buffers = SCHEMES[scheme].buffers(rows, cols)
        return tuple(self.tensor(shape, dtype) for _, dtype, shape in buffers)

    def position(self) -> Any:
        return self.integer("pos")

    def integer(self, name: str) -> Any:
        """A number that the entry is told, by its symbol."""
        return B.arg(name, tirx.Var(name, "int64"))


def operator(op: str, attrs: Mapping[str, Any], build: Callable[[Function], None]) -> Any:
    """Run `build` inside a fresh PrimFunc and tag the result."""
    with IRBuilder() as builder, B.prim_func(is_private=True, s_tir=True):
        build(Function())
    text = json.dumps(dict(attrs), sort_keys=True)
    return (
        builder.get()
        .with_attr(OP_ATTR, op)
        .with_attr(ATTRS_ATTR, text)
        .with_attr("op_pattern", OPAQUE_PATTERN)
    )


def options(**options: Any) -> dict[str, Any]:
    """The options that are on: one that is off leaves no trace in a kernel's text."""
    return {name: value for name, value in options.items() if value}


def _half(word: Any, high: Any) -> Any:
    """The f16 in the low or high half of a u32 word, as float32: exponent moved by a product."""
    u32 = B.uint32
    bits = (word >> (high * u32(16))) & u32(0xFFFF)
    magnitude = B.reinterpret("float32", (bits & u32(0x7FFF)) << u32(13)) * B.float32(2.0**112)
    return B.if_then_else((bits & u32(0x8000)) == u32(0), magnitude, -magnitude)


def element(scheme: str, weights: tuple[Any, ...], row: Any, k: Any, cols: int) -> Any:
    """Element (row, k) of a stored matrix, dequantized."""
    if scheme == "f32":
        return weights[0][row, k]
    if scheme == "f16":
        return _half(weights[0][row, k // 2], B.Cast("uint32", k % 2))
    index = row * (cols // GROUP) + k // GROUP
    scale = _half(weights[1][index // 2], B.Cast("uint32", index % 2))
    if scheme == "q8":
        byte = (weights[0][row, k // 4] >> B.Cast("uint32", k % 4 * 8)) & B.uint32(0xFF)
        value = B.Cast("int32", byte)
        return B.Cast("float32", B.if_then_else(value > 127, value - 256, value)) * scale
    shift = B.Cast("uint32", k % 4 * 8 + k % 8 // 4 * 4)
    if scheme == "q3":
        return B.Cast("float32", _three_bits(weights[0], row, k, shift, cols // GROUP) - 4) * scale
    nibble = B.Cast("int32", (weights[0][row, k // 8] >> shift) & B.uint32(0xF))
    return B.Cast("float32", nibble - 8) * scale


def _three_bits(words: Any, row: Any, k: Any, shift: Any, groups: int) -> Any:
    """i32 in 0..7: element k of a row of `groups` groups in `q3`."""
    group, part = k // GROUP, k % GROUP // 8
    own = (words[row, B.min(part, 2) * groups + group] >> shift) & B.uint32(7)
    spare = B.uint32(0)
    for j in range(3):
        bit = words[row, j * groups + group] >> (shift + B.uint32(3)) & B.uint32(1)
        spare = spare | (bit << B.uint32(j))
    return B.Cast("int32", B.if_then_else(part < 3, own, spare))


def reads_all(*tensors: Any) -> None:
    """Declare whole tensors as read: blocks here index by values, not by loops."""
    B.reads(*(t[tuple(slice(0, dim) for dim in t.shape)] for t in tensors))


def dot(acc: Any, slot: int, cols: int, product: Callable[[Any], Any]) -> None:
    """acc[slot] = the sum of product(k) for k < cols."""
    B.buffer_store(acc, B.float32(0), [slot])
    with B.serial(0, cols) as k:
        B.buffer_store(acc, acc[slot] + product(k), [slot])


def local(size: int) -> Any:
    return B.sblock_alloc_buffer((size,), "float32", scope="local")


def activated(activation: str, x: Any) -> Any:
    """`x` through "silu", "gelu_tanh" (arXiv 1606.08415, the tanh form), "gelu" (by erf) or
    "relu"."""
    one = B.float32(1)
    if activation == "silu":
        return x / (one + B.exp(B.min(-x, B.float32(80))))
    if activation == "gelu_tanh":
        # (1 + tanh u) / 2 is the logistic function of 2u.
        twice = x * (B.float32(1.5957691216057308) + x * x * B.float32(0.07135481282636944))
        return x / (one + B.exp(B.min(-twice, B.float32(80))))
    if activation == "relu":
        return B.max(x, B.float32(0))
    assert activation == "gelu", activation
    return x * B.float32(0.5) * (one + _erf(x * B.float32(0.7071067811865476)))


def _erf(z: Any) -> Any:
    """Abramowitz and Stegun 7.1.26: within 1.5e-7."""
    size = B.max(z, -z)
    t = B.float32(1) / (B.float32(1) + B.float32(0.3275911) * size)
    tail = B.float32(1.061405429)
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        tail = tail * t + B.float32(factor)
    value = B.float32(1) - tail * t * B.exp(-B.min(size * size, B.float32(80)))
    return B.if_then_else(z < B.float32(0), -value, value)


def soft_capped(x: Any, cap: float) -> Any:
    """cap * tanh(x / cap): `x` held within +-cap (arXiv 2408.00118)."""
    # Beyond 10 the result is 1 in float32, and some devices' tanh overflows.
    inner = B.max(B.min(x / B.float32(cap), B.float32(10)), B.float32(-10))
    return B.float32(cap) * B.tanh(inner)
