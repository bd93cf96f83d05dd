"""`logprobs`, `chosen` and `bias` in plain numpy, as `logprobs.py` documents them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.logprobs import TOP

Array = NDArray[Any]


def logprobs(logits: Array) -> Array:
    """u32[42] for `logits` f32[vocab]; word 1 is 0."""
    wide = np.where(np.isnan(logits), -np.inf, logits.astype(np.float64))
    places = np.flatnonzero(~np.isnan(logits))
    order = places[np.argsort(-wide[places], kind="stable")][:TOP]
    record = np.zeros(2 + 2 * TOP, np.uint32)
    # What is not a number has no mass; what is infinite, that of the largest number.
    held = np.clip(wide[places], -3e38, 3e38)
    peak = held.max() if len(held) else 0.0
    total = peak + np.log(max(np.exp(np.maximum(held - peak, -745)).sum(), 1e-38))
    record[0] = np.array([total], np.float32).view(np.uint32)[0]
    record[2 : 2 + TOP] = np.float32(-np.inf).view(np.uint32)
    record[2 : 2 + len(order)] = logits[order].view(np.uint32)
    record[2 + TOP :] = 0xFFFFFFFF
    record[2 + TOP : 2 + TOP + len(order)] = order
    return record


def chosen(logits: Array, token: int, record: Array) -> Array:
    """`record` with the logit of `token` in word 1."""
    result = record.copy()
    result[1] = logits[token : token + 1].view(np.uint32)[0]
    return result


def bias(pairs: Array, logits: Array) -> Array:
    """`logits` with the floats of `pairs` u32[n, 2] added to their tokens'."""
    result = logits.copy()
    for token, bits in pairs:
        if token < len(logits):
            result[token] += np.array([bits], np.uint32).view(np.float32)[0]
    return result
