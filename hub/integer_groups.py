"""Groups of 32 small integers as schemes store them, from any source that has such groups."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .quantize import Words
from .schemes import GROUP


def nibble_words(nibbles: NDArray[np.uint8]) -> Words:
    """u32[groups, 4] of the scheme `q4` from the values 0 to 15 of each group [groups, 32]."""
    parts = nibbles.reshape(-1, 4, 2, GROUP // 8)
    octets = parts[:, :, 0] | (parts[:, :, 1] << np.uint8(4))
    return octets.reshape(-1, GROUP // 2).view(np.uint32)


def square_sum(integers: NDArray[np.int8], scales: NDArray[Any]) -> float:
    """The sum of squares of integers [groups, 32] times the scale of each group."""
    squares = np.square(integers, dtype=np.int32).sum(axis=1, dtype=np.int64)
    return float((np.square(scales.astype(np.float64)) * squares).sum())
