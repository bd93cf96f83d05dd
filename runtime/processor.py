"""The processor as a device: in what words it says what it is, and plans what they need of it.

It runs plans whose variant is "cpu" or "cpu-relaxed" (see `plan.py`) in WebAssembly, and no other.
"""

from __future__ import annotations

from collections.abc import Collection

from .executor import TIMESTAMPS, DeviceInfo

WEBASSEMBLY = "wasm"
"""Every processor has this feature, and every plan for one asks for it."""
SIMD = "wasm-simd128"
RELAXED_SIMD = "wasm-relaxed-simd"
"""Relaxed dot products, where they are computed as plans expect."""
MEMORY = "wasmMemorySize"
"""The limit on the bytes of a plan, its code's data and its threads' stacks together."""
MAX_MEMORY = 1 << 32
"""What a 32-bit address reaches."""
CONTEXT = 4096
"""Tokens of context unless somebody asks for more: a processor reads some hundred a second."""


def describe_processor(*, relaxed: bool, description: str, driver: str) -> DeviceInfo:
    """A processor with SIMD; `driver` names what compiles WebAssembly here."""
    features = {WEBASSEMBLY, SIMD, TIMESTAMPS} | ({RELAXED_SIMD} if relaxed else set())
    limits = {MEMORY: MAX_MEMORY, "maxBufferSize": MAX_MEMORY}
    limits["maxStorageBufferBindingSize"] = MAX_MEMORY
    return DeviceInfo("cpu", "", "wasm32", description, frozenset(features), limits, driver)


def is_for_processors(features: Collection[str]) -> bool:
    """Whether the features of a device, or those that a plan needs, are a processor's."""
    return WEBASSEMBLY in features
