"""What the kernels of layers that remember compute, in plain numpy: one function per op.

Sums run in float64; states are taken and given without their ring.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
KEY_EPS = 1e-6


def causal_conv(x: Array, weight: Array, held: Array) -> tuple[Array, Array]:
    """(f32[n, channels], the rows held next) of x [n, channels], weight [channels, kernel] and the
    `held` [kernel - 1, channels] rows before."""
    kernel = weight.shape[1]
    rows = np.concatenate([held, x]).astype(np.float64)
    sums = np.sum([rows[j : j + len(x)] * weight[:, j] for j in range(kernel)], axis=0)
    return (sums * _sigmoid(sums)).astype(np.float32), rows[len(x) :].astype(np.float32)


def delta_rule(
    mixed: Array, rates: Array, decays: Array, state: Array, *, key_heads: int
) -> tuple[Array, Array]:
    """(f32[n, heads * value_dim], the state after) of a state [heads, key_dim, value_dim]."""
    heads, dim, values = state.shape
    keys = key_heads * dim
    now, out = state.astype(np.float64), []
    for row, (b, a) in zip(mixed.astype(np.float64), _pairs(rates), strict=True):
        query, key = (_unit(row[i * keys : (i + 1) * keys].reshape(-1, dim)) for i in (0, 1))
        query, key = (np.repeat(part, heads // key_heads, axis=0) for part in (query, key))
        decay = np.exp(-np.exp(decays[:heads]) * np.log1p(np.exp(a + decays[heads:])))
        now = now * decay[:, None, None]
        missed = row[2 * keys :].reshape(heads, values) - np.einsum("hk,hkv->hv", key, now)
        now = now + key[:, :, None] * (missed * _sigmoid(b)[:, None])[:, None, :]
        out.append(np.einsum("hk,hkv->hv", query, now).reshape(-1) * dim**-0.5)
    return np.array(out, np.float32), now.astype(np.float32)


def gated_norm(x: Array, gates: Array, weight: Array, *, eps: float) -> Array:
    """f32[n, heads * dim] of x and gates of that shape and a weight [dim]."""
    by_head = x.astype(np.float64).reshape(len(x), -1, len(weight))
    scale = np.sqrt((by_head**2).mean(axis=2, keepdims=True) + eps)
    normed = (by_head / scale * weight).reshape(x.shape)
    return np.asarray(normed * gates * _sigmoid(gates.astype(np.float64)), np.float32)


def _pairs(rates: Array) -> list[tuple[Array, Array]]:
    heads = rates.shape[1] // 2
    return [(row[:heads], row[heads:]) for row in rates.astype(np.float64)]


def _unit(vectors: Array) -> Array:
    return np.asarray(vectors / np.sqrt((vectors**2).sum(axis=1, keepdims=True) + KEY_EPS))


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))
