"""Arrays: first elements of their own schemas, then further ones; and how many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .errors import Unsatisfiable, refused
from .json_text import COMMA, listed
from .rules import EMPTY, Expression, Repeat, sequence

MAX_ELEMENTS = 10_000


def counts(schema: Mapping[str, Any], what: str, path: str) -> tuple[int, int | None]:
    """A schema's min{what} and max{what}; Unsatisfiable when they exclude each other."""
    low, high = int(schema.get(f"min{what}", 0)), schema.get(f"max{what}")
    if low > MAX_ELEMENTS:
        raise refused(f"{path}.min{what}", f"more than {MAX_ELEMENTS}")
    if high is not None and int(high) < low:
        raise Unsatisfiable
    # A larger maximum than can be kept is kept by writing less.
    return low, None if high is None else min(int(high), max(low, MAX_ELEMENTS))


def elements(
    first: Sequence[Expression], rest: Expression | None, low: int, high: int | None
) -> Expression:
    """Elements with commas between: those of `first` in order, then `rest`."""
    if not first:
        if rest is None or high == 0:
            if low:
                raise Unsatisfiable
            return EMPTY
        some = listed(rest, max(low, 1), high)
        return some if low else Repeat(some, 0, 1)
    count = len(first) if high is None else min(len(first), high)
    if rest is None and low > len(first):
        raise Unsatisfiable
    tail: Expression = EMPTY
    if rest is not None and (high is None or high > len(first)):
        most = None if high is None else high - len(first)
        tail = Repeat(sequence(COMMA, rest), max(0, low - len(first)), most)
    for index in range(count - 1, -1, -1):
        tail = sequence(COMMA if index else EMPTY, first[index], tail)
        if index >= low:
            tail = Repeat(tail, 0, 1)
    return tail if count else EMPTY
