"""`python -m hub.kernels.bench`: GFLOP/s of the matrix kernels on the adapter at hand.

Medians over several submits of many dispatches each, timed by wall clock from submit to readback.
`VK_ICD_FILENAMES` picks another Vulkan driver.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..schemes import SCHEMES
from .device import KernelDevice
from .kernel import PROFILES, LibraryKernel, Op, Profile
from .library import kernel_for

Array = NDArray[Any]

SHAPES = {
    "demo": ((640, 384), (384, 384), (2048, 384), (384, 1024), (4096, 384)),
    "1b": ((3072, 2048), (2048, 2048), (16384, 2048), (2048, 8192)),
}
"""rows x cols of a layer's matrices; gate and up together are two thirds of the feed-forward."""


def main() -> None:
    """Parse the command line, then print one line a shape."""
    parser = argparse.ArgumentParser(prog="python -m hub.kernels.bench", description=__doc__)
    native = [name for name, profile in PROFILES.items() if not profile.matrix]
    parser.add_argument("--profile", choices=native, default="base")
    parser.add_argument("--scheme", choices=SCHEMES, default="q4")
    parser.add_argument("--shapes", choices=SHAPES, default="demo")
    parser.add_argument("--tokens", type=int, nargs="+", default=[1, 100])
    options = parser.parse_args()
    device = KernelDevice()
    print(f"{device.description}, profile {options.profile}, scheme {options.scheme}")
    print(f"{'tokens':>6} {'rows x cols':>14} {'ms':>9} {'GFLOP/s':>9} {'GB/s':>8}")
    for tokens in options.tokens:
        for rows, cols in SHAPES[options.shapes]:
            arrays = _arrays(options.scheme, tokens, rows, cols)
            kernel = _kernel(PROFILES[options.profile], options.scheme, tokens, rows, cols)
            seconds = device.time(kernel, arrays, {"n": tokens})
            weights = sum(array.nbytes for array in arrays[1:-1])
            print(
                f"{tokens:>6} {f'{rows} x {cols}':>14} {seconds * 1e3:>9.3f}"
                f" {2e-9 * tokens * rows * cols / seconds:>9.2f} {weights / seconds / 1e9:>8.2f}"
            )


def _kernel(profile: Profile, scheme: str, tokens: int, rows: int, cols: int) -> LibraryKernel:
    attrs: dict[str, int | str] = {
        "n": 1 if tokens == 1 else "n",
        "scheme": scheme,
        "rows": rows,
        "cols": cols,
        "start": 0,
        "out_cols": rows,
        "epilogue": "none",
    }
    kernel = kernel_for(Op("matmul", attrs), profile)
    assert isinstance(kernel, LibraryKernel)
    return kernel


def _arrays(scheme: str, tokens: int, rows: int, cols: int) -> list[Array]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((tokens, cols)).astype(np.float32)
    return [x, *_weights(rng, scheme, rows, cols), np.zeros((tokens, rows), np.float32)]


def _weights(rng: np.random.Generator, scheme: str, rows: int, cols: int) -> Iterator[Array]:
    for _, dtype, shape in SCHEMES[scheme].buffers(rows, cols):
        if dtype == "f32":
            yield rng.standard_normal(shape).astype(np.float32)
        else:
            # Halves near 0.02 as scales or weights, and as good as random for nibbles and bytes.
            yield rng.integers(0x2400_2400, 0x2500_2500, shape, dtype=np.uint32)


if __name__ == "__main__":
    main()
