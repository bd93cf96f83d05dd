"""Hand-written WGSL kernels for the hot operations, each with a numpy function of its name."""

from .kernel import PROFILES, KernelSequence, LibraryKernel, Op, Profile, dispatches
from .library import KERNELS, kernel_for

__all__ = [
    "KERNELS",
    "PROFILES",
    "KernelSequence",
    "LibraryKernel",
    "Op",
    "Profile",
    "dispatches",
    "kernel_for",
]
