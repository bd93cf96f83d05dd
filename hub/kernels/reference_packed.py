"""Packed rows in plain numpy: what `packed.py` describes, one way and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..schemes import GROUP
from .packed import BLOCK, packed_words

Array = NDArray[Any]

FULL = 127 * 256 + 127


def pack_row(x: Array, weight: Array | None, encoding: str) -> Array:
    """x f32[cols], the norm's weights or None -> u32[packed_words(cols)]."""
    blocks = (x if weight is None else x * weight).astype(np.float32).reshape(-1, BLOCK)
    squares = (x.astype(np.float32).reshape(-1, BLOCK) ** 2).sum(axis=1)
    squares = squares if weight is not None else np.zeros_like(squares)
    if encoding == "f32":
        return np.concatenate([_by_group(blocks.view("<u4"), 2), _tail(squares)]).reshape(-1)
    peaks = np.abs(blocks).max(axis=1)
    scales = (peaks / np.float32(FULL)).astype(np.float32)
    inverse = np.divide(np.float32(FULL), peaks, out=np.zeros_like(peaks), where=peaks > 1e-30)
    integers = np.rint(blocks * inverse[:, None]).astype(np.int32)
    high = (integers + 128) >> 8
    low = integers - 256 * high
    planes = np.concatenate([high, low], axis=1).astype(np.int8).view("<u4")
    offsets = (-8 * scales * integers.sum(axis=1)).astype(np.float32)
    parts = [_by_group(planes, 1), _tail(scales), _tail(offsets), _tail(squares)]
    return np.concatenate(parts).reshape(-1)


def unpack_row(words: Array, cols: int, encoding: str) -> tuple[Array, Array]:
    """(row f32[cols], sums of squares f32[cols / 8]) of a packed row."""
    assert words.shape == (packed_words(cols, encoding),), words.shape
    groups = cols // GROUP
    vectors = words.astype("<u4").reshape(-1, 4)
    squares = vectors[-groups:].view("<f4").reshape(-1)
    if encoding == "f32":
        quads = vectors[: 8 * groups].reshape(8, groups, 4).transpose(1, 0, 2)
        return quads.reshape(-1).copy().view("<f4"), squares
    planes = vectors[: 4 * groups].reshape(4, groups, 4).transpose(1, 0, 2).copy()
    halves = planes.reshape(-1, 4).view(np.int8).astype(np.int32).reshape(-1, 2, BLOCK)
    scales = vectors[4 * groups : 5 * groups].view("<f4").reshape(-1, 1)
    row = (256 * halves[:, 0] + halves[:, 1]).astype(np.float32) * scales
    return row.reshape(-1), squares


def _by_group(vectors: Array, parts: int) -> Array:
    """Blocks of `parts` vec4s to [4 * parts][groups] vec4s."""
    return vectors.reshape(-1, 4 * parts, 4).transpose(1, 0, 2).reshape(-1, 4)


def _tail(values: Array) -> Array:
    """A number a block, four of a group together."""
    return values.astype("<f4").view("<u4").reshape(-1, 4)
