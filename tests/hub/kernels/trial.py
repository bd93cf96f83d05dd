"""Running one op on one device, random operands for it, and how results are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from hypothesis import settings
from numpy.typing import NDArray

from hub.kernels import KernelSequence, LibraryKernel, Op, Profile, kernel_for
from hub.schemes import SCHEMES

Array = NDArray[Any]
Attrs = Mapping[str, int | float | str]

FEW = settings(max_examples=2, deadline=None, derandomize=True, database=None)
"""Every example compiles kernels: few of them, the same ones each time."""

WIDELY = tuple(scheme for scheme in SCHEMES if scheme != "q3")
"""Tried on every device. q3 is q4 but for where its bits lie: test_three_bits.py reads those."""

CALLS = ((False, 1), (True, 1), (True, 2), (True, 31), (True, 33), (True, 70))
"""(dynamic, n): the kernel for one token, then the other one over several n."""


class Runner(Protocol):
    """What runs a kernel."""

    def run(
        self,
        kernel: LibraryKernel | KernelSequence,
        arrays: Sequence[Array],
        symbols: Mapping[str, int],
    ) -> list[Array]: ...


@dataclass(frozen=True, slots=True)
class Trial:
    """A device and the profile it is given."""

    adapter: Runner
    profile: Profile

    def kernel(
        self, name: str, attrs: Attrs, *, dynamic: bool = False
    ) -> LibraryKernel | KernelSequence:
        """The kernel or kernels of an op whose `n` is the symbol when `dynamic`, else 1."""
        kernel = kernel_for(Op(name, {**attrs, "n": "n" if dynamic else 1}), self.profile)
        assert kernel is not None, name
        return kernel

    def run(
        self,
        name: str,
        arrays: Sequence[Array],
        *,
        attrs: Attrs,
        dynamic: bool = False,
        n: int = 1,
        pos: int = 0,
        seed: int = 0,
    ) -> list[Array]:
        """The written arrays of one dispatch under the symbols n, pos and seed."""
        symbols = {"n": n, "pos": pos, "seed": seed}
        return self.adapter.run(self.kernel(name, attrs, dynamic=dynamic), arrays, symbols)

    @property
    def tolerance(self) -> float:
        """Largest difference allowed, relative to the largest magnitude of the result."""
        return 2e-3 if self.profile.f16 else 1e-5

    @property
    def least_rows(self) -> int:
        """Rows of a matrix below which no result need be large compared with f16's rounding."""
        return 8 if self.profile.f16 else 1

    @property
    def kv_dtype(self) -> str:
        return "f16" if self.profile.f16 else "f32"


def normal(rng: np.random.Generator, *shape: int) -> Array:
    return rng.standard_normal(shape).astype(np.float32)


def matrix(rng: np.random.Generator, scheme: str, rows: int, cols: int) -> tuple[Array, ...]:
    """Random buffers of a [rows, cols] matrix; scales of both signs, some of them zero."""
    buffers = []
    for suffix, dtype, shape in SCHEMES[scheme].buffers(rows, cols):
        if dtype == "f32":
            buffers.append(normal(rng, *shape))
        elif suffix == "s":
            scales = rng.uniform(-0.1, 0.1, 2 * shape[0]) * (rng.random(2 * shape[0]) < 0.95)
            buffers.append(scales.astype("<f2").view("<u4"))
        elif scheme == "f16":
            buffers.append(normal(rng, shape[0], 2 * shape[1]).astype("<f2").view("<u4"))
        else:
            buffers.append(rng.integers(0, 2**32, shape, dtype=np.uint32))
    return tuple(buffers)


def assert_close(got: Array, want: Array, tolerance: float) -> None:
    """`got` is finite and within `tolerance` of `want`, relative to the largest |want|."""
    assert got.shape == want.shape, (got.shape, want.shape)
    wide = got.astype(np.float64)
    difference = np.abs(wide - want.astype(np.float64))
    where = tuple(int(i) for i in np.unravel_index(np.argmax(difference), difference.shape))
    largest = float(difference[where]) / max(float(np.abs(want).max()), 1e-30)
    text = f"largest difference {largest:.3e} at {where}: {got[where]} for {want[where]}"
    print(text)
    assert np.isfinite(wide).all() and largest <= tolerance, text
