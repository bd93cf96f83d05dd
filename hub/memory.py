"""What a plan asks of a device, computed from its buffers and steps, never typed by hand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from runtime.plan import Buffer, Entry, Kernel, Memory

from .errors import CompileError

DEFAULT_LIMITS = {
    "maxBufferSize": 256 * 1024 * 1024,
    "maxStorageBufferBindingSize": 128 * 1024 * 1024,
    "maxStorageBuffersPerShaderStage": 8,
    "maxComputeInvocationsPerWorkgroup": 256,
    "maxComputeWorkgroupStorageSize": 16384,
}
"""WebGPU's defaults: a plan that stays within them runs on every device."""

_TYPE_NBYTES = {"f16": 2, "f32": 4, "i32": 4, "u32": 4, "bool": 4}
_SHARED = re.compile(r"var<workgroup>\s*\w+\s*:\s*([^;]+);")


def measure_memory(buffers: Iterable[Buffer], *, pages: int, page_size: int) -> Memory:
    """Bytes by role, the KV cache per token."""
    totals = {"weight": 0, "kv": 0, "scratch": 0, "io": 0}
    for buffer in buffers:
        symbols = {"pages": 1 if buffer.role == "kv" else pages}
        totals[buffer.role] += buffer.nbytes.evaluate(symbols)
    return Memory(totals["weight"], totals["kv"] // page_size, totals["scratch"], totals["io"])


def measure_limits(
    buffers: Iterable[Buffer],
    kernels: Iterable[Kernel],
    entries: Mapping[str, Entry],
    *,
    pages: int,
) -> dict[str, int]:
    """The WebGPU limits this plan needs; CompileError where it passes the defaults."""
    largest = max(b.nbytes.evaluate({"pages": pages}) for b in buffers)
    bindings = max(len(s.bindings) for e in entries.values() for s in e.steps)
    needed = {
        "maxBufferSize": largest,
        "maxStorageBufferBindingSize": largest,
        "maxStorageBuffersPerShaderStage": bindings,
        "maxComputeInvocationsPerWorkgroup": max(_invocations(k.wgsl) for k in kernels),
        "maxComputeWorkgroupStorageSize": max(_shared_nbytes(k.wgsl) for k in kernels),
    }
    for name, value in needed.items():
        if value > DEFAULT_LIMITS[name] and name not in ("maxBufferSize",):
            raise CompileError(
                f"the plan needs {name} = {value}, over WebGPU's default {DEFAULT_LIMITS[name]}"
                + (": build with a smaller --context" if "Binding" in name else "")
            )
    return needed


def _invocations(wgsl: str) -> int:
    """Threads a workgroup, from `@workgroup_size(x, y, z)`."""
    found = re.search(r"@workgroup_size\(([^)]*)\)", wgsl)
    assert found, "a kernel has no @workgroup_size"
    total = 1
    for size in found.group(1).split(","):
        total *= _integer(size.strip(), wgsl)
    return total


def _integer(text: str, wgsl: str) -> int:
    """A literal, or the value of a `const`."""
    if text.rstrip("u").isdigit():
        return int(text.rstrip("u"))
    found = re.search(rf"const {text}\s*(?::\s*u32)?\s*=\s*(\d+)u?;", wgsl)
    assert found, text
    return int(found.group(1))


def _shared_nbytes(wgsl: str) -> int:
    """Bytes of workgroup variables, each rounded up to 16."""
    sizes = (_nbytes(declared, wgsl) for declared in _SHARED.findall(wgsl))
    return sum(-(-size // 16) * 16 for size in sizes)


def _nbytes(declared: str, wgsl: str) -> int:
    """Bytes of a type: a scalar, a vector, or an array of any of them."""
    array = re.fullmatch(r"array<(.+),\s*(\w+)\s*>", declared.strip())
    if array is None:
        return _element_nbytes(declared.strip())
    return _nbytes(array.group(1), wgsl) * _integer(array.group(2), wgsl)


def _element_nbytes(name: str) -> int:
    name = re.sub(r"^atomic<(\w+)>$", r"\1", name)
    vector = re.fullmatch(r"vec([234])<(\w+)>", name)
    if vector:
        lanes = {"2": 2, "3": 4, "4": 4}[vector.group(1)]
        return lanes * _TYPE_NBYTES[vector.group(2)]
    return _TYPE_NBYTES[name]
