"""The table of the processor's kernels: which noun module makes the kernel of which op."""

from __future__ import annotations

from collections.abc import Callable

from ...kernels.kernel import Op
from .kernel import CpuKernel, CpuProfile, CpuSequence

KERNELS: dict[str, Callable[[Op, CpuProfile], CpuKernel | CpuSequence | None]] = {}


def kernel_for(op: Op, profile: CpuProfile) -> CpuKernel | CpuSequence | None:
    """The library's kernel or kernels for `op`; None leaves the op to TVM's plain lowering."""
    make = KERNELS.get(op.name)
    return None if make is None else make(op, profile)
