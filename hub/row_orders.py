"""Rows of a matrix that a converter has put into another order, and reading them back in ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
PARTS = 3
"""Queries, keys and values."""


def in_order(order: Rows, read: Callable[[int, int], NDArray[Any]]) -> NDArray[Any]:
    """The rows `order`, by `read(first, last)`: runs of neighbours are read at once."""
    found = np.sort(order)
    breaks = np.flatnonzero(np.diff(found) != 1) + 1
    raw = [read(int(run[0]), int(run[-1]) + 1) for run in np.split(found, breaks)]
    joined = raw[0] if len(raw) == 1 else np.concatenate(raw)
    return joined if (found == order).all() else joined[np.searchsorted(found, order)]


def paired_rows(head_dim: int, start: int, stop: int) -> NDArray[np.int64]:
    """Where a file with rotating pairs side by side holds rows [start, stop).

    Element i of the first half of a head rotates with element i of the second: the file holds
    them as elements 2i and 2i + 1.
    """
    rows = np.arange(start, stop)
    half, inner = head_dim // 2, rows % head_dim
    return rows - inner + 2 * (inner % half) + inner // half


def parted_rows(heads: int, head_dim: int, start: int, stop: int) -> NDArray[np.int64]:
    """Where a file with all queries, then all keys, then all values holds rows [start, stop) of
    a tensor that has the three of each head together."""
    head, rest = np.divmod(np.arange(start, stop), PARTS * head_dim)
    part, inner = np.divmod(rest, head_dim)
    return (part * heads + head) * head_dim + inner
