"""What the kernels of encoders compute, in plain numpy: one function per op, of the op's name.

Sums run in float64 and are returned as float32, so a kernel is compared with the true value.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def encoder_attention(qkv: Array, spans: Array, *, heads: int, scale: float) -> Array:
    """f32[n, H*D]: every row of `qkv` [n, 3*H*D] attends to rows [start, end) of its span."""
    n, width = len(qkv), qkv.shape[1] // 3
    q, k, v = (p.reshape(n, heads, -1).astype(np.float64) for p in np.split(qkv, 3, axis=1))
    rows = np.arange(n)
    seen = (rows >= spans[:, :1]) & (rows < spans[:, 1:])
    scores = np.where(seen[:, None, :], np.einsum("thd,khd->thk", q, k) * scale, -np.inf)
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    weights /= weights.sum(axis=2, keepdims=True)
    return np.asarray(np.einsum("thk,khd->thd", weights, v).reshape(n, width), np.float32)


def pool(x: Array, texts: Array, *, pooling: str, normalized: bool = False) -> Array:
    """f32[texts, cols]: the rows [start, end) of each text as one."""
    vectors = np.stack([_pooled(pooling, x[a:b].astype(np.float64)) for a, b in texts])
    if normalized:
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return vectors.astype(np.float32)


def _pooled(pooling: str, rows: Array) -> Array:
    ways = {
        "cls": lambda: rows[0],
        "last": lambda: rows[-1],
        "max": lambda: rows.max(axis=0),
        "mean": lambda: rows.mean(axis=0),
        "mean_sqrt_len": lambda: rows.sum(axis=0) / np.sqrt(len(rows)),
    }
    return np.asarray(ways[pooling]())
