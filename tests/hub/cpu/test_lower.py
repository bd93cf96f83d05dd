"""TIR functions as WebAssembly: what a kernel is called with, what it computes, what is refused."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.tirx.script.builder import ir as B

from hub.cpu.link import link
from hub.cpu.lower import FEATURES, compile_object
from hub.cpu.module_bytes import imports
from hub.errors import CompileError
from tests.hub.cpu.wasm_runner import WasmRunner

RANGES: dict[str, tuple[Any, float, float]] = {
    "cos": (np.cos, -1e4, 1e4),
    "erf": (np.vectorize(math.erf), -6, 6),
    "exp": (np.exp, -87, 3),
    "exp2": (np.exp2, -120, 3),
    "log": (np.log, 1e-6, 1e3),
    "rsqrt": (lambda x: 1 / np.sqrt(x), 1e-3, 1e4),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), -30, 30),
    "sin": (np.sin, -1e4, 1e4),
    "tanh": (np.tanh, -20, 20),
}
"""What each is to be, and from where to where."""


def elementwise(make: Callable[[Any], Any]) -> Any:
    """y[i] = make(x[i]) * gain, four to a vector; an item is a vector."""
    with IRBuilder() as builder, B.prim_func(is_private=True, s_tir=True):
        handles = [B.arg(f"p{i}", B.handle()) for i in range(2)]
        x, y = (B.match_buffer(handle, (1024,), "float32") for handle in handles)
        gain = B.arg("gain", tirx.Var("gain", "float32"))
        begin, end = (B.arg(name, tirx.Var(name, "int32")) for name in ("begin", "end"))
        with B.serial(begin, end) as i, B.vectorized(0, 4) as lane:
            at = i * 4 + lane
            B.buffer_store(y, make(x[at]) * gain, [at])
    return builder.get()


@pytest.fixture(scope="module")
def runner() -> WasmRunner:
    return WasmRunner.of({name: elementwise(getattr(tirx, name)) for name in RANGES})


@pytest.mark.parametrize("name", RANGES)
def test_functions_come_out_within_a_few_units_of_the_last_place(
    name: str, runner: WasmRunner
) -> None:
    exact, low, high = RANGES[name]
    x = np.linspace(low, high, 1024).astype(np.float32)
    found = runner.call(name, [x, np.zeros_like(x)], [2.0], items=256)[1]
    wanted = 2 * exact(x.astype(np.float64))
    error = np.abs(found - wanted) / np.maximum(np.abs(wanted), 1)
    assert error.max() < 1e-6, (name, error.max(), x[error.argmax()])


def test_items_may_be_split_in_ranges(runner: WasmRunner) -> None:
    x = np.linspace(-3, 3, 1024).astype(np.float32)
    arrays = [x, np.zeros_like(x)]
    whole = runner.call("exp", arrays, [1.0], items=256)[1]
    split = runner.call("exp", arrays, [1.0], items=256, parts=3)[1]
    part = runner.call("exp", arrays, [1.0], items=100)[1]
    assert np.array_equal(whole, split)
    assert np.array_equal(part[:400], whole[:400])
    assert not part[400:].any()


@pytest.mark.parametrize("variant", FEATURES)
def test_a_module_imports_its_memory_alone(variant: str) -> None:
    linked = link(compile_object({"f": elementwise(tirx.exp)}, FEATURES[variant]), ["f"])
    for module in (linked.single, linked.shared):
        assert module.startswith(b"\0asm")
        assert imports(module) == (("env", "memory"),)
    assert linked.data_end % 64 == 0
    assert linked.data_end >= linked.stack_nbytes


def test_a_function_that_needs_a_library_is_refused() -> None:
    with pytest.raises(CompileError, match=r"atan"):
        WasmRunner.of({"f": elementwise(tirx.atan)})


def test_parameters_in_another_order_are_refused() -> None:
    with IRBuilder() as builder, B.prim_func(is_private=True, s_tir=True):
        begin = B.arg("begin", tirx.Var("begin", "int32"))
        y = B.match_buffer(B.arg("p", B.handle()), (4,), "float32")
        B.buffer_store(y, B.Cast("float32", begin), [0])
    with pytest.raises(CompileError, match="begin and end"):
        compile_object({"f": builder.get()}, FEATURES["cpu"])
