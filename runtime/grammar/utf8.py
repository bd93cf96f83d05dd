"""Ranges of characters as ranges of the bytes that UTF-8 makes of them."""

from __future__ import annotations

from collections.abc import Iterator

from .characters import Ranges

Bytes = tuple[tuple[int, int], ...]
"""The range of each byte in turn."""
LAST_OF_LENGTH = (0x7F, 0x7FF, 0xFFFF, 0x10FFFF)


def byte_ranges(ranges: Ranges) -> Iterator[Bytes]:
    """Sequences of byte ranges that together match exactly the characters of `ranges`."""
    for low, high in ranges:
        start = low
        for last in LAST_OF_LENGTH:
            if start <= min(high, last):
                first, final = chr(start).encode(), chr(min(high, last)).encode()
                yield from _between(first, final)
                start = min(high, last) + 1


def _between(low: bytes, high: bytes) -> Iterator[Bytes]:
    """The texts of one length from `low` to `high`."""
    if len(low) == 1:
        yield ((low[0], high[0]),)
        return
    least, most = b"\x80" * (len(low) - 1), b"\xbf" * (len(low) - 1)
    if low[0] == high[0]:
        yield from _led(low[0], low[0], _between(low[1:], high[1:]))
        return
    start, stop = low[0], high[0]
    if low[1:] != least:
        yield from _led(start, start, _between(low[1:], most))
        start += 1
    if high[1:] != most:
        stop -= 1
    if start <= stop:
        yield ((start, stop), *(((0x80, 0xBF),) * len(least)))
    if high[1:] != most:
        yield from _led(high[0], high[0], _between(least, high[1:]))


def _led(low: int, high: int, rest: Iterator[Bytes]) -> Iterator[Bytes]:
    for one in rest:
        yield ((low, high), *one)
