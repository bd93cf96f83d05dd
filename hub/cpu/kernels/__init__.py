"""Kernels of the processor, as TIR scheduled by hand, over the layouts of every other device."""

from .kernel import CpuKernel, CpuProfile, CpuSequence
from .library import kernel_for

__all__ = ["CpuKernel", "CpuProfile", "CpuSequence", "kernel_for"]
