"""TVM's own kernels: one PrimFunc in, WGSL texts and their launches out.

This is what covers every operator the kernel library does not tune. The PrimFunc is scheduled by
dlight, built for the webgpu target, and the host function that TVM splits off tells the launches:
which kernel, which arguments, which grid. It knows nothing of Relax or plans.
"""

# mypy: disable-error-code="attr-defined"

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tvm
from tvm import tirx
from tvm.s_tir import dlight as dl
from tvm.target import Target

from runtime.plan import Expr

from .errors import CompileError
from .operators import OP_ATTR

TARGET = {"kind": "webgpu", "max_shared_memory_per_block": 16384}
"""TVM's default of 32768 is twice WebGPU's default limit."""
MAX_GRID = 65535
STORAGE_TYPES = ("f32", "f16", "i32", "u32")
RULES = (
    dl.gpu.Matmul,
    dl.gpu.GEMV,
    dl.gpu.Reduction,
    dl.gpu.GeneralReduction,
    dl.gpu.Fallback,
)


def webgpu_target() -> Target:
    """The target every plan is compiled for: no subgroups, WebGPU's default limits."""
    return Target(TARGET, host="llvm")


@dataclass(frozen=True, slots=True)
class Launch:
    """One dispatch of a PrimFunc.

    `buffers[i]` at @binding(i): the index of a PrimFunc parameter, or ("scratch", k) for the k-th
    temporary. `pods` are the members of the uniform after them (type, expression over the
    PrimFunc's symbols); the last one is `packGridDimX`.
    """

    kernel: str
    wgsl: str
    buffers: tuple[int | tuple[str, int], ...]
    writes: tuple[int, ...]
    pods: tuple[tuple[str, Expr], ...]
    grid: tuple[Expr, Expr, Expr]


@dataclass(frozen=True, slots=True)
class Lowered:
    """A PrimFunc as launches over its parameters and temporaries (sizes in bytes)."""

    launches: tuple[Launch, ...]
    scratch: tuple[Expr, ...]


def lower(name: str, func: tirx.PrimFunc, symbols: Mapping[str, Expr]) -> Lowered:
    """Schedule and build `func`; `symbols` gives the plan expression of each of its variables."""
    scheduled = _schedule(name, func)
    built, host = _build(name, scheduled)
    return _Host(name, func, host, built, symbols).read()


def _schedule(name: str, func: tirx.PrimFunc) -> tvm.IRModule:
    module = tvm.IRModule({name: func.with_attr("global_symbol", name)})
    rules = [dl.gpu.Fallback()] if OP_ATTR in func.attrs else [rule() for rule in RULES]
    with webgpu_target():
        return dl.ApplyDefaultSchedule(*rules)(module)


def _build(name: str, module: tvm.IRModule) -> tuple[Any, tirx.PrimFunc]:
    """The webgpu module and the host function as SplitHostDevice left it."""
    capture = _HostCapture()
    # Without common subexpression elimination the uniform holds plain symbols only.
    config = {"tirx.disable_cse_tir": True}
    try:
        with tvm.transform.PassContext(instruments=[capture], config=config):
            built = tvm.tirx.build(module, target=webgpu_target(), pipeline="s_tir")
    except Exception as error:  # TVM raises many kinds; translated here and nowhere else
        raise CompileError(f"TVM cannot build {name} for WebGPU: {error}") from error
    return built.imports[0], capture.module[name]


@tvm.ir.instrument.pass_instrument
class _HostCapture:
    """Keeps the module as it is right after host and device code are split."""

    def run_after_pass(self, module: Any, info: Any) -> None:
        if info.name == "tirx.SplitHostDevice":
            self.module = module


class _Host:
    """Reads the launches out of a host function."""

    def __init__(
        self,
        name: str,
        func: tirx.PrimFunc,
        host: tirx.PrimFunc,
        built: Any,
        symbols: Mapping[str, Expr],
    ) -> None:
        self.name, self.host, self.symbols = name, host, symbols
        self.texts = _split(built.inspect_source("wgsl"))
        self.info = json.loads(built.inspect_source("func_info"))
        self.params = {p.name: i for i, p in enumerate(host.params)}
        self.aliases: dict[str, int | tuple[str, int]] = dict(self.params)
        self.scratch: list[Expr] = []

    def read(self) -> Lowered:
        launches = tuple(
            self._launch(call) for call in self._calls(self.host.body) if call is not None
        )
        return Lowered(launches, tuple(self.scratch))

    def _calls(self, stmt: Any) -> list[Any]:
        if isinstance(stmt, tirx.SeqStmt):
            return [call for part in stmt.seq for call in self._calls(part)]
        if isinstance(stmt, tirx.Evaluate):
            is_launch = getattr(stmt.value, "op", None) is not None
            return [stmt.value] if is_launch and _op_name(stmt.value) == _LAUNCH else []
        if isinstance(stmt, tirx.DeclBuffer):
            self._alias(stmt)
            return self._calls(stmt.body) if getattr(stmt, "body", None) is not None else []
        if isinstance(stmt, tirx.AllocBuffer):
            self._allocate(stmt)
            return self._calls(stmt.body) if getattr(stmt, "body", None) is not None else []
        if isinstance(stmt, tirx.AttrStmt):
            return self._calls(stmt.body)
        if hasattr(tirx, "Bind") and isinstance(stmt, tirx.Bind):
            return []
        raise CompileError(f"{self.name}: unexpected statement {type(stmt).__name__} on the host")

    def _alias(self, stmt: Any) -> None:
        source = _buffer_name(stmt.data)
        if source not in self.aliases:
            raise CompileError(f"{self.name}: {source} is declared over nothing known")
        for name in (stmt.buffer.name, _buffer_name(stmt.buffer.data)):
            self.aliases.setdefault(name, self.aliases[source])

    def _allocate(self, stmt: Any) -> None:
        buffer = stmt.buffer
        nbytes = Expr(tvm.DataType(str(buffer.dtype)).bits // 8)
        for dim in buffer.shape:
            nbytes = Expr(("*", nbytes, self._expr(dim)))
        for name in (buffer.name, _buffer_name(buffer.data)):
            self.aliases[name] = ("scratch", len(self.scratch))
        self.scratch.append(nbytes)

    def _launch(self, call: Any) -> Launch:
        kernel = call.args[0].value
        info = self.info[kernel]
        types = info["arg_types"]
        args = call.args[1 : 1 + len(types)]
        extents = dict(
            zip(
                [str(tag) for tag in call.attrs["launch_params"]],
                call.args[1 + len(types) :],
                strict=True,
            )
        )
        handles = [a for a, t in zip(args, types, strict=True) if t == "handle"]
        scalars = [(t, a) for a, t in zip(args, types, strict=True) if t != "handle"]
        x, y = (
            self._expr(extents[f"blockIdx.{a}"]) if f"blockIdx.{a}" in extents else Expr(1)
            for a in "xy"
        )
        if "blockIdx.z" in extents:
            raise CompileError(f"{self.name}: {kernel} uses blockIdx.z, which WebGPU code lacks")
        pods = [(_POD_TYPES[t], self._expr(a)) for t, a in scalars]
        pods.append(("u32", Expr(("-", x, Expr(1)))))
        text = self.texts[kernel]
        _check_text(f"{self.name}: {kernel}", text)
        return Launch(
            kernel,
            text,
            tuple(self.aliases[_buffer_name(h)] for h in handles),
            _writes(info),
            tuple(pods),
            _fold(x, y),
        )

    def _expr(self, value: Any) -> Expr:
        return read_expr(value, self.symbols, self.name)


_LAUNCH = "tirx.call_ffi_kernel"
_POD_TYPES = {"int32": "i32", "int64": "i32", "uint32": "u32", "float32": "f32"}


def _op_name(call: Any) -> str:
    return str(getattr(call.op, "name", ""))


def _buffer_name(data: Any) -> str:
    """The variable or parameter behind `x.data`, `buffer_data(x)` or a plain variable."""
    while type(data).__name__ == "Call" and _op_name(data) in (
        "tirx.buffer_data",
        "tirx.reinterpret",
    ):
        data = data.args[0]
    return str(getattr(data, "name", data))


def _split(source: str) -> dict[str, str]:
    """One WGSL text per kernel; TVM concatenates them behind `// Function: NAME` headers."""
    parts = re.split(r"// Function: (\w+)\n//-+\n", source)
    texts: dict[str, str] = {}
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        if text.strip():
            texts[name] = text.strip() + "\n"
    return texts


def _writes(info: Mapping[str, Any]) -> tuple[int, ...]:
    for tag in info["launch_param_tags"]:
        if tag.startswith("paramWriteAccess:"):
            flags = json.loads(tag.partition(":")[2])
            return tuple(i for i, flag in enumerate(flags) if flag)
    return ()


def _check_text(where: str, text: str) -> None:
    """TVM's generator prints some things that are not WGSL without complaint."""
    for kind in re.findall(r"var<storage[^>]*> \w+ : array<([^>]+)>", text):
        if kind not in STORAGE_TYPES:
            raise CompileError(f"{where} has a storage buffer of {kind}, which WGSL lacks")
    if "inff" in text or "infh" in text:
        raise CompileError(f"{where} contains an infinity, which WGSL cannot write")


def _fold(x: Expr, y: Expr) -> tuple[Expr, Expr, Expr]:
    """Spread x over z where it may pass 65,535 workgroups, as TVM's kernels expect."""
    if isinstance(x.value, int) and x.value <= MAX_GRID:
        return x, y, Expr(1)
    z = Expr(("//", Expr(("+", x, Expr(MAX_GRID - 1))), Expr(MAX_GRID)))
    z = Expr(("max", z, Expr(1)))
    width = Expr(("//", Expr(("-", Expr(("+", x, z)), Expr(1))), z))
    return width, y, z


_BINARY = {
    "Add": "+",
    "Sub": "-",
    "Mul": "*",
    "FloorDiv": "//",
    "FloorMod": "%",
    "Div": "//",
    "Mod": "%",
    "Min": "min",
    "Max": "max",
}
_INTRINSICS = {"tirx.shift_right": ">>", "tirx.shift_left": "<<", "tirx.bitwise_and": "&"}


def read_expr(value: Any, symbols: Mapping[str, Expr], where: str) -> Expr:
    """A TIR integer expression as a plan expression; CompileError for anything else."""
    if isinstance(value, int | tirx.IntImm):
        return Expr(int(value))
    kind = type(value).__name__
    if kind == "Cast":
        return read_expr(value.value, symbols, where)
    if kind in _BINARY:
        left, right = (read_expr(side, symbols, where) for side in (value.a, value.b))
        return simplify(Expr((_BINARY[kind], left, right)))
    if kind == "Call" and _op_name(value) in _INTRINSICS:
        left, right = (read_expr(side, symbols, where) for side in value.args)
        return simplify(Expr((_INTRINSICS[_op_name(value)], left, right)))
    name = getattr(value, "name", None)
    if name in symbols:
        return symbols[str(name)]
    raise CompileError(f"{where}: {value} ({kind}) is not an expression of {sorted(symbols)}")


def simplify(expr: Expr) -> Expr:
    """Fold what is constant."""
    return Expr(expr.evaluate({})) if not expr.symbols() else expr
