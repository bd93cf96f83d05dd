"""Sets of characters as sorted ranges of code points, both ends included."""

from __future__ import annotations

from collections.abc import Iterable

Ranges = tuple[tuple[int, int], ...]

LAST = 0x10FFFF
SURROGATES = (0xD800, 0xDFFF)
"""Halves of pairs: no text holds one alone."""


def union(*sets: Ranges) -> Ranges:
    """All of them, sorted, without overlaps."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(pair for one in sets for pair in one):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return tuple(merged)


def complement(ranges: Ranges) -> Ranges:
    """Every character that is not in `ranges`."""
    gaps, start = [], 0
    for low, high in union(ranges, (SURROGATES,)):
        if start < low:
            gaps.append((start, low - 1))
        start = high + 1
    if start <= LAST:
        gaps.append((start, LAST))
    return tuple(gaps)


def without(ranges: Ranges, others: Ranges) -> Ranges:
    """`ranges` but for `others`."""
    return complement(union(complement(ranges), others))


def of(characters: Iterable[str]) -> Ranges:
    """The set of single characters."""
    return union(tuple((ord(c), ord(c)) for c in characters))


ANY = complement(())
BEYOND_ASCII = complement(((0, 0x7F),))
DIGITS: Ranges = ((0x30, 0x39),)
WORD = union(DIGITS, ((0x41, 0x5A), (0x61, 0x7A)), of("_"))
SPACES = union(
    ((9, 13), (0x20, 0x20), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A)),
    ((0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF)),
)
"""White space and line ends of ECMAScript."""
LINE_ENDS = of("\n\r\u2028\u2029")
