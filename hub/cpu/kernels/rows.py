"""Norms of rows: `rms_norm` and `layer_norm`, a row an item, with sums in four lanes."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm.tirx.script.builder import ir as B

from runtime.plan import Expr, Uniform

from ...kernels.kernel import Op
from .kernel import CpuKernel, CpuProfile
from .vectors import Body, Local, f32, function, load, named, opaque, splat, store, sums


def rms_norm(op: Op, profile: CpuProfile) -> CpuKernel | None:
    """x f32[n, cols], weight f32[cols], (residual f32[n, cols],) out f32[n, cols]."""
    if set(op.attrs) - {"cols", "eps", "residual", "n"}:
        return None
    added = bool(op.attrs.get("residual", False))

    def build(f: Body) -> None:
        x, weight = f.buffer(), f.buffer()
        residual = f.buffer() if added else None
        out, cols = f.buffer(), f.scalar("cols")
        with f.items() as row:
            start = opaque(row * cols)
            factor = inverse_root(row_sum(cols, lambda k: _square(load(x, start + k))), cols, op)
            with B.serial(0, cols >> 2) as i:
                value = load(x, start + i * 4) * factor * load(weight, i * 4)
                if residual is not None:
                    value = value + load(residual, start + i * 4)
                store(out, start + i * 4, value)

    return _norm(op, build, 2 + int(added))


def layer_norm(op: Op, profile: CpuProfile) -> CpuKernel | None:
    """x f32[n, cols], weight f32[cols], bias f32[cols], out f32[n, cols]."""
    if set(op.attrs) - {"cols", "eps", "n"}:
        return None

    def build(f: Body) -> None:
        x, weight, bias, out = f.buffer(), f.buffer(), f.buffer(), f.buffer()
        cols = f.scalar("cols")
        with f.items() as row:
            start = opaque(row * cols)
            total = row_sum(cols, lambda k: load(x, start + k))
            mean = opaque(total / splat(B.Cast("float32", cols)))
            squares = row_sum(cols, lambda k: _square(opaque(load(x, start + k) - mean)))
            factor = inverse_root(squares, cols, op)
            with B.serial(0, cols >> 2) as i:
                value = (load(x, start + i * 4) - mean) * factor
                store(out, start + i * 4, value * load(weight, i * 4) + load(bias, i * 4))

    return _norm(op, build, 3)


def _norm(op: Op, build: Callable[[Body], None], out: int) -> CpuKernel | None:
    cols = op.integer("cols")
    if cols % 4:
        return None
    name = named(op.name, op.number("eps"), out)
    uniforms = (Uniform("i32", Expr(cols)),)
    return CpuKernel(name, function(build), (out,), uniforms, op.tokens)


def row_sum(count: Any, term: Callable[[Any], Any]) -> Any:
    """The sum, in every lane, of `term(k)`: four floats each for k = 0, 4, ... below `count`."""
    total = Local(1)
    total[0] = f32(0)
    with B.serial(0, count >> 2) as i:
        total[0] = total[0] + term(i * 4)
    return opaque(sums(*[total[0]] * 4))


def inverse_root(total: Any, count: Any, op: Op) -> Any:
    """One over the root of a mean and the op's eps, in every lane."""
    mean = total / splat(B.Cast("float32", count)) + f32(op.number("eps"))
    return opaque(f32(1) / B.sqrt(opaque(mean)))


def _square(x: Any) -> Any:
    return x * x
