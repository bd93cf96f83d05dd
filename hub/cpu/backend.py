"""Plans for the processor: kernels of the library and TVM's own in one WebAssembly module.

Every entry of a model is there twice: as it is, with rows rounded to int8 where they meet
quantized matrices, and under its name with `_f32` behind it exact throughout, which is what the
fast one is measured against.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from tvm import tirx
from tvm.target import Target

from runtime.plan import Buffer, Entry, Expr, Kernel, ModuleFile
from runtime.plan import Module as Code
from runtime.processor import MAX_MEMORY, MEMORY, RELAXED_SIMD, SIMD, WEBASSEMBLY

from ..backend import Library
from ..errors import DoesNotFitError
from ..kernels import KernelSequence, LibraryKernel, Op
from ..tvm_kernels import Lowered
from .kernels import CpuKernel, CpuProfile, CpuSequence, kernel_for
from .link import link
from .lower import FEATURES, compile_object
from .plain import PlainKernels

VARIANTS = ("cpu-relaxed", "cpu")
"""From most to least demanding."""
EXACT = "_f32"
PLAN_FEATURES = {
    "cpu": (WEBASSEMBLY, SIMD),
    "cpu-relaxed": (WEBASSEMBLY, SIMD, RELAXED_SIMD),
}
ONE = Expr(1)

Keep = Callable[[bytes], None]
"""Takes the bytes of a module."""


class Processor:
    """One variant; `keep` is handed every module that is linked."""

    kv_dtype = "f32"
    packs = False
    small = True

    def __init__(self, variant: str, keep: Keep) -> None:
        self.variant, self.features = variant, PLAN_FEATURES[variant]
        self.target = Target({"kind": "llvm"})
        relaxed = variant == "cpu-relaxed"
        self.libraries: Mapping[str, Library] = {
            "": partial(self._kernel, CpuProfile(relaxed=relaxed, exact=False)),
            EXACT: partial(self._kernel, CpuProfile(relaxed=relaxed, exact=True)),
        }
        self._keep = keep
        self._plain = PlainKernels()
        self._functions: dict[str, tirx.PrimFunc] = {}
        self._kernels: dict[Any, LibraryKernel | KernelSequence | None] = {}

    def _kernel(self, profile: CpuProfile, op: Op) -> LibraryKernel | KernelSequence | None:
        """What the library has for `op`; every layer asks for the same ones."""
        key = (profile, op.name, tuple(sorted(op.attrs.items())))
        if key not in self._kernels:
            self._kernels[key] = self._found(kernel_for(op, profile))
        return self._kernels[key]

    def _found(
        self, kernel: CpuKernel | CpuSequence | None
    ) -> LibraryKernel | KernelSequence | None:
        if kernel is None:
            return None
        if isinstance(kernel, CpuKernel):
            return self._one(kernel)
        parts = tuple((self._one(part), bindings) for part, bindings in kernel.kernels)
        return KernelSequence(parts, kernel.scratch)

    def _one(self, kernel: CpuKernel) -> LibraryKernel:
        self._functions.setdefault(kernel.name, kernel.func)
        grid = (kernel.items, ONE, ONE)
        return LibraryKernel(
            kernel.name, "", kernel.uniforms, grid, kernel.writes, entry_point=kernel.name
        )

    def lower(self, name: str, func: tirx.PrimFunc, symbols: Mapping[str, Expr]) -> Lowered:
        return self._plain.lower(name, func, symbols)

    def limits(
        self,
        buffers: Collection[Buffer],
        kernels: Collection[Kernel],
        entries: Mapping[str, Entry],
        *,
        pages: int,
    ) -> dict[str, int]:
        """The memory at the whole context; one that asks for less of it may do with less."""
        sizes = [buffer.nbytes.evaluate({"pages": pages}) for buffer in buffers]
        fixed = sum(buffer.nbytes.evaluate({"pages": 1}) for buffer in buffers)
        if fixed > MAX_MEMORY:
            raise DoesNotFitError(
                f"the processor's plan needs {fixed} bytes at least, more than the {MAX_MEMORY} "
                "that WebAssembly addresses"
            )
        return {
            "maxBufferSize": max(sizes),
            "maxStorageBufferBindingSize": max(sizes),
            MEMORY: fixed,
        }

    def code(self, kernels: Collection[Kernel]) -> Code:
        """Compile and link what `kernels` call."""
        functions = self._functions | self._plain.functions
        used = {kernel.entry_point: functions[kernel.entry_point] for kernel in kernels}
        linked = link(compile_object(used, FEATURES[self.variant]), tuple(used))
        return Code(
            single=self._file(linked.single),
            shared=self._file(linked.shared),
            data_end=linked.data_end,
            stack_bytes=linked.stack_nbytes,
        )

    def _file(self, data: bytes) -> ModuleFile:
        self._keep(data)
        return ModuleFile(hashlib.sha256(data).hexdigest(), len(data))
