"""What the kernel library speaks in: operations, device profiles and finished kernels.

An `Op` is a name and static attributes; a `Profile` is a class of devices; a `LibraryKernel` is
everything a plan needs for one dispatch but the buffers. The text of a kernel depends on its op
and profile alone. This module does not know how any operation is computed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from runtime.plan import Expr, Uniform

Grid = tuple[Expr, Expr, Expr]

FOLD = 32768
"""Workgroups along x once a grid is too long for one dimension (the limit is 65535)."""


@dataclass(frozen=True, slots=True)
class Op:
    """A hot operation of a model with its static attributes.

    `n` is 1 for one token, or "n" where the number of rows is a symbol of the plan.
    """

    name: str
    attrs: Mapping[str, int | float | str | bool]

    def integer(self, key: str, default: int | None = None) -> int:
        """The attribute `key`, an int; KeyError when it is absent and has no default."""
        value = self.attrs[key] if default is None else self.attrs.get(key, default)
        assert isinstance(value, int), (self.name, key, value)
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """The attribute `key` as a float."""
        value = self.attrs[key] if default is None else self.attrs.get(key, default)
        assert isinstance(value, int | float), (self.name, key, value)
        return float(value)

    def text(self, key: str) -> str:
        """The attribute `key`, a str."""
        value = self.attrs[key]
        assert isinstance(value, str), (self.name, key, value)
        return value

    @property
    def dynamic(self) -> bool:
        """Whether the number of rows is the symbol `n`."""
        return self.attrs.get("n", 1) == "n"

    @property
    def tokens(self) -> Expr:
        """The number of rows: `n` or 1."""
        return Expr("n") if self.dynamic else Expr(1)


@dataclass(frozen=True, slots=True)
class Profile:
    """A class of devices: what shaders may use, and whether the device is a processor.

    `matrix` devices multiply 16 by 16 squares of f16 into f32, in subgroups of 32.

    `software` adapters (SwiftShader, lavapipe) run one thread per output row: barriers and wide
    workgroups cost them more than they save.
    """

    name: str
    f16: bool
    subgroups: bool
    software: bool
    matrix: bool = False


PROFILES = {
    "software": Profile("software", f16=False, subgroups=False, software=True),
    "base": Profile("base", f16=False, subgroups=False, software=False),
    "f16": Profile("f16", f16=True, subgroups=False, software=False),
    "f16+subgroups": Profile("f16+subgroups", f16=True, subgroups=True, software=False),
    "matrix": Profile("matrix", f16=True, subgroups=True, software=False, matrix=True),
}


@dataclass(frozen=True, slots=True)
class LibraryKernel:
    """One dispatch of an op: bindings in the order of the op's arguments.

    `uniforms` (when not empty) is the struct at the binding after the last argument; `writes`
    lists the bindings declared read_write. Expressions use the symbols `n` (rows of this call),
    `pos` (tokens cached before it) and `seed`.
    """

    name: str
    wgsl: str
    uniforms: tuple[Uniform, ...]
    grid: Grid
    writes: tuple[int, ...]
    entry_point: str = "main"


@dataclass(frozen=True, slots=True)
class KernelSequence:
    """Several dispatches that compute one op together.

    Each kernel comes with its bindings: numbers below the op's argument count are arguments, the
    rest are temporaries, whose sizes in bytes are `scratch`; an expression may use `n`.
    """

    kernels: tuple[tuple[LibraryKernel, tuple[int, ...]], ...]
    scratch: tuple[int | Expr, ...]

    def scratch_nbytes(self, symbols: Mapping[str, int]) -> list[int]:
        """The temporaries' sizes in bytes under `symbols`."""
        return [s if isinstance(s, int) else s.evaluate(symbols) for s in self.scratch]


def dispatches(kernel: LibraryKernel | KernelSequence) -> tuple[LibraryKernel, ...]:
    """The kernels of one op in the order they run."""
    if isinstance(kernel, LibraryKernel):
        return (kernel,)
    return tuple(part for part, _ in kernel.kernels)


def kernel_name(name: str, wgsl: str) -> str:
    """A name that tells what it does and is unique to the text: `matmul_3f2a9c01d4`."""
    return f"{name}_{hashlib.sha256(wgsl.encode()).hexdigest()[:10]}"


def ceil_div(value: Expr, divisor: int) -> Expr:
    """`value` divided by `divisor`, rounded up; a literal stays a literal."""
    if isinstance(value.value, int):
        return Expr(-(-value.value // divisor))
    return Expr(("//", Expr(("+", value, Expr(divisor - 1))), Expr(divisor)))


def times(value: Expr, factor: int) -> Expr:
    """`value * factor`; a literal stays a literal."""
    if isinstance(value.value, int):
        return Expr(value.value * factor)
    return value if factor == 1 else Expr(("*", value, Expr(factor)))


def folded(workgroups: Expr) -> Grid:
    """A 1-D count of workgroups as a grid; kernels number them `wid.y * FOLD + wid.x`."""
    if isinstance(workgroups.value, int):
        count = workgroups.value
        return Expr(min(count, FOLD)), Expr(-(-count // FOLD)), Expr(1)
    return Expr(("min", workgroups, Expr(FOLD))), ceil_div(workgroups, FOLD), Expr(1)


def symbols(*names: str) -> tuple[Uniform, ...]:
    """Uniform members of type u32 that carry plan symbols."""
    return tuple(Uniform("u32", Expr(name)) for name in names)
