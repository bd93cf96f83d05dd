"""Rows of activations as products read them: rounded to int8 in groups of 32, or only reordered.

A block is what a product takes in one turn: four groups of one row (a single token), or one group
of four rows. Its 128 codes lie together, 32 a group, in the order in which the weights of the
scheme leave their words; for the rounded ones `sides` holds eight floats a block: the four scales,
then what is to be added to the four integer sums for the offset of the weights.
Rows and groups that a block has too many are zeros.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tvm.tirx.script.builder import ir as B

from .vectors import Body, f32, function, lane, load, opaque, shuffle, splat, store

TOKENS = 8
"""Rows that a product of many takes at once: two blocks."""
EVEN, ODD = [0, 2, 4, 6, 8, 10, 12, 14], [1, 3, 5, 7, 9, 11, 13, 15]
OFFSETS = {"q4": 8, "q8": 0, "q3": 4}
"""What a scheme's stored integers are too large by."""


def int16_codes(scheme: str, e: list[Any]) -> list[Any]:
    """Four int16x8 of the eight int32x4 of a group, as `pieces` of its weights pair with them."""
    if scheme == "q8":
        chosen = [shuffle([e[2 * i], e[2 * i + 1]], range(8)) for i in range(4)]
    else:
        low, high = e[0::2], e[1::2]
        chosen = [shuffle(low, EVEN), shuffle(high, EVEN), shuffle(low, ODD), shuffle(high, ODD)]
    return [B.Cast("int16x8", vector) for vector in chosen]


def int8_codes(e: list[Any]) -> list[Any]:
    """Two int8x16 of the eight int32x4 of a group: what meets low nibbles, and high ones."""
    return [B.Cast("int8x16", shuffle(half, range(16))) for half in (e[0::2], e[1::2])]


def float_codes(scheme: str, e: list[Any]) -> list[Any]:
    """Eight float32x4 of the eight of a group: vector k meets what is shifted down by k places."""
    if scheme == "q8":
        return [shuffle(e[4 * i : 4 * i + 4], range(b, 16, 4)) for i in range(2) for b in range(4)]
    return [shuffle(e[k % 2 :: 2], range(k // 2, 16, 4)) for k in range(8)]


def _place(item: Any, n: Any, groups: Any, *, many: bool) -> tuple[Any, Any]:
    """(first column of the 32 in x, whether they are there), for the `item`-th 32 codes."""
    if not many:
        return opaque(B.min(item, groups - 1) * 32), item < groups
    # Truncating, for nothing is negative and rounding down takes long to prove so.
    block = B.bind(item >> 2)
    turn = opaque(B.truncdiv(block, groups))
    row = B.bind(turn * 4 + (item & 3))
    group = B.bind(block - turn * groups)
    return opaque((B.min(row, n - 1) * groups + group) * 32), row < n


@functools.cache
def rounded(scheme: str, *, many: bool, relaxed: bool) -> Any:
    """(x f32, codes, sides f32, [n,] groups): items are the codes of 32 columns."""

    def build(f: Body) -> None:
        x, codes = f.buffer(), f.buffer("int8" if relaxed else "int16")
        sides = f.buffer()
        n, groups = f.scalar("n") if many else None, f.scalar("groups")
        with f.items() as item:
            at, there = _place(item, n, groups, many=many)
            e, scale, total = _rounded_group(x, at, there)
            found = int8_codes(e) if relaxed else int16_codes(scheme, e)
            _store_all(codes, item * 32, found, 16 if relaxed else 8)
            side = B.bind((item >> 2) * 8 + (item & 3))
            store(sides, side, scale, 1)
            store(sides, side + 4, total * B.float32(-OFFSETS[scheme]), 1)

    return function(build)


@functools.cache
def reordered(scheme: str, *, many: bool) -> Any:
    """(x f32, codes f32, [n,] groups): items are the codes of 32 columns."""

    def build(f: Body) -> None:
        x, codes = f.buffer(), f.buffer()
        n, groups = f.scalar("n") if many else None, f.scalar("groups")
        with f.items() as item:
            at, there = _place(item, n, groups, many=many)
            one = B.bind(splat(B.Select(there, B.float32(1), B.float32(0))))
            e = [B.bind(load(x, at + 4 * i) * one) for i in range(8)]
            _store_all(codes, item * 32, float_codes(scheme, e), 4)

    return function(build)


def _rounded_group(x: Any, at: Any, there: Any) -> tuple[list[Any], Any, Any]:
    """32 floats as int32 in -127..127, their scale, and the sum of the integers as a float; zeros
    where they are not there."""
    given = [load(x, at + 4 * i) for i in range(8)]
    largest = _folded([B.max(v, f32(0) - v) for v in given], B.max)
    most = opaque(B.Select(there, _across(largest, B.max), B.float32(0)))
    inverse = opaque(B.Select(most > B.float32(1e-30), B.float32(127) / most, B.float32(0)))
    e = [B.bind(B.Cast("int32x4", B.nearbyint(v * B.broadcast(inverse, 4)))) for v in given]
    total = _across(_folded(e, lambda a, b: a + b), lambda a, b: a + b)
    return e, most * B.float32(1 / 127), B.Cast("float32", total)


def _folded(values: list[Any], join: Callable[[Any, Any], Any]) -> Any:
    while len(values) > 1:
        values = [B.bind(join(*pair)) for pair in zip(values[::2], values[1::2], strict=True)]
    return values[0]


def _across(vector: Any, join: Callable[[Any, Any], Any]) -> Any:
    folded = B.bind(join(vector, shuffle([vector], [2, 3, 0, 1])))
    return lane(join(folded, shuffle([folded], [1, 0, 3, 2])), 0)


def _store_all(buffer: Any, at: Any, vectors: list[Any], lanes: int) -> None:
    for i, vector in enumerate(vectors):
        store(buffer, at + i * lanes, vector, lanes)
