"""What a class of devices makes of a model: the part of the compiler that knows a target.

Everything before it (the family's graph, buffers, entries) and after it (the plan) is the same for
all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from tvm import tirx
from tvm.target import Target

from runtime.plan import Buffer, Entry, Expr, Kernel
from runtime.plan import Module as Code

from .kernels import KernelSequence, LibraryKernel, Op, Profile, kernel_for
from .memory import measure_limits
from .tvm_kernels import Lowered, lower, webgpu_target

Library = Callable[[Op], LibraryKernel | KernelSequence | None]


class Backend(Protocol):
    """One variant of plans."""

    variant: str
    features: tuple[str, ...]
    kv_dtype: str
    packs: bool
    """Whether decoding hands rows on packed, as a further entry."""
    small: bool
    """Whether the device is a processor, which is given less at a time."""
    libraries: Mapping[str, Library]
    """Where the kernels of a model's entries come from, by what its names end in: each entry is
    there once for each. The first is the library of all other entries."""
    target: Target

    def lower(self, name: str, func: tirx.PrimFunc, symbols: Mapping[str, Expr]) -> Lowered:
        """A PrimFunc that the library has nothing for, as launches."""
        ...

    def limits(
        self,
        buffers: Collection[Buffer],
        kernels: Collection[Kernel],
        entries: Mapping[str, Entry],
        *,
        pages: int,
    ) -> dict[str, int]:
        """What a plan of these needs; CompileError where no device has it."""
        ...

    def code(self, kernels: Collection[Kernel]) -> Code | None:
        """The module that holds the kernels; None where each is a text of its own."""
        ...


class WebGpu:
    """Kernels in WGSL, for one profile of GPUs or of adapters in software."""

    def __init__(self, profile: Profile, features: tuple[str, ...]) -> None:
        self.variant, self.features = profile.name, features
        self.kv_dtype = "f16" if profile.f16 else "f32"
        self.packs, self.small = not profile.software, profile.software
        self.libraries: Mapping[str, Library] = {"": self._kernel}
        self.target = webgpu_target()
        self._profile = profile
        self._kernels: dict[Any, LibraryKernel | KernelSequence | None] = {}

    def _kernel(self, op: Op) -> LibraryKernel | KernelSequence | None:
        """What the library has for `op`; every layer asks for the same ones."""
        key = (op.name, tuple(sorted(op.attrs.items())))
        if key not in self._kernels:
            self._kernels[key] = kernel_for(op, self._profile)
        return self._kernels[key]

    def lower(self, name: str, func: tirx.PrimFunc, symbols: Mapping[str, Expr]) -> Lowered:
        return lower(name, func, symbols)

    def limits(
        self,
        buffers: Collection[Buffer],
        kernels: Collection[Kernel],
        entries: Mapping[str, Entry],
        *,
        pages: int,
    ) -> dict[str, int]:
        return measure_limits(buffers, kernels, entries, pages=pages)

    def code(self, kernels: Collection[Kernel]) -> Code | None:
        return None
