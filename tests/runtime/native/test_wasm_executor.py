"""The executor over wasmtime: layout, order, results, and what it refuses."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import wasmtime

from runtime.errors import ModelpressError
from runtime.native.storage import FolderStorage
from runtime.native.wasm_executor import WasmExecutor
from runtime.native.wasm_replay import lay_out
from runtime.plan import (
    Buffer,
    Entry,
    Expr,
    Kernel,
    Memory,
    Module,
    ModuleFile,
    Plan,
    Step,
    Uniform,
)
from runtime.progress import ignore_progress
from runtime.weights import blob_path

CODE = """(module
  (import "env" "memory" (memory 1))
  (func (export "add") (param $x i32) (param $by i32) (param $begin i32) (param $end i32)
    (loop $next
      (i32.store (i32.add (local.get $x) (i32.shl (local.get $begin) (i32.const 2)))
        (i32.add (local.get $by)
          (i32.load (i32.add (local.get $x) (i32.shl (local.get $begin) (i32.const 2))))))
      (local.set $begin (i32.add (local.get $begin) (i32.const 1)))
      (br_if $next (i32.lt_s (local.get $begin) (local.get $end)))))
  (func (export "fail") (param i32 i32 i32) unreachable))
"""
"""`add`: x[begin..end] += by; `fail` traps. Zero items would be one: such steps must be skipped."""
ONE = Expr(1)


def plan_with(module: Module) -> Plan:
    add = Step("add", ("x",), (0,), (Uniform("i32", Expr("n")),), (Expr("n"), ONE, ONE))
    fail = Step("fail", ("x",), (0,), (), (ONE, ONE, ONE))
    return Plan(
        format=1,
        model="m",
        scheme="f32",
        variant="cpu",
        features=("wasm",),
        limits={},
        vocab_size=4,
        context=16,
        page_size=16,
        prefill_chunk=4,
        buffers=(
            Buffer("spare", "io", "f32", Expr(("*", Expr(20), Expr("pages")))),
            Buffer("x", "io", "i32", Expr(16)),
        ),
        kernels=(Kernel("add", "", "add"), Kernel("fail", "", "fail")),
        entries={"add": Entry(("n",), (add, add)), "fail": Entry((), (fail,))},
        memory=Memory(0, 0, 0, 16),
        module=module,
    )


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    code = bytes(wasmtime.wat2wasm(CODE))
    file = ModuleFile(hashlib.sha256(code).hexdigest(), len(code))
    path = tmp_path / blob_path(file.sha256)
    path.parent.mkdir(parents=True)
    path.write_bytes(code)
    return plan_with(Module(file, None, data_end=128, stack_bytes=64))


@pytest.fixture
async def executor(tmp_path: Path, plan: Plan) -> AsyncIterator[WasmExecutor]:
    executor = WasmExecutor(FolderStorage(tmp_path))
    await executor.prepare(plan, "", pages=5, on_progress=ignore_progress)
    yield executor
    await executor.close()


def test_buffers_lie_behind_the_module_at_multiples_of_64(plan: Plan) -> None:
    assert plan.module is not None
    found = lay_out(plan, plan.module, 5)
    assert found.addresses == {"spare": 128, "x": 256}
    assert found.nbytes == 320


def test_more_than_32_bits_address_is_refused(plan: Plan) -> None:
    assert plan.module is not None
    large = replace(plan, buffers=(Buffer("x", "kv", "f32", Expr(2**32)),))
    with pytest.raises(ModelpressError) as caught:
        lay_out(large, plan.module, 1)
    assert caught.value.code == "out_of_memory"


async def test_steps_run_in_order_with_their_symbols(executor: WasmExecutor) -> None:
    executor.write("x", struct.pack("<4i", 1, 2, 3, 4))
    results = [executor.step(("add",), {"n": n}, "x") for n in (2, 0, 1)]
    assert [await result for result in results] == [5, 5, 7]
    assert struct.unpack("<4i", await executor.read("x", 16)) == (7, 6, 3, 4)
    assert struct.unpack("<i", await executor.read("x", 4, offset=4)) == (6,)


async def test_a_profile_names_every_dispatch(executor: WasmExecutor) -> None:
    times = await executor.profile(("add",), {"n": 2})
    assert [kernel for kernel, _ in times] == ["add", "add"]
    assert all(microseconds >= 0 for _, microseconds in times)
    assert struct.unpack("<2i", await executor.read("x", 8)) == (4, 4)


async def test_a_trap_is_an_error_and_nothing_runs_behind_it(executor: WasmExecutor) -> None:
    executor.submit(("fail",), {})
    with pytest.raises(ModelpressError, match="WebAssembly stopped") as caught:
        await executor.step(("add",), {"n": 1}, "x")
    assert caught.value.code == "internal"


async def test_bytes_outside_of_a_buffer_are_refused(executor: WasmExecutor) -> None:
    with pytest.raises(ModelpressError, match="has 16"):
        executor.write("x", bytes(8), offset=12)


async def test_a_plan_for_webgpu_is_refused(executor: WasmExecutor, plan: Plan) -> None:
    with pytest.raises(ModelpressError) as caught:
        await executor.prepare(replace(plan, module=None), "", pages=1, on_progress=ignore_progress)
    assert caught.value.code == "unsupported_device"
