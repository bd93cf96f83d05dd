"""Hand-written WGSL kernels for the hot operations, each with a numpy function of its name."""

from .kernel import PROFILES, LibraryKernel, Op, Profile
from .library import KERNELS, kernel_for

__all__ = ["KERNELS", "PROFILES", "LibraryKernel", "Op", "Profile", "kernel_for"]
