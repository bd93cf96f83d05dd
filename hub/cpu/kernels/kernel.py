"""What the kernels of the processor speak in: finished kernels over plain memory.

The operations (`Op`) are those of the WebGPU library and so are their arguments, attributes and
layouts; how work is cut differs. A kernel is one PrimFunc, which becomes one function of a
WebAssembly module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime.plan import Expr, Uniform


@dataclass(frozen=True, slots=True)
class CpuProfile:
    """Which instructions a module may use, and how exact its products are.

    `relaxed` allows the dot product of the relaxed SIMD proposal. `exact` computes in float32
    throughout; without it the rows that meet quantized matrices are rounded to int8 in groups of
    32 columns.
    """

    relaxed: bool = False
    exact: bool = False


@dataclass(frozen=True, slots=True)
class CpuKernel:
    """One step: a function over work items [begin, end) of `items`.

    `func` takes one buffer per binding in their order (flat, of any length, of the element type
    that suits it), then an int32 (or float32) for each of `uniforms`, then int32 `begin` and
    `end`. Items may run in any order and on any thread. `writes` lists the bindings written.
    Kernels may read, never write, up to 128 bytes behind a buffer: weights, rows and caches are
    never the last in memory, for a plan's input and output lie behind them.
    Equal `name` means equal `func`.
    """

    name: str
    func: Any
    writes: tuple[int, ...]
    uniforms: tuple[Uniform, ...]
    items: Expr


@dataclass(frozen=True, slots=True)
class CpuSequence:
    """Several steps that compute one op together.

    Each kernel comes with its bindings: numbers below the op's argument count are arguments, the
    rest are temporaries, whose sizes in bytes are `scratch`; an expression may use `n`.
    """

    kernels: tuple[tuple[CpuKernel, tuple[int, ...]], ...]
    scratch: tuple[int | Expr, ...]

    def scratch_nbytes(self, symbols: Mapping[str, int]) -> list[int]:
        """The temporaries' sizes in bytes under `symbols`."""
        return [s if isinstance(s, int) else s.evaluate(symbols) for s in self.scratch]
