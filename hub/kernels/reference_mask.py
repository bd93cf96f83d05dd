"""`mask` in plain numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .mask import LEAST

Array = NDArray[Any]


def mask(allowed: Array, logits: Array) -> Array:
    """`logits` f32[vocab] with `LEAST` where the bit in `allowed` u32[ceil(vocab / 32)] is 0."""
    bits = np.unpackbits(allowed.view(np.uint8), bitorder="little")[: len(logits)]
    return np.where(bits == 1, logits, np.float32(LEAST)).astype(np.float32)
