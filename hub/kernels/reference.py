"""What every kernel computes, in plain numpy: one function per op, of the op's name.

Sums run in float64 and are returned as float32, so a kernel is compared with the true value.
Sampling has its own module, `reference_sampling`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..schemes import GROUP

Array = NDArray[Any]


def dequantize(scheme: str, buffers: tuple[Array, ...], rows: int, cols: int) -> Array:
    """The float32 matrix [rows, cols] that the buffers of `scheme` stand for."""
    if scheme == "f32":
        return buffers[0].reshape(rows, cols).astype(np.float32)
    words = np.ascontiguousarray(buffers[0].reshape(rows, -1)).astype("<u4", copy=False)
    if scheme == "f16":
        return words.view("<f2").reshape(rows, cols).astype(np.float32)
    if scheme == "q8":
        values = words.view(np.int8).reshape(rows, cols).astype(np.float32)
    elif scheme == "q3":
        values = _three_bits(words).reshape(rows, cols).astype(np.float32) - 4
    else:
        values = _nibbles(words).reshape(rows, cols).astype(np.float32) - 8
    scales = buffers[1].view("<f2")[: rows * (cols // GROUP)].astype(np.float32)
    grouped = values.reshape(rows, cols // GROUP, GROUP) * scales.reshape(rows, -1, 1)
    return grouped.reshape(rows, cols).astype(np.float32)


def _three_bits(words: Array) -> Array:
    """Elements 0..7 of rows [3 words][groups]."""
    planes = words.reshape(len(words), 3, -1).transpose(0, 2, 1)
    bits = np.unpackbits(np.ascontiguousarray(planes).view(np.uint8), axis=-1, bitorder="little")
    # [row, group, word, byte, nibble, bit]; elements of a word go nibble by nibble.
    bits = bits.reshape(*planes.shape, 4, 2, 4).swapaxes(3, 4)
    own = bits[..., :3] @ np.array([1, 2, 4], np.uint8)
    spare = np.tensordot(bits[..., 3], np.array([1, 2, 4], np.uint8), axes=([2], [0]))
    return np.concatenate([own, spare[:, :, None]], axis=2)


def _nibbles(words: Array) -> Array:
    data = words.view(np.uint8).reshape(-1, 4)
    return np.concatenate([data & 15, data >> 4], axis=1)


def embedding(
    ids: Array, weight: Array, out: Array, *, start: int, total: int, scale: float = 1.0
) -> Array:
    """`out` [n, cols] with the rows of the ids in [start, start + len(weight)) replaced, by
    `scale` times theirs."""
    rows = np.clip(ids, 0, total - 1) - start
    result = out.copy()
    ours = (rows >= 0) & (rows < len(weight))
    result[ours] = weight[rows[ours]] * np.float32(scale)
    return result


def matmul(
    x: Array,
    weight: Array,
    residual: Array | None,
    out: Array,
    *,
    start: int,
    bias: Array | None = None,
    activation: str = "",
    softcap: float = 0.0,
) -> Array:
    """`out` with columns [start, start + rows) = x @ weight^T, plus those of the bias, activated,
    soft-capped, plus those of the residual."""
    columns = slice(start, start + len(weight))
    result = out.copy()
    product = x.astype(np.float64) @ weight.astype(np.float64).T
    if bias is not None:
        product += bias[columns]
    if activation:
        product = activated(activation, product)
    if softcap:
        product = softcap * np.tanh(product / softcap)
    if residual is not None:
        product += residual[:, columns]
    result[:, columns] = product
    return result


def gate_up(x: Array, weight: Array, *, activation: str = "silu") -> Array:
    """activation(x @ gate^T) * (x @ up^T), gate being the first half of the rows."""
    both = x.astype(np.float64) @ weight.astype(np.float64).T
    gate, up = np.split(both, 2, axis=1)
    return np.asarray(activated(activation, gate) * up, np.float32)


def activated(activation: str, x: Array) -> Array:
    """float64 `x` through "silu", "relu", "gelu" or its tanh form "gelu_tanh"."""
    if activation == "silu":
        return np.asarray(x / (1 + np.exp(-x)))
    if activation == "relu":
        return np.maximum(x, 0)
    if activation == "gelu":
        return np.asarray(x / 2 * (1 + np.vectorize(math.erf)(x / math.sqrt(2))))
    return np.asarray(x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))


def add_positions(x: Array, table: Array, *, pos: int) -> Array:
    """Each row plus the table's row of its position, the first of them `pos`."""
    return np.asarray(x + table[pos : pos + len(x)], np.float32)


def rms_norm(x: Array, weight: Array, *, eps: float, residual: Array | None = None) -> Array:
    """x / sqrt(mean(x^2) + eps) * weight along the last axis (+ residual)."""
    wide = x.astype(np.float64)
    scale = 1 / np.sqrt((wide**2).mean(axis=-1, keepdims=True) + eps)
    result = wide * scale * weight
    return np.asarray(result if residual is None else result + residual, np.float32)


def layer_norm(x: Array, weight: Array, bias: Array, *, eps: float) -> Array:
    """(x - mean) / sqrt(variance + eps) * weight + bias along the last axis."""
    wide = x.astype(np.float64)
    centred = wide - wide.mean(axis=-1, keepdims=True)
    scale = 1 / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)
    return np.asarray(centred * scale * weight + bias, np.float32)


def last_row(x: Array) -> Array:
    """The last row, [1, cols]."""
    return x[-1:].copy()


def rope_append(
    qkv: Array,
    rope: Array | None,
    page_table: Array,
    k_cache: Array,
    v_cache: Array,
    *,
    heads: int,
    pos: int,
    rotary: int | None = None,
    gains: tuple[Array, ...] = (),
    qk_norm: str = "",
    eps: float = 0.0,
    growth: float = 0.0,
    every: int = 1,
) -> tuple[Array, Array, Array]:
    """(k_cache, v_cache, q [n, heads * D]) after appending n positions from `pos` on.

    The first `rotary` elements of a head are rotated; `gains` are the weights of the norms of q
    and k, over each head or over the row of all heads. Queries grow by 1 + growth * log(1 +
    floor(position / every)).
    """
    kv_heads, page_size, dim = k_cache.shape[1:]
    n, turned = len(qkv), dim if rotary is None else rotary
    split = qkv.reshape(n, heads + 2 * kv_heads, dim)
    both = [split[:, :heads], split[:, heads : heads + kv_heads]]
    if qk_norm == "head":
        both = [rms_norm(part, gain, eps=eps) for part, gain in zip(both, gains, strict=True)]
    if qk_norm == "row":
        rows = [rms_norm(p.reshape(n, -1), g, eps=eps) for p, g in zip(both, gains, strict=True)]
        both = [row.reshape(n, -1, dim) for row in rows]
    if qk_norm == "layer":
        parts = [np.split(gain, 2) for gain in gains]
        both = [layer_norm(b, *part, eps=eps) for b, part in zip(both, parts, strict=True)]
    if qk_norm == "layers":
        none = np.zeros(dim, np.float32)
        own = [gain.reshape(-1, dim) for gain in gains]
        both = [layer_norm(b, gain, none, eps=eps) for b, gain in zip(both, own, strict=True)]
    positions, joined = pos + np.arange(n), np.concatenate(both, axis=1)
    rotated = joined
    if rope is not None and turned:
        cosine, sine = np.split(rope[positions][:, None, :], 2, axis=2)
        a, b = np.split(joined[..., :turned], 2, axis=2)
        pairs = [a * cosine - b * sine, b * cosine + a * sine]
        rotated = np.concatenate([*pairs, joined[..., turned:]], axis=2)
    k_cache, v_cache = k_cache.copy(), v_cache.copy()
    pages, slots = page_table[positions // page_size], positions % page_size
    k_cache[pages, :, slots] = rotated[:, heads:]
    v_cache[pages, :, slots] = split[:, heads + kv_heads :]
    grown = 1 + growth * np.log(1.0 + positions // every)[:, None]
    q = rotated[:, :heads].reshape(n, heads * dim) * grown
    return k_cache, v_cache, q.astype(np.float32)


def attention(
    q: Array,
    page_table: Array,
    k_cache: Array,
    v_cache: Array,
    *,
    heads: int,
    window: int,
    scale: float,
    pos: int,
    softcap: float = 0.0,
) -> Array:
    """Causal grouped-query attention of tokens at pos, pos + 1, ... over the paged cache."""
    kv_heads, page_size, dim = k_cache.shape[1:]
    n = len(q)
    positions = np.arange(pos + n)
    pages, slots = page_table[positions // page_size], positions % page_size
    keys = np.repeat(k_cache[pages, :, slots], heads // kv_heads, axis=1).astype(np.float64)
    values = np.repeat(v_cache[pages, :, slots], heads // kv_heads, axis=1).astype(np.float64)
    scores = np.einsum("thd,khd->thk", q.reshape(n, heads, dim).astype(np.float64), keys) * scale
    if softcap:
        scores = softcap * np.tanh(scores / softcap)
    age = (pos + np.arange(n))[:, None] - positions[None, :]
    seen = (age >= 0) & ((window == 0) | (age < window))
    scores = np.where(seen[:, None, :], scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    weights /= weights.sum(axis=2, keepdims=True)
    return np.asarray(np.einsum("thk,khd->thd", weights, values).reshape(n, -1), np.float32)


def fill(
    count: int, *, kind: str, seed: int, exponent: int = -7, half: int = 1, theta: float = 10000.0
) -> Array:
    """`count` words of synthetic weights, u32 or f32."""
    index = np.arange(count, dtype=np.uint32)
    word = mix(mix(index + np.uint32(0x9E3779B9)) ^ np.uint32(seed))
    if kind == "bits":
        return word
    if kind == "scales":
        return (word & np.uint32(0x83FF83FF)) | np.uint32(((exponent + 15) << 10) * 0x10001)
    if kind == "halves":
        pair = np.stack([word & np.uint32(0xFFFF), word >> np.uint32(16)], axis=1) / 65536 - 0.5
        return (pair * 0.1).astype("<f2").view("<u4").reshape(-1)
    if kind == "uniform":
        return (((word >> np.uint32(9)) * 2.0**-23 - 0.5) * 0.1).astype(np.float32)
    if kind == "ones":
        return np.ones(count, np.float32)
    column, position = np.divmod(np.arange(count), 2 * half)[::-1]
    angle = position * theta ** (-(column % half) / half)
    return np.where(column < half, np.cos(angle), np.sin(angle)).astype(np.float32)


def mix(value: Array) -> Array:
    """The 32-bit finalizer the kernels hash with; u32 in, u32 out, wrapping."""
    h = value.astype(np.uint32)
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x7FEB352D)
    h = (h ^ (h >> np.uint32(15))) * np.uint32(0x846CA68B)
    return np.asarray(h ^ (h >> np.uint32(16)))
