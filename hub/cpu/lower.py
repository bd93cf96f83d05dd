"""TIR functions to plain functions, and those to one WebAssembly object file.

A function of a module takes what the plan's step hands it: the addresses of its buffers, its
scalars as i32 or f32, and the items [begin, end) to compute. TVM's own calling convention packs
and checks arguments at every call and imports its runtime; none of that is wanted here, so the
lowering passes run without it and the parameters are rebuilt as bare pointers.

It does not know plans, and it imports nothing: transcendental functions come from
`transcendental.py`, and whatever still asks for a symbol is refused when the object is linked.
"""

# mypy: disable-error-code="attr-defined"

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tvm
from tvm import s_tir, tirx
from tvm.ir import PointerType
from tvm.target import Target
from tvm_ffi import structural_walk

from ..errors import CompileError
from .transcendental import expand, without_lets

FEATURES = {"cpu": ("simd128",), "cpu-relaxed": ("simd128", "relaxed-simd")}
"""WebAssembly features of the kernels, by variant."""
BASIC = ("bulk-memory", "mutable-globals", "nontrapping-fptoint", "sign-ext")
"""What every engine with vectors has had for years."""
LINKING = ("atomics",)
"""What wasm-ld asks of an object, with bulk-memory, before it links it for a shared memory."""
SCALARS = ("int32", "float32", "int64")
"""A 64-bit integer, which graphs count in, is handed over as i32 like any other."""
STACK_NBYTES = 8192
"""The most that one function may keep in local arrays."""

PASSES = (
    s_tir.transform.CanonicalizeLoop,
    s_tir.transform.LowerInitBlock,
    s_tir.transform.PlanAndUpdateBufferAllocationLocation,
    s_tir.transform.ConvertBlocksToOpaque,
    s_tir.transform.CompactBufferAllocation,
    s_tir.transform.LowerMatchBuffer,
    s_tir.transform.StmtSimplify,
    s_tir.transform.LowerOpaqueBlock,
    tirx.transform.FlattenBuffer,
    lambda: tirx.transform.NarrowDataType(32),
    s_tir.transform.LoopPartition,
    lambda: tirx.transform.VectorizeLoop(True),
    s_tir.transform.HoistIfThenElse,
    tirx.transform.UnrollLoop,
    s_tir.transform.RenormalizeSplitPattern,
    tirx.transform.StmtSimplify,
    tirx.transform.RemoveNoOp,
    s_tir.transform.RewriteUnsafeSelect,
    tirx.transform.CommonSubexprElim,
    # What was written out may have been repeated since, with the names it holds values under.
    tirx.transform.ConvertSSA,
)
"""TVM's own order (`tvm/s_tir/pipeline.py`) without what only devices need and without the packed
calling convention.

Storage is not rewritten: TVM would let two local arrays share their place, and tell LLVM that they
do not. LLVM keeps small ones in registers by itself.
"""


def wasm_target(features: Iterable[str]) -> Target:
    """LLVM for wasm32 with these features."""
    attributes = [f"+{name}" for name in (*features, *BASIC, *LINKING)]
    return Target(
        {"kind": "llvm", "mtriple": "wasm32-unknown-unknown", "mcpu": "generic"}
        | {"mattr": attributes, "vector-width": 128}
    )


def compile_object(functions: Mapping[str, tirx.PrimFunc], features: Iterable[str]) -> bytes:
    """The object file of `functions` by exported name.

    Each takes its buffers, then int32 and float32 scalars, the last two of them `begin` and
    `end`. CompileError names what cannot be lowered.
    """
    target = wasm_target(features)
    module = tvm.IRModule(
        {name: _plain(name, func, target) for name, func in functions.items()},
    )
    build = tvm.get_global_func("target.build.llvm")
    try:
        built = build(tirx.transform.LowerIntrin()(module), target)
    except Exception as error:  # TVM raises many kinds; translated here and nowhere else
        raise CompileError(f"TVM cannot build for WebAssembly: {error}") from error
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernels.o")
        built.write_to_file(str(path), "o")
        return path.read_bytes()


def _plain(name: str, func: tirx.PrimFunc, target: Target) -> tirx.PrimFunc:
    """`func` through the passes, its buffers as pointers."""
    _check_parameters(name, func)
    module = tvm.IRModule({name: expand(func).with_attr("global_symbol", name)})
    module[name] = module[name].with_attr("target", target)
    try:
        with target:
            for make in PASSES:
                module = make()(module)
    except Exception as error:  # as above
        raise CompileError(f"TVM cannot lower {name} for WebAssembly: {error}") from error
    return _with_pointers(name, without_lets(module[name]), target)


def _check_parameters(name: str, func: tirx.PrimFunc) -> None:
    kinds = [_is_buffer(param) for param in func.params]
    names = [param.name for param in func.params]
    if kinds != sorted(kinds, reverse=True) or names[-2:] != ["begin", "end"]:
        raise CompileError(
            f"{name} takes ({', '.join(names)}); a kernel takes buffers, scalars, begin and end"
        )
    for param in func.params:
        if not _is_buffer(param) and str(param.ty.dtype) not in SCALARS:
            raise CompileError(f"{name}: the scalar {param.name} is {param.ty.dtype}")


def _with_pointers(name: str, func: tirx.PrimFunc, target: Target) -> tirx.PrimFunc:
    _check_body(name, func.body)
    handed = [_handed(param) for param in func.params]
    # Sizes before the arrays that have them: scalars come last among the parameters.
    declared = [statement for _, statements in reversed(handed) for statement in statements]
    plain = tirx.PrimFunc([param for param, _ in handed], tirx.SeqStmt([*declared, func.body]))
    for key, value in {"global_symbol": name, "target": target, "tirx.noalias": True}.items():
        plain = plain.with_attr(key, value)
    free = tirx.analysis.undefined_vars(plain.body, plain.params)
    if len(free):
        raise CompileError(f"{name} does not say what {', '.join(v.name for v in free)} is")
    return plain


def _handed(param: Any) -> tuple[Any, list[Any]]:
    """What a caller hands over for a parameter, and how the parameter comes of it."""
    if _is_buffer(param):
        pointer = tirx.Var(param.name, PointerType(param.ty.dtype))
        return pointer, [tirx.DeclBuffer(param, data=pointer)]
    if str(param.ty.dtype) != "int64":
        return param, []
    narrow = tirx.Var(param.name, "int32")
    return narrow, [tirx.Bind(param, tirx.Cast("int64", narrow))]


def _check_body(name: str, body: Any) -> None:
    """Local arrays lie on the stack: of known size, and small."""
    sizes: list[int] = []
    structural_walk(body, (tirx.AllocBuffer, lambda node: sizes.append(_nbytes(name, node.buffer))))
    if sum(sizes) > STACK_NBYTES:
        raise CompileError(
            f"{name} keeps {sum(sizes)} bytes in arrays; {STACK_NBYTES} fit the stack"
        )


def _nbytes(name: str, buffer: Any) -> int:
    kind = tvm.DataType(str(buffer.dtype))
    nbytes: int = kind.bits * kind.lanes // 8
    for dim in buffer.shape:
        if not isinstance(dim, int | tirx.IntImm):
            raise CompileError(f"{name} keeps an array whose size is {dim}")
        nbytes *= int(dim)
    return nbytes


def _is_buffer(param: Any) -> bool:
    return isinstance(param.ty, tirx.buffer.BufferType)
