"""A plan for the processor made ready to replay: where its buffers lie, and its entries as code.

An entry becomes one WebAssembly function that calls the kernels of the plan's module in order, so
a step costs one call from Python however many dispatches it has. Its parameters are the values of
the entry's expressions.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import ModelpressError
from ..plan import Entry, Expr, Module, Plan, Step
from ..processor import MAX_MEMORY

ALIGNMENT = 64
CALLER = "kernels"
"""The name under which an entry imports the module's functions."""
TICK = '(import "host" "tick" (func $tick))'


@dataclass(frozen=True, slots=True)
class Layout:
    """The address and the size of every buffer, and the first address behind them all."""

    addresses: Mapping[str, int]
    sizes: Mapping[str, int]
    nbytes: int


def lay_out(plan: Plan, module: Module, pages: int) -> Layout:
    """Buffers in the plan's order behind the module's own data, each at a multiple of 64 bytes.

    ModelpressError "out_of_memory" when they pass what 32 bits address.
    """
    addresses: dict[str, int] = {}
    sizes: dict[str, int] = {}
    end = module.data_end
    for buffer in plan.buffers:
        addresses[buffer.name] = end
        sizes[buffer.name] = buffer.nbytes.evaluate({"pages": pages})
        end += -(-sizes[buffer.name] // ALIGNMENT) * ALIGNMENT
    if end > MAX_MEMORY:
        raise ModelpressError(
            "out_of_memory",
            f"the model needs {end:,} bytes on the processor, which gives it {MAX_MEMORY:,}; "
            "try a smaller context or model",
            details={"needed": end, "available": MAX_MEMORY},
        )
    return Layout(addresses, sizes, end)


@dataclass(frozen=True, slots=True)
class EntryCode:
    """An entry as a module's text: its one function `run` takes the values of `expressions`."""

    kernels: tuple[str, ...]
    expressions: tuple[Expr, ...]
    text: str

    def values(self, symbols: Mapping[str, int]) -> list[int]:
        """What `run` takes under `symbols`."""
        return [_signed(expr.evaluate(symbols)) for expr in self.expressions]


def entry_code(plan: Plan, entry: Entry, layout: Layout, *, ticks: bool = False) -> EntryCode:
    """The code of `entry`; with `ticks` it calls `host.tick` before its steps and after each."""
    points = {kernel.name: kernel.entry_point for kernel in plan.kernels}
    writer = _Writer(layout, points, "call $tick" if ticks else "")
    body = [writer.step(step) for step in entry.steps]
    imports = [TICK] if ticks else []
    imports += [
        f'(import "{CALLER}" "{name}" (func ${name} (param {kinds})))'
        for name, kinds in writer.signatures.items()
    ]
    params = "".join(f" (param $v{i} i32)" for i in range(len(writer.expressions)))
    function = f'(func (export "run"){params}\n{writer.tick}\n' + "\n".join(body) + ")"
    text = "(module\n" + "\n".join((*imports, function)) + ")"
    return EntryCode(tuple(writer.signatures), tuple(writer.expressions), text)


class _Writer:
    """Writes steps down; remembers what they call and which values they take."""

    def __init__(self, layout: Layout, points: Mapping[str, str], tick: str) -> None:
        self.layout, self.points, self.tick = layout, points, tick
        self.signatures: dict[str, str] = {}
        self.expressions: list[Expr] = []

    def step(self, step: Step) -> str:
        """A call of the step's kernel with all its items; none where it has none."""
        name = self.points[step.kernel]
        kinds = ["i32"] * len(step.bindings)
        kinds += ["f32" if u.type == "f32" else "i32" for u in step.uniforms] + ["i32", "i32"]
        self.signatures.setdefault(name, " ".join(kinds))
        args = [f"i32.const {_signed(self.layout.addresses[b])}" for b in step.bindings]
        args += [self._value(u.value, u.type) for u in step.uniforms]
        items = self._value(step.grid[0], "i32")
        call = " ".join((*args, "i32.const 0", items, f"call ${name}"))
        return f"{items} i32.const 0 i32.gt_s if {call} end {self.tick}"

    def _value(self, expr: Expr, kind: str) -> str:
        if not expr.symbols():
            value = expr.evaluate({})
            return f"f32.const {value}" if kind == "f32" else f"i32.const {_signed(value)}"
        if expr not in self.expressions:
            self.expressions.append(expr)
        got = f"local.get $v{self.expressions.index(expr)}"
        return f"{got} f32.convert_i32_s" if kind == "f32" else got


def _signed(value: int) -> int:
    """The same 32 bits as a signed number."""
    number: int = struct.unpack("<i", struct.pack("<I", value & 0xFFFFFFFF))[0]
    return number


def durations(
    names: Sequence[str], ticks: Sequence[tuple[float, float]]
) -> list[tuple[str, float]]:
    """(kernel, microseconds) of steps, from when each tick between them began and ended."""
    pairs = itertools.pairwise(ticks)
    return [
        (name, (later[0] - earlier[1]) * 1e6)
        for name, (earlier, later) in zip(names, pairs, strict=True)
    ]
