"""What the kernels of a mixture of experts compute, in numpy; see `reference.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .reference import activated

Array = NDArray[Any]


def route(logits: Array, *, top: int, renormalize: bool) -> tuple[Array, Array]:
    """(ids i32[n, top], shares f32[n, top]): the largest logits, of equal ones the first, and the
    softmax there, of all logits or of the chosen ones alone."""
    wide = logits.astype(np.float64)
    ids = np.argsort(-wide, axis=1, kind="stable")[:, :top]
    raised = np.exp(wide - wide.max(axis=1, keepdims=True))
    chosen = np.take_along_axis(raised, ids, axis=1)
    summed = chosen if renormalize else raised
    return ids.astype(np.int32), (chosen / summed.sum(axis=1, keepdims=True)).astype(np.float32)


def expert_gate_up(
    x: Array, ids: Array, weight: Array, out: Array, *, start: int, activation: str = "silu"
) -> Array:
    """`out` [n, top * F] with the spans of experts that `weight` [experts, 2F, cols] holds, from
    `start` on, replaced by activation(x @ gate^T) * (x @ up^T)."""
    result = out.copy().reshape(*ids.shape, -1)
    for token, slot, expert in _held(ids, weight, start):
        gate, up = np.split(weight[expert].astype(np.float64) @ x[token].astype(np.float64), 2)
        result[token, slot] = activated(activation, gate) * up
    return np.asarray(result.reshape(out.shape))


def expert_down(
    hidden: Array, ids: Array, shares: Array, weight: Array, before: Array, *, start: int
) -> Array:
    """`before` [n, rows] plus share * (hidden @ down^T) of every expert that `weight`
    [experts, rows, F] holds, from `start` on."""
    result = before.astype(np.float64)
    spans = hidden.astype(np.float64).reshape(*ids.shape, -1)
    for token, slot, expert in _held(ids, weight, start):
        result[token] += shares[token, slot] * (weight[expert] @ spans[token, slot])
    return result.astype(np.float32)


def _held(ids: Array, weight: Array, start: int) -> list[tuple[int, int, int]]:
    """(token, place among its ids, place in `weight`) of every choice that `weight` holds."""
    found = np.argwhere((ids >= start) & (ids < start + len(weight)))
    return [(int(t), int(s), int(ids[t, s]) - start) for t, s in found]
