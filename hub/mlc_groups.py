"""Weights in MLC's groups, as float32 and as the scheme `q4` holds them.

A row is uint32 words of equally many elements each, the first in the lowest bits, and one scale a
group; value = (code - offset) * scale. At 4 bits a group has 32 elements and the offset is 7, so
code + 1 is exactly what `q4` stores. Source: mlc-llm's group quantization, layout NK.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import CheckpointError
from .integer_groups import nibble_words, square_sum
from .quantize import Packed
from .rounding import Floats
from .schemes import GROUP, Scheme

Words = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Grouping:
    """`bits` of a code, elements of a group, elements of a word, and the code that means 0."""

    bits: int
    group: int
    in_word: int
    zero: int


GROUPINGS = {
    "q3f16_1": Grouping(3, 40, 10, 3),
    "q4f16_1": Grouping(4, 32, 8, 7),
    "q4f32_1": Grouping(4, 32, 8, 7),
}
PLAIN = ("q0f16", "q0f32")
"""Quantizations that are none."""


def dequantized(grouping: Grouping, words: Words, scales: NDArray[Any], cols: int) -> Floats:
    """float32[rows, cols] of words [rows, words] and scales [rows, groups]; a last group may be
    longer than the row."""
    codes = _codes(grouping, words)
    centred = codes.astype(np.float32) - np.float32(grouping.zero)
    grouped = centred.reshape(len(words), -1, grouping.group)
    values = grouped * scales.astype(np.float32)[:, :, None]
    return np.ascontiguousarray(values.reshape(len(words), -1)[:, :cols])


def packed(
    name: str, grouping: Grouping, words: Words, scales: NDArray[Any], scheme: Scheme
) -> Packed | None:
    """The codes as `scheme` holds them; None when it holds no such codes, or when a scale does not
    fit its half. Scales of 32 bits are rounded to 16, and the error is counted."""
    if scheme.name != "q4" or (grouping.bits, grouping.group) != (4, GROUP):
        return None
    flat = scales.reshape(-1)
    if not np.isfinite(flat).all():
        raise CheckpointError(
            f"tensor {name!r} holds NaN or infinity; the files are damaged, download them again"
        )
    with np.errstate(over="ignore"):
        halves = flat.astype(np.float16)
    if not np.isfinite(halves).all() or ((halves == 0) != (flat == 0)).any():
        return None
    codes = _codes(grouping, words).reshape(-1, GROUP)
    # A group of zeros has no scale to divide by: its codes may be anything.
    codes = np.where((flat == 0)[:, None], np.uint8(grouping.zero), codes)
    if codes.max(initial=0) > 2 * grouping.zero:
        return None
    integers = codes.view(np.int8) - np.int8(grouping.zero)
    main = nibble_words(codes + np.uint8(1)).reshape(len(words), -1)
    # What 16 bits leave of the scales is the whole error; sums of squares of float64 are exact.
    lost = flat.astype(np.float64) - halves.astype(np.float64)
    return Packed(main, halves, square_sum(integers, lost), square_sum(integers, flat))


def _codes(grouping: Grouping, words: Words) -> NDArray[np.uint8]:
    """uint8[rows, elements] of the words of rows."""
    shifts = np.arange(grouping.in_word, dtype=np.uint32) * np.uint32(grouping.bits)
    mask = np.uint32((1 << grouping.bits) - 1)
    codes = (words[:, :, None] >> shifts) & mask
    return codes.astype(np.uint8).reshape(len(words), -1)
