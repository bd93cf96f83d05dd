"""Hand-written WGSL kernels for the hot operations, each with a numpy function of its name."""

from .kernel import PROFILES, KernelSequence, LibraryKernel, Op, Profile
from .library import KERNELS, kernel_for

__all__ = ["KERNELS", "PROFILES", "KernelSequence", "LibraryKernel", "Op", "Profile", "kernel_for"]
