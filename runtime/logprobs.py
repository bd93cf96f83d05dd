"""Log probabilities as the device writes them, and biases as it reads them.

The record of the plan's entries `logprobs` and `chosen`, u32[42]: word 0 the logarithm of the sum
of exp(logits), word 1 the logit of the token drawn last, words 2-21 the largest logits in order,
words 22-41 their tokens (0xFFFFFFFF where there are no more). All but the tokens are f32 bits. The
distribution is the model's own: before biases, penalties, temperature and masks.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass

TOP = 20
"""How many of the likeliest tokens a record holds."""
RECORD_NBYTES = 4 * (2 + 2 * TOP)
BIAS_PAIRS = 1024
"""Tokens that a request may bias."""
BIAS_NBYTES = 8 * BIAS_PAIRS
LEAST = -9999.0
"""Stands for the logarithm of nothing, as OpenAI has it: JSON has no infinity."""
NO_TOKEN = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """The logarithm of a token's probability, and the likeliest tokens with theirs, best first."""

    chosen: float
    top: tuple[tuple[int, float], ...]


def read_record(record: bytes, *, top: int, bias: float = 0.0) -> TokenLogprobs:
    """What a record of `RECORD_NBYTES` says, with the `top` likeliest tokens.

    `bias` is what was added to the logit of the token drawn after `logprobs` looked at it.
    """
    total, chosen, *values = struct.unpack(f"<{2 + TOP}f", record[: 4 * (2 + TOP)])
    tokens = struct.unpack(f"<{TOP}I", record[4 * (2 + TOP) : RECORD_NBYTES])
    found = [(t, _log(v - total)) for t, v in zip(tokens, values, strict=True) if t != NO_TOKEN]
    return TokenLogprobs(_log(chosen - bias - total), tuple(found[:top]))


def bias_bytes(bias: Mapping[int, float]) -> bytes:
    """The `BIAS_NBYTES` of the `bias` buffer."""
    assert len(bias) <= BIAS_PAIRS
    pairs = b"".join(struct.pack("<If", token, value) for token, value in bias.items())
    return pairs + struct.pack("<If", NO_TOKEN, 0.0) * (BIAS_PAIRS - len(bias))


def _log(value: float) -> float:
    """No more than 0, which rounding may pass, and no less than `LEAST`."""
    return max(min(value, 0.0), LEAST) if math.isfinite(value) else LEAST
