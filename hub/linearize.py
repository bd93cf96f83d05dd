"""Relax to a flat plan: walk the bindings of each entry and write down the dispatches.

After TVM's passes an entry is a straight line of allocations and calls. Each call becomes the
kernel library's kernel when it has one, else TVM's own. It does no planning of its own: storages
come from StaticPlanBlockMemory, and temporaries inside a multi-kernel PrimFunc get a buffer each.
"""

# mypy: disable-error-code="attr-defined"

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tvm import relax, tirx

from runtime.plan import Buffer, Entry, Expr, Kernel, Step, Uniform

from .errors import CompileError
from .families.family import Module
from .kernels import KernelSequence, LibraryKernel, Op
from .operators import ATTRS_ATTR, DTYPES, OP_ATTR
from .passes.pack import CALL_PREFIX
from .tvm_kernels import Lowered, lower, read_expr

Library = Callable[[Op], LibraryKernel | KernelSequence | None]
Lowering = Callable[[str, tirx.PrimFunc, Mapping[str, Expr]], Lowered]
SYMBOLS = ("n", "pos", "pages", "texts", "slot")
FOR_FEW = ("matmul", "gate_up")
"""Operators that are told how many rows there are at most, where those are few."""
SHORT = {name: short for short, name in DTYPES.items()}


@dataclass(slots=True)
class PlanBuilder:
    """Kernels (by text, so that equal ones are one), scratch buffers and entries so far."""

    library: Library
    lowering: Lowering = lower
    """What makes launches of a PrimFunc that the library has nothing for."""
    kernels: dict[str, Kernel] = field(default_factory=dict)
    buffers: dict[str, Buffer] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    bounds: Mapping[str, int] = field(default_factory=dict)
    _lowered: dict[Any, Any] = field(default_factory=dict)

    def add_module(
        self, module: Module, ir: Any, bounds: Mapping[str, int], *, suffix: str = ""
    ) -> None:
        """Every entry of a lowered Relax module, under its name and `suffix`; `bounds` are the
        largest values of its symbols."""
        for name in module.inputs:
            self.bounds = {**bounds, **module.bounds.get(name, {})}
            walker = _Walker(self, name, suffix, module, ir, self.bounds)
            steps = walker.walk()
            self.entries[name + suffix] = Entry(_symbols(name), tuple(steps))
        self.bounds = bounds

    def add_entry(
        self, name: str, symbols: tuple[str, ...], calls: Sequence[tuple[Op, tuple[str, ...]]]
    ) -> None:
        """An entry made of library kernels over named buffers."""
        steps: list[Step] = []
        for op, bindings in calls:
            kernel = self.library(op)
            if kernel is None:
                raise CompileError(f"the kernel library has no {op.name} for {dict(op.attrs)}")
            steps += self.library_steps(f"{name}.{op.name}", kernel, bindings)
        self.entries[name] = Entry(symbols, tuple(steps))

    def library_steps(
        self, where: str, kernel: LibraryKernel | KernelSequence, bindings: tuple[str, ...]
    ) -> list[Step]:
        """The dispatches of one op; its temporaries become buffers named after `where`."""
        if isinstance(kernel, LibraryKernel):
            return [self._library_step(kernel, bindings)]
        temporaries = []
        for index, nbytes in enumerate(kernel.scratch_nbytes(self.bounds)):
            temporaries.append(f"{where}.t{index}")
            self._reserve(temporaries[-1], nbytes)
        named = (*bindings, *temporaries)
        return [self._library_step(k, tuple(named[i] for i in ids)) for k, ids in kernel.kernels]

    def _library_step(self, kernel: LibraryKernel, bindings: tuple[str, ...]) -> Step:
        self.kernels.setdefault(kernel.name, Kernel(kernel.name, kernel.wgsl, kernel.entry_point))
        return Step(kernel.name, bindings, kernel.writes, kernel.uniforms, kernel.grid)

    def _reserve(self, name: str, nbytes: int) -> None:
        """A temporary of one op, shared by every call of it in the entry: they run in turn."""
        old = self.buffers.get(name)
        size = max(nbytes, 0 if old is None else old.nbytes.evaluate({}))
        self.buffers[name] = Buffer(name, "scratch", "f32", Expr(-(-size // 4) * 4))

    def kernel(self, name: str, wgsl: str, entry_point: str) -> str:
        """The plan's name for this text: readable, and stable whatever order kernels come in.

        One without a text is a function of a module, whose name tells it from others already.
        """
        unique = f"{name}_{hashlib.sha256(wgsl.encode()).hexdigest()[:8]}" if wgsl else name
        self.kernels.setdefault(unique, Kernel(unique, wgsl, entry_point))
        return unique

    def lower(self, name: str, func: tirx.PrimFunc, symbols: Mapping[str, Expr]) -> Any:
        """TVM's kernels for a PrimFunc, built once per set of symbol values."""
        key = (name, json.dumps({k: v.to_json() for k, v in symbols.items()}, sort_keys=True))
        if key not in self._lowered:
            self._lowered[key] = self.lowering(name, func, symbols)
        return self._lowered[key]


class _Walker:
    """One entry: which plan buffer each Relax value lies in, and the steps so far."""

    def __init__(
        self,
        builder: PlanBuilder,
        entry: str,
        suffix: str,
        module: Module,
        ir: Any,
        bounds: Mapping[str, int],
    ) -> None:
        self.builder, self.entry, self.ir, self.bounds = builder, entry + suffix, ir, bounds
        self.function = ir[entry]
        self.values: dict[Any, Any] = {}
        self.outputs = module.outputs[entry]
        self.few = module.bounds.get(entry, {}).get("n")
        self.symbols = {name: Expr(name) for name in SYMBOLS}
        self.steps: list[Step] = []
        for param, name in zip(self.function.params, module.inputs[entry], strict=True):
            self.values[param] = name

    def walk(self) -> list[Step]:
        results = self._result_buffers()
        for block in self.function.body.blocks:
            for binding in block.bindings:
                self._bind(binding.var, binding.value, results)
        found = self._value(self.function.body.body)
        if found != self.outputs:
            raise CompileError(f"{self.entry} returns {found}, expected {self.outputs}")
        return self.steps

    def _result_buffers(self) -> dict[Any, str]:
        """Freshly allocated results (not aliases of inputs) and the plan buffers they go to."""
        allocated = {}
        pending = list(self.outputs[:1])
        for block in self.function.body.blocks:
            for binding in block.bindings:
                if _callee(binding.value) == "relax.builtin.alloc_tensor":
                    if not pending:
                        raise CompileError(f"{self.entry}: more results than declared")
                    allocated[binding.var] = pending.pop(0)
        return allocated

    def _bind(self, var: Any, value: Any, results: Mapping[Any, str]) -> None:
        name = _callee(value)
        if name is None:
            self.values[var] = self._value(value)
        elif name == "relax.builtin.alloc_tensor":
            self.values[var] = results[var]
        elif name == "relax.memory.alloc_storage":
            self.values[var] = self._storage(value)
        elif name in ("relax.memory.alloc_tensor", "relax.reshape", "relax.memory.view"):
            if name == "relax.memory.alloc_tensor" and int(value.args[1].value) != 0:
                raise CompileError(f"{self.entry}: a tensor does not start at its storage")
            self.values[var] = self._value(value.args[0])
        elif isinstance(value.op, relax.ExternFunc):
            self._library_call(str(value.op.global_symbol), value.args)
            self.values[var] = None
        elif isinstance(value.op, relax.GlobalVar):
            self._call(value.op.name_hint, value.args)
            self.values[var] = None
        else:
            raise CompileError(f"{self.entry}: cannot lower a call of {name}")

    def _value(self, value: Any) -> Any:
        if isinstance(value, relax.Tuple):
            return tuple(self._value(item) for item in value.fields)
        if isinstance(value, relax.TupleGetItem):
            return self._value(value.tuple_value)[value.index]
        if value in self.values:
            return self.values[value]
        raise CompileError(f"{self.entry}: {value} is not bound")

    def _storage(self, value: Any) -> str:
        nbytes = read_expr(value.args[0].values[0], self.symbols, self.entry)
        size = nbytes.evaluate(self.bounds)
        name = f"{self.entry}.s{sum(b.startswith(self.entry + '.') for b in self.builder.buffers)}"
        dtype: Any = SHORT[str(value.args[3].value)]
        self.builder.buffers[name] = Buffer(name, "scratch", dtype, Expr(-(-size // 4) * 4))
        return name

    def _call(self, name: str, args: Any) -> None:
        func = self.ir[name]
        symbols = self._bind_symbols(func, args)
        bindings = tuple(
            self._value(a) for a, p in zip(args, func.params, strict=True) if _is_buffer(p)
        )
        kernel = self._library_kernel(func, symbols)
        if kernel is not None:
            where = f"{self.entry}.{func.attrs[OP_ATTR]}"
            self.steps += self.builder.library_steps(where, kernel, bindings)
        else:
            self._tvm_steps(name, func, symbols, bindings)

    def _library_call(self, symbol: str, args: Any) -> None:
        """A call that has no PrimFunc: the library must have it."""
        name, _, attrs = symbol.removeprefix(CALL_PREFIX).partition(" ")
        op = Op(name, {**json.loads(attrs), "n": 1})
        kernel = self.builder.library(op)
        if kernel is None:
            raise CompileError(f"{self.entry}: the kernel library has no {name} for {attrs}")
        bindings = tuple(self._value(arg) for arg in args)
        self.steps += self.builder.library_steps(f"{self.entry}.{name}", kernel, bindings)

    def _library_kernel(
        self, func: tirx.PrimFunc, symbols: Mapping[str, Expr]
    ) -> LibraryKernel | KernelSequence | None:
        if OP_ATTR not in func.attrs:
            return None
        attrs = json.loads(str(func.attrs[ATTRS_ATTR]))
        n = symbols.get("n", Expr(1)).value
        if symbols.get("pos", Expr("pos")) != Expr("pos") or n not in (1, "n"):
            return None
        op = str(func.attrs[OP_ATTR])
        if self.few is not None and op in FOR_FEW:
            attrs["few"] = self.few
        return self.builder.library(Op(op, {**attrs, "n": n}))

    def _bind_symbols(self, func: tirx.PrimFunc, args: Any) -> dict[str, Expr]:
        """What each symbolic dimension and scalar parameter of `func` is in this call."""
        bound: dict[str, Expr] = {}
        for param, arg in zip(func.params, args, strict=True):
            if not _is_buffer(param):
                bound[param.name] = read_expr(arg, self.symbols, self.entry)
                continue
            for dim, actual in zip(param.ty.shape, arg.ty.shape, strict=True):
                if isinstance(dim, tirx.Var):
                    bound[dim.name] = read_expr(actual, self.symbols, self.entry)
        return bound

    def _tvm_steps(
        self,
        name: str,
        func: tirx.PrimFunc,
        symbols: Mapping[str, Expr],
        bindings: tuple[str, ...],
    ) -> None:
        lowered = self.builder.lower(name, func, symbols)
        buffer_of = {
            i: bindings[k]
            for k, i in enumerate(i for i, p in enumerate(func.params) if _is_buffer(p))
        }
        scratch = [self._scratch(name, i, size) for i, size in enumerate(lowered.scratch)]
        for launch in lowered.launches:
            kernel = self.builder.kernel(f"tvm_{launch.kernel}", launch.wgsl, launch.kernel)
            names = tuple(
                buffer_of[b] if isinstance(b, int) else scratch[b[1]] for b in launch.buffers
            )
            uniforms = tuple(Uniform(_pod(kind), value) for kind, value in launch.pods)
            self.steps.append(Step(kernel, names, launch.writes, uniforms, launch.grid))

    def _scratch(self, name: str, index: int, nbytes: Expr) -> str:
        buffer = f"{self.entry}.{name}.t{index}"
        size = -(-nbytes.evaluate(self.bounds) // 4) * 4
        self.builder.buffers[buffer] = Buffer(buffer, "scratch", "f32", Expr(size))
        return buffer


def _symbols(entry: str) -> tuple[str, ...]:
    """What an entry needs to know."""
    if entry == "encode":
        return ("n", "texts")
    if entry == "decode_batch":
        return ("n",)
    if entry in ("save", "restore"):
        return ("pos", "slot")
    return ("n", "pos") if entry.startswith("prefill") else ("pos",)


def _callee(value: Any) -> str | None:
    """The name of what a call calls; None when `value` is not a call."""
    if not isinstance(value, relax.Call):
        return None
    return str(getattr(value.op, "name", None) or getattr(value.op, "name_hint", value.op))


def _is_buffer(param: Any) -> bool:
    return isinstance(param.ty, tirx.buffer.BufferType)


def _pod(kind: str) -> Any:
    assert kind in ("i32", "u32", "f32"), kind
    return kind
