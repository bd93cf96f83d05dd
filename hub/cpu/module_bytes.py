"""Just enough of the WebAssembly binary format to say what a module imports and where its own
data ends (WebAssembly Core Specification 2.0, chapter 5)."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import CompileError

IMPORT, GLOBAL, EXPORT = 2, 6, 7
FUNCTION_KIND, TABLE_KIND, MEMORY_KIND, GLOBAL_KIND = range(4)
I32, I32_CONST, END = 0x7F, 0x41, 0x0B


class _Reader:
    """A place in the bytes of a module."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def unsigned(self) -> int:
        """LEB128."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def name(self) -> str:
        size = self.unsigned()
        self.at += size
        return self.data[self.at - size : self.at].decode()

    def limits(self) -> None:
        bounded = self.byte() & 1
        for _ in range(1 + bounded):
            self.unsigned()


def sections(module: bytes) -> Iterator[tuple[int, int]]:
    """(kind, where its contents begin) of every section."""
    reader = _Reader(module, 8)
    while reader.at < len(module):
        kind, size = reader.byte(), reader.unsigned()
        yield kind, reader.at
        reader.at += size


def imports(module: bytes) -> tuple[tuple[str, str], ...]:
    """(module, name) of everything a module asks for."""
    found = []
    for kind, start in sections(module):
        if kind != IMPORT:
            continue
        reader = _Reader(module, start)
        for _ in range(reader.unsigned()):
            found.append((reader.name(), reader.name()))
            what = reader.byte()
            if what == FUNCTION_KIND:
                reader.unsigned()
            elif what == MEMORY_KIND:
                reader.limits()
            else:
                raise CompileError(f"the module imports {found[-1]}, which no host offers")
    return tuple(found)


def exported_constant(module: bytes, name: str) -> int:
    """The value of an exported i32 global that never changes."""
    values, index = _globals(module), None
    for kind, start in sections(module):
        if kind == EXPORT:
            reader = _Reader(module, start)
            for _ in range(reader.unsigned()):
                exported, what, at = reader.name(), reader.byte(), reader.unsigned()
                if exported == name and what == GLOBAL_KIND:
                    index = at
    if index is None:
        raise CompileError(f"the module exports no {name}")
    return values[index]


def _globals(module: bytes) -> list[int]:
    """The first values of all globals: wasm-ld makes only i32 constants of them."""
    values = []
    for kind, start in sections(module):
        if kind == GLOBAL:
            reader = _Reader(module, start)
            for _ in range(reader.unsigned()):
                header = (reader.byte(), reader.byte() & ~1, reader.byte())
                if header != (I32, 0, I32_CONST):
                    raise CompileError("the module has a global that is not an i32 constant")
                # Addresses are below 4 GiB; the encoding is of signed numbers, whose sign bits
                # beyond 32 do not matter here.
                values.append(reader.unsigned() & 0xFFFFFFFF)
                reader.at += 1
    return values
