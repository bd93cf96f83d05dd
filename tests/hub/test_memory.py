"""Limits are measured from the text of the kernels."""

from __future__ import annotations

import pytest

from hub.errors import CompileError
from hub.memory import measure_limits
from runtime.plan import Buffer, Entry, Expr, Kernel, Step

KERNEL = """
const SIZE: u32 = 64u;
var<workgroup> tile: array<vec4<f32>, SIZE>;
var<workgroup> count: atomic<u32>;
var<workgroup> grid: array<array<f16, 3>, SIZE>;
@compute @workgroup_size(SIZE, 2) fn main() {}
"""


def limits(wgsl: str, nbytes: int, bindings: int = 1) -> dict[str, int]:
    buffers = [Buffer(f"b{i}", "scratch", "f32", Expr(nbytes)) for i in range(bindings)]
    step = Step("k", tuple(b.name for b in buffers), (), (), (Expr(1), Expr(1), Expr(1)))
    entries = {"decode": Entry((), (step,))}
    return measure_limits(buffers, [Kernel("k", wgsl, "main")], entries, pages=1)


def test_workgroups_and_shared_memory_are_counted() -> None:
    found = limits(KERNEL, 1024)
    assert found["maxComputeInvocationsPerWorkgroup"] == 128
    assert found["maxComputeWorkgroupStorageSize"] == 64 * 16 + 16 + 64 * 3 * 2
    assert found["maxStorageBuffersPerShaderStage"] == 1
    assert found["maxBufferSize"] == 1024


@pytest.mark.parametrize(
    ("wgsl", "nbytes", "bindings", "limit"),
    [
        (KERNEL, 128 * 2**20 + 4, 1, "maxStorageBufferBindingSize"),
        (KERNEL, 4, 9, "maxStorageBuffersPerShaderStage"),
        (KERNEL.replace("64u", "512u"), 4, 1, "maxComputeInvocationsPerWorkgroup"),
        (KERNEL.replace("SIZE>", "1024>"), 4, 1, "maxComputeWorkgroupStorageSize"),
    ],
)
def test_passing_a_default_limit_is_an_error_that_names_it(
    wgsl: str, nbytes: int, bindings: int, limit: str
) -> None:
    with pytest.raises(CompileError, match=limit):
        limits(wgsl, nbytes, bindings)
