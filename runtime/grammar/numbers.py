"""Numbers between bounds, as texts of digits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from .errors import Unsatisfiable
from .json_text import DIGIT, INTEGER, NUMBER
from .rules import EMPTY, Chars, Expression, Repeat, choice, sequence

FURTHER_DIGITS = 3
"""Without an upper bound, numbers may be this many digits longer than the lower one, or 16."""
MAX_DIGITS = 400
FRACTION = 2
"""Digits after the point of a number between bounds, or as many as the bounds have."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Both included or not as said; None for no bound."""

    low: Decimal | None = None
    high: Decimal | None = None
    above: bool = False
    """`low` itself is out."""
    below: bool = False
    """`high` itself is out."""

    def scaled(self, decimals: int) -> tuple[int | None, int | None]:
        """The first and last whole multiple of 10**-decimals inside."""
        low = high = None
        if self.low is not None:
            exact = self.low.scaleb(decimals)
            low = int(exact.to_integral_value(ROUND_CEILING))
            low += self.above and low == exact
        if self.high is not None:
            exact = self.high.scaleb(decimals)
            high = int(exact.to_integral_value(ROUND_FLOOR))
            high -= self.below and high == exact
        return low, high


def bounds_of(schema: Mapping[str, Any]) -> Bounds:
    """The bounds that a schema sets; of two lower or upper ones the tighter."""
    low, high = _decimal(schema, "minimum"), _decimal(schema, "maximum")
    above, below = _decimal(schema, "exclusiveMinimum"), _decimal(schema, "exclusiveMaximum")
    out_low = above is not None and (low is None or above >= low)
    out_high = below is not None and (high is None or below <= high)
    return Bounds(above if out_low else low, below if out_high else high, out_low, out_high)


def _decimal(schema: Mapping[str, Any], name: str) -> Decimal | None:
    return Decimal(repr(schema[name])) if name in schema else None


def integers(bounds: Bounds) -> Expression:
    """Whole numbers inside; Unsatisfiable when there is none."""
    low, high = bounds.scaled(0)
    return INTEGER if low is None and high is None else _between(low, high, 0)


def numbers(bounds: Bounds) -> Expression:
    """Numbers inside, whole or with a fixed count of decimals; without bounds any number."""
    if bounds.low is None and bounds.high is None:
        return NUMBER
    ends = [end for end in (bounds.low, bounds.high) if end is not None]
    decimals = max(FRACTION, *(-int(end.as_tuple().exponent) for end in ends))
    options = []
    for count in (0, decimals):
        try:
            options.append(_between(*bounds.scaled(count), count))
        except Unsatisfiable:
            continue
    return choice(options)


def _between(low: int | None, high: int | None, decimals: int) -> Expression:
    """Signed numbers of `decimals` decimals, whose digits read as an integer lie inside."""
    if low is not None and high is not None and low > high:
        raise Unsatisfiable
    options = []
    if high is None or high >= 0:
        options.append(_natural(max(low or 0, 0), high, decimals))
    if low is None or low < 0:
        first = 1 if high is None else max(1, -high)
        options.append(sequence("-", _natural(first, None if low is None else -low, decimals)))
    return choice(options)


def _natural(low: int, high: int | None, decimals: int) -> Expression:
    """Digits that read as `low` to `high`, a point before the last `decimals`."""
    shortest = decimals + 1
    longest = len(str(high)) if high is not None else max(len(str(low)) + FURTHER_DIGITS, 16)
    options, free = [], []
    for width in range(max(len(str(low)), shortest), max(longest, shortest) + 1):
        # One digit before the point may be a 0, further ones begin with no 0.
        least = 0 if width == shortest else 10 ** (width - 1)
        most = 10**width - 1
        a, b = max(low, least), most if high is None else min(high, most)
        if (a, b) == (least, most) and width > shortest:
            free.append(width)
        elif a <= b:
            options.append(_digits(str(a).zfill(width), str(b).zfill(width), decimals))
    if free:
        options.append(_free(free[0], free[-1], decimals))
    return choice(options)


def _free(width: int, last: int, decimals: int) -> Expression:
    """`width` to `last` digits, the first no 0."""
    whole = Repeat(DIGIT, width - 1 - decimals, last - 1 - decimals)
    return sequence(Chars(((0x31, 0x39),)), whole, _fraction(decimals))


def _fraction(decimals: int) -> Expression:
    return sequence(".", Repeat(DIGIT, decimals, decimals)) if decimals else EMPTY


def _any(count: int, decimals: int) -> Expression:
    """`count` digits to the end."""
    if count < decimals:
        return Repeat(DIGIT, count, count) if count else EMPTY
    whole = count - decimals
    return sequence(Repeat(DIGIT, whole, whole) if whole else EMPTY, _fraction(decimals))


def _digits(a: str, b: str, decimals: int) -> Expression:
    """Texts of digits from `a` to `b`, of one length, the last `decimals` behind a point."""
    if not a:
        return EMPTY
    point = "." if decimals and len(a) == decimals else ""
    rest = len(a) - 1
    if a[0] == b[0]:
        return sequence(point, a[0], _digits(a[1:], b[1:], decimals))
    options = []
    start, stop = int(a[0]), int(b[0])
    if a[1:] != "0" * rest:
        options.append(sequence(point, a[0], _digits(a[1:], "9" * rest, decimals)))
        start += 1
    if b[1:] != "9" * rest:
        options.append(sequence(point, b[0], _digits("0" * rest, b[1:], decimals)))
        stop -= 1
    if start <= stop:
        options.append(sequence(point, Chars(((48 + start, 48 + stop),)), _any(rest, decimals)))
    return choice(options)
