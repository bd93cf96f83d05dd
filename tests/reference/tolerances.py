"""How far each rung of the ladder may be from transformers: the one table of tolerances.

The number is max |difference| / max |logit| over the positions of the reference. Quantized
schemes are compared with transformers running on the dequantized weights, so quantization error is
not in it: only the order of additions and the width of activations are.
"""

from __future__ import annotations

LOGITS = {
    "llvm": 1e-4,
    "base": 1e-3,
    "f16": 1e-3,
    "f16+subgroups": 1e-3,
    "software": 1e-3,
}
"""By plan variant; `llvm` is the compiler's own code for this processor."""

PREFILL_AGAINST_DECODE = 1e-3
"""The same prompt in chunks and token by token, on one device."""

BROKEN_KERNEL = 1e-2
"""A kernel with one sign flipped is at least this wrong: the gate must be far below it."""
