"""How far each rung of the ladder may be from transformers: the one table of tolerances.

The number is max |difference| / max |logit| over the positions of the reference. Quantized
schemes are compared with transformers running on the dequantized weights, so quantization error is
not in it: only the order of additions and the width of activations are.
"""

from __future__ import annotations

WIDE = 1e-4
"""Everything in f32: only the order of additions differs."""

HALVES = {"f32": 1e-3, "f16": 1.5e-3, "q8": 1e-3, "q4": 1e-3, "q3": 1.5e-3}
"""By scheme, where keys and values are kept in halves: at most 8.4e-4 for f32, q8 and q4, and
1.2e-3 for f16 and q3, on the tiny models; a tenth of that on the demo model."""


INTEGERS = 3e-4
"""Rows handed on as 16-bit integers in blocks of 8: at most 8e-5 on the tiny models."""


def logits_tolerance(variant: str, scheme: str, encoding: str = "f32") -> float:
    """How far logits may be from the reference; `llvm` counts as a variant."""
    if variant in ("llvm", "base", "software"):
        return INTEGERS if encoding == "i16" else WIDE
    return HALVES[scheme]


PREFILL_AGAINST_DECODE = {
    "llvm": 1e-4,
    "base": 1e-4,
    "f16": 1e-3,
    "f16+subgroups": 1e-3,
    "matrix": 1e-3,
    "software": 1e-4,
}
"""The same prompt in chunks and token by token, on one device. Where there is f16, sums in another
order round keys and values to other halves: at most 5.8e-4 on the tiny models."""

BROKEN_KERNEL = 1e-2
"""A kernel with one sign flipped is at least this wrong: the gate must be far below it."""

ROUNDED_ROWS = 6e-2
"""Rows rounded to int8 in groups of 32 where they meet quantized matrices: 7e-3 on the demo model,
6e-3 to 5e-2 on tiny ones."""
