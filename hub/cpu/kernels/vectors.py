"""A kernel under construction: its parameters, and vectors of 128 bits.

Everything here builds TIR. Vectors are named by their lanes; a value that is used twice is bound,
for TIR repeats what it is told to. Nothing here knows an operation.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.tirx.script.builder import ir as B

ANY = 1 << 30
"""The declared length of buffers: how long they are is no concern of code."""


class Body:
    """Declares a kernel's parameters in order: buffers, scalars, then the items."""

    def __init__(self) -> None:
        self._count = 0

    def buffer(self, dtype: str = "float32") -> Any:
        """The next binding, read and written as elements of `dtype`."""
        handle = B.arg(f"p{self._count}", B.handle())
        found = IRBuilder.name(f"t{self._count}", B.match_buffer(handle, (ANY,), dtype))
        self._count += 1
        return found

    def scalar(self, name: str) -> Any:
        """The next uniform, int32."""
        return B.arg(name, tirx.Var(name, "int32"))

    @contextmanager
    def items(self) -> Any:
        """The loop over this call's items; after all other parameters."""
        begin, end = self.scalar("begin"), self.scalar("end")
        with B.serial(begin, end) as item:
            yield item


def function(build: Callable[[Body], None]) -> Any:
    """The PrimFunc that `build` writes."""
    with IRBuilder() as builder, B.prim_func(is_private=True, s_tir=True):
        build(Body())
    return builder.get()


def named(name: str, *parts: object) -> str:
    """A name that tells what a kernel does, unique to all that its code depends on."""
    text = " ".join(map(str, parts))
    return f"{name}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def opaque(value: Any) -> Any:
    """A scalar or vector through a local variable.

    TVM follows what is bound to its definition again and again: chains of functions, minima and
    quotients take it minutes, and it gains nothing here. LLVM keeps such a variable in a register.
    """
    kept = B.alloc_buffer((1,), str(value.ty.dtype), scope="local")
    B.buffer_store(kept, value, [0])
    return kept[0]


# --- vectors ---


def load(buffer: Any, at: Any, lanes: int = 4) -> Any:
    """`lanes` neighbouring elements, bound."""
    return B.bind(buffer[B.ramp(at, 1, lanes)])


def load_parts(buffer: Any, at: Any, lanes: int, count: int) -> list[Any]:
    """`count` neighbouring vectors of `lanes` elements.

    As one load: LLVM cuts it into loads that share an address and differ in their constant offsets;
    of separate ones it computes each address.
    """
    whole = B.bind(buffer[B.ramp(at, 1, lanes * count)])
    return [B.bind(shuffle([whole], range(i * lanes, (i + 1) * lanes))) for i in range(count)]


def store(buffer: Any, at: Any, value: Any, lanes: int = 4) -> None:
    """Neighbouring elements from `at` on."""
    B.buffer_store(buffer, value, [at if lanes == 1 else B.ramp(at, 1, lanes)])


def splat(value: Any, lanes: int = 4) -> Any:
    """One value in every lane."""
    return B.broadcast(value, lanes)


def constant(value: float, dtype: str, lanes: int = 4) -> Any:
    """A literal in every lane."""
    return B.broadcast(tirx.const(value, dtype), lanes)


def f32(value: float) -> Any:
    """A literal in the four lanes of a float vector."""
    return constant(value, "float32")


def u32(value: int) -> Any:
    """A literal in the four lanes of an unsigned vector."""
    return constant(value, "uint32")


def shuffle(vectors: Sequence[Any], lanes: Sequence[int]) -> Any:
    """The lanes of `vectors`, numbered one after the other, in another order."""
    return tirx.Shuffle(list(vectors), [tirx.const(lane, "int32") for lane in lanes])


def lane(vector: Any, index: int) -> Any:
    """One lane as a scalar."""
    return tirx.Shuffle([vector], [tirx.const(index, "int32")])


def spread(vector: Any, index: int) -> Any:
    """One lane in every lane."""
    return shuffle([vector], [index] * 4)


def sums(a: Any, b: Any, c: Any, d: Any) -> Any:
    """(sum of a, sum of b, sum of c, sum of d), of any four vectors of four."""
    ab = B.bind(shuffle([a, b], [0, 4, 1, 5]) + shuffle([a, b], [2, 6, 3, 7]))
    cd = B.bind(shuffle([c, d], [0, 4, 1, 5]) + shuffle([c, d], [2, 6, 3, 7]))
    return B.bind(shuffle([ab, cd], [0, 1, 4, 5]) + shuffle([ab, cd], [2, 3, 6, 7]))


class Local:
    """`count` vectors or scalars that live in registers; indices must be constants."""

    def __init__(self, count: int, dtype: str = "float32x4") -> None:
        self._buffer = B.alloc_buffer((count,), dtype, scope="local")

    def __getitem__(self, index: int) -> Any:
        return self._buffer[index]

    def __setitem__(self, index: int, value: Any) -> None:
        B.buffer_store(self._buffer, value, [index])


def halves(bits: Any) -> Any:
    """Four f16, given as i32 with their sign extended, as f32: the exponent moved by a product."""
    moved = (bits << constant(13, "int32")) & constant(-0x70000001, "int32")
    return B.reinterpret("float32x4", moved) * f32(2.0**112)


def half_scalar(bits: Any) -> Any:
    """One f16, given as i32 with its sign extended, as f32."""
    moved = (bits << B.int32(13)) & B.int32(-0x70000001)
    return B.reinterpret("float32", moved) * B.float32(2.0**112)
