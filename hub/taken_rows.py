"""Rows that a source already holds as a scheme stores them: taken over, never rounded again.

Knows no format: a source that has such rows says so by a method more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import numpy as np

from .quantize import Packed
from .rounding import Floats
from .schemes import Scheme
from .source_rows import TensorRows, interleaved_runs
from .weight_specs import WeightSpec

Pack = Callable[[Floats], Packed]
"""What rounds the rows that cannot be taken over."""


@runtime_checkable
class PackedSource(TensorRows, Protocol):
    """A source whose tensors may lie in groups of small integers."""

    def packed(self, name: str, scheme: Scheme, start: int, stop: int) -> Packed | None:
        """Rows [start, stop) of a matrix as `scheme` stores them, with no error; None when that
        takes rounding."""
        ...


def take_rows(
    spec: WeightSpec, scheme: Scheme, source: TensorRows, start: int, stop: int, pack: Pack
) -> Packed | None:
    """Rows [start, stop) of a matrix of which at least some can be taken over; None for others.

    Rows of a source that cannot are packed by `pack`: one matrix may hold both.
    """
    if spec.kind != "matrix" or spec.transposed or spec.offset:
        return None
    if scheme.group is None or not isinstance(source, PackedSource):
        return None
    pieces, taken = [], False
    for name, first, last in _ranges(spec, source, start, stop):
        piece = source.packed(name, scheme, first, last)
        taken = taken or piece is not None
        pieces.append(piece or pack(source.rows(name, first, last)))
    return _joined(pieces) if taken else None


def _ranges(
    spec: WeightSpec, source: TensorRows, start: int, stop: int
) -> Iterator[tuple[str, int, int]]:
    """(tensor, first, last) of the row ranges that make rows [start, stop) of the weight."""
    if spec.interleaved:
        for run in interleaved_runs(spec, start, stop):
            yield spec.sources[0], *run
        return
    base = 0
    for name in spec.sources:
        count = source.shape(name)[0]
        first, last = max(start - base, 0), min(stop - base, count)
        if first < last:
            yield name, first, last
        base += count


def _joined(pieces: list[Packed]) -> Packed:
    if len(pieces) == 1:
        return pieces[0]
    scales = [piece.scales for piece in pieces if piece.scales is not None]
    return Packed(
        np.concatenate([piece.main for piece in pieces]),
        np.concatenate(scales),
        sum(piece.error for piece in pieces),
        sum(piece.norm for piece in pieces),
    )
