"""Operators without a kernel of their own, as TVM writes them: one function each, in float32.

This is what covers every operator of every family, and what the kernels of the processor are
tested against. The outermost loops of a function that has one nest become its items; one of
several nests is a single item. Arrays between nests become temporaries of the plan.
"""

# mypy: disable-error-code="attr-defined"

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import tvm
from tvm import s_tir, tirx
from tvm_ffi import structural_map, structural_walk

from runtime.plan import Expr

from ..errors import CompileError
from ..tvm_kernels import Launch, Lowered, read_expr, simplify

SPATIAL = 0
"""The kind of a loop whose turns do not depend on each other, in TIR."""


class PlainKernels:
    """Lowers PrimFuncs to steps and keeps the functions that those call."""

    def __init__(self) -> None:
        self.functions: dict[str, tirx.PrimFunc] = {}

    def lower(self, name: str, func: tirx.PrimFunc, symbols: Mapping[str, Expr]) -> Lowered:
        """`func` as one launch over its parameters and temporaries; `symbols` gives the plan
        expression of each of its variables."""
        func = _with_any_pages(name, func, symbols)
        cut, items = _cut(func)
        body, temporaries = _without_temporaries(cut.body)
        buffers = [param for param in func.params if _is_buffer(param)]
        scalars = _symbols(func, buffers)
        begin, end = (tirx.Var(which, "int32") for which in ("begin", "end"))
        if items is not None:
            body = _between(name, body, begin, end)
        built = tirx.PrimFunc([*buffers, *temporaries, *scalars, begin, end], body)
        exported = f"{_plain_name(name)}_{hashlib.sha256(str(built).encode()).hexdigest()[:10]}"
        self.functions.setdefault(exported, built)

        def read(value: Any) -> Expr:
            return read_expr(value, symbols, name)

        count = Expr(1) if items is None else read(items)
        bound = [i for i, param in enumerate(func.params) if _is_buffer(param)]
        launch = Launch(
            kernel=exported,
            wgsl="",
            buffers=(*bound, *(("scratch", i) for i in range(len(temporaries)))),
            writes=_writes(body, [*buffers, *temporaries]),
            pods=tuple(("i32", read(symbol)) for symbol in scalars),
            grid=(simplify(count), Expr(1), Expr(1)),
        )
        return Lowered((launch,), tuple(_size(buffer, read) for buffer in temporaries))


def _with_any_pages(name: str, func: tirx.PrimFunc, symbols: Mapping[str, Expr]) -> tirx.PrimFunc:
    """`func` without the number of pages: no step is told it, and nothing is computed from it."""
    pages = {key for key, expr in symbols.items() if "pages" in expr.symbols()}

    def check(node: Any) -> None:
        if node.name in pages:
            raise CompileError(f"{name} runs over the whole cache")

    structural_walk(
        func.body, (tirx.For, lambda loop: structural_walk(loop.extent, (tirx.Var, check)))
    )

    def replaced(var: Any) -> Any:
        return tirx.IntImm("int64", 1) if var.name in pages else var

    found: tirx.PrimFunc = structural_map(func, (tirx.Var, replaced))
    return found


def _cut(func: tirx.PrimFunc) -> tuple[tirx.PrimFunc, Any]:
    """`func` with the outer independent loops of its one nest as one loop, and how often that
    runs; None where there are several nests or no such loop."""
    schedule = s_tir.Schedule(tvm.IRModule({"main": func}))
    blocks = schedule.get_child_blocks(schedule.get_sblock("root"))
    if len(blocks) != 1:
        return func, None
    block = schedule.get(blocks[0])
    loops = schedule.get_loops(blocks[0])
    outer = []
    for loop, axis in zip(loops, block.iter_vars, strict=False):
        if axis.iter_type != SPATIAL:
            break
        outer.append(loop)
    if not outer:
        return func, None
    fused = schedule.fuse(*outer)
    extent = schedule.get(fused).extent
    return schedule.mod["main"], extent


def _between(name: str, body: Any, begin: tirx.Var, end: tirx.Var) -> Any:
    """The root block of `body` with its one loop from `begin` to `end`."""
    block = body.block
    loop = block.body
    if not isinstance(loop, tirx.For):
        raise CompileError(f"{name}: the items of {type(loop).__name__} cannot be told apart")
    kind = loop.loop_var.ty.dtype
    first, last = (tirx.Cast(kind, value) for value in (begin, end))
    ranged = tirx.For(loop.loop_var, first, last - first, loop.kind, loop.body)
    return _with_block(body, ranged, block.alloc_buffers)


def _without_temporaries(body: Any) -> tuple[Any, list[Any]]:
    """The root block without the arrays that it allocates, and those."""
    block = body.block
    arrays = list(block.alloc_buffers)
    return (_with_block(body, block.body, []), arrays) if arrays else (body, [])


def _with_block(realized: Any, body: Any, arrays: Any) -> Any:
    block = realized.block
    rebuilt = s_tir.SBlock(
        block.iter_vars,
        block.reads,
        block.writes,
        block.name_hint,
        body,
        block.init,
        arrays,
        block.match_buffers,
        block.annotations,
    )
    return s_tir.SBlockRealize(realized.iter_values, realized.predicate, rebuilt)


def _symbols(func: tirx.PrimFunc, buffers: list[Any]) -> list[Any]:
    """The variables of the shapes and the scalars, by name."""
    found = {param.name: param for param in func.params if not _is_buffer(param)}
    for buffer in buffers:
        for dim in buffer.ty.shape:
            if isinstance(dim, tirx.Var):
                found[dim.name] = dim
    return [found[name] for name in sorted(found)]


def _writes(body: Any, buffers: list[Any]) -> tuple[int, ...]:
    written: list[Any] = []
    structural_walk(body, (tirx.BufferStore, lambda store: written.append(store.buffer)))
    return tuple(
        i for i, buffer in enumerate(buffers) if any(buffer.same_as(store) for store in written)
    )


def _size(buffer: Any, read: Any) -> Expr:
    nbytes = Expr(tvm.DataType(str(buffer.dtype)).bits // 8)
    for dim in buffer.shape:
        nbytes = Expr(("*", nbytes, read(dim)))
    return nbytes


def _plain_name(name: str) -> str:
    """Without the number that tells equal operators of a graph apart."""
    return name.rstrip("0123456789").rstrip("_")


def _is_buffer(param: Any) -> bool:
    return isinstance(param.ty, tirx.buffer.BufferType)
