"""WebAssembly modules of a few functions, put together byte by byte, each for one promise.

The binary format is that of https://webassembly.github.io/spec/core/binary/.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from runtime.plan import Module, ModuleFile

I32, F32 = b"\x7f", b"\x7d"
DATA_END = 1 << 16
STACK_NBYTES = 1 << 12
MOST_PAGES = 1 << 16
BLOCK, LOOP, END = b"\x02\x40", b"\x03\x40", b"\x0b"
I32_ADD, I32_MUL, I32_GE = b"\x6a", b"\x6c", b"\x4e"
F32_ADD, F32_MUL, F32_FROM_I32 = b"\x92", b"\x94", b"\xb2"
LOAD_F32, STORE_F32 = b"\x2a\x02\x00", b"\x38\x02\x00"
LOAD_I32, STORE_I32 = b"\x28\x02\x00", b"\x36\x02\x00"
UNREACHABLE = b"\x00"


def _number(value: int, *, signed: bool = False) -> bytes:
    """LEB128."""
    out = bytearray()
    while True:
        low, value = value & 0x7F, value >> 7
        over = (value == 0 and not (signed and low & 0x40)) or (
            signed and value == -1 and low & 0x40
        )
        out.append(low if over else low | 0x80)
        if over:
            return bytes(out)


def _name(text: str) -> bytes:
    return _sized(text.encode())


def _sized(data: bytes) -> bytes:
    return _number(len(data)) + data


def _vector(items: Sequence[bytes]) -> bytes:
    return _number(len(items)) + b"".join(items)


def _section(id: int, items: Sequence[bytes]) -> bytes:
    return bytes([id]) + _sized(_vector(items))


@dataclass(frozen=True, slots=True)
class Function:
    """An exported function without a result."""

    name: str
    parameters: tuple[bytes, ...]
    body: bytes


def module(functions: Sequence[Function], *, shared: bool = False) -> bytes:
    """The module of `functions`, over a memory that it imports."""
    types = [b"\x60" + _vector(f.parameters) + b"\x00" for f in functions]
    limits = b"\x03\x01" + _number(MOST_PAGES) if shared else b"\x00\x01"
    memory = _name("env") + _name("memory") + b"\x02" + limits
    stack = I32 + b"\x01\x41" + _number(DATA_END, signed=True) + END
    exports = [_name(f.name) + b"\x00" + _number(index) for index, f in enumerate(functions)]
    codes = [_sized(b"\x00" + f.body + END) for f in functions]
    return b"\0asm\x01\0\0\0" + b"".join(
        (
            _section(1, types),
            _section(2, [memory]),
            _section(3, [_number(index) for index in range(len(functions))]),
            _section(6, [stack]),
            _section(7, [*exports, _name("__stack_pointer") + b"\x03\x00"]),
            _section(10, codes),
        )
    )


def described(functions: Sequence[Function]) -> tuple[Module, dict[str, bytes]]:
    """The module as a plan names it, and its two blobs by sha256."""
    single, shared = module(functions), module(functions, shared=True)
    blobs = {hashlib.sha256(data).hexdigest(): data for data in (single, shared)}
    files = [ModuleFile(digest, len(data)) for digest, data in blobs.items()]
    return Module(files[0], files[1], DATA_END, STACK_NBYTES), blobs


def get(index: int) -> bytes:
    """Push a local."""
    return b"\x20" + _number(index)


def set_(index: int) -> bytes:
    """Pop into a local."""
    return b"\x21" + _number(index)


def global_get(index: int) -> bytes:
    """Push a global; the first is the stack pointer."""
    return b"\x23" + _number(index)


def constant(value: int) -> bytes:
    """Push an integer."""
    return b"\x41" + _number(value, signed=True)


def element(base: int, index: int) -> bytes:
    """Push the address of the 4-byte element local `index` of the array at local `base`."""
    return get(base) + get(index) + constant(4) + I32_MUL + I32_ADD


def for_items(begin: int, end: int, body: bytes) -> bytes:
    """Run `body` with local `begin` counting up to local `end`."""
    leave = get(begin) + get(end) + I32_GE + b"\x0d\x01"
    count = get(begin) + constant(1) + I32_ADD + set_(begin) + b"\x0c\x00"
    return BLOCK + LOOP + leave + body + count + END + END


SCALE = Function(
    "scale",
    (I32, I32, I32, I32, I32, F32, I32, I32),
    for_items(
        6,
        7,
        element(2, 6)
        + (element(0, 6) + LOAD_F32)
        + (get(5) + element(1, 6) + LOAD_F32 + F32_MUL + F32_ADD)
        + (get(4) + F32_FROM_I32 + F32_ADD)
        + STORE_F32,
    ),
)
"""(a, b, c, n, offset, factor, begin, end): c[i] = a[i] + factor * b[i] + offset."""
COUNT = Function(
    "count",
    (I32, I32, I32),
    for_items(1, 2, get(0) + get(0) + LOAD_I32 + constant(1) + I32_ADD + STORE_I32),
)
"""(total, begin, end): adds one for each item."""
COPY = Function(
    "copy", (I32,) * 4, for_items(2, 3, element(1, 2) + element(0, 2) + LOAD_I32 + STORE_I32)
)
"""(source, target, begin, end): target[i] = source[i]."""
FAIL = Function("fail", (I32,) * 3, UNREACHABLE)
"""Traps."""
