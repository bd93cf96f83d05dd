"""Rows of a weight from the tensors of a checkpoint, however a publisher laid those out, and back.

Row ranges are read as they are asked for, so that no whole tensor need be in memory. It knows
layouts, not schemes or files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from .errors import CheckpointError
from .rounding import Floats
from .weight_specs import WeightSpec

BLOCK_ELEMENTS = 1 << 22
"""Of a tensor read at once."""
PARTS = 3
"""Queries, keys and values."""
LISTED = 4
"""Tensors that a message names, where a weight has many."""


class TensorRows(Protocol):
    """What rows are read from: a Checkpoint, or anything that has named tensors."""

    def shape(self, name: str) -> tuple[int, ...]: ...

    def rows(self, name: str, start: int, stop: int) -> Floats: ...


def check_sources(specs: Sequence[WeightSpec], source: TensorRows) -> None:
    """Raise CheckpointError unless every source tensor is there with the shape its spec needs."""
    for spec in specs:
        shapes = [source.shape(name) for name in spec.sources]
        if spec.flat:
            shapes = [(math.prod(shape),) for shape in shapes]
        if spec.kind == "matrix":
            laid = [shape[::-1] if spec.transposed else shape for shape in shapes]
            good = all(len(shape) == 2 and shape[1] == spec.cols for shape in laid)
            good = good and sum(shape[0] for shape in laid) == spec.rows
            wanted = [spec.rows, spec.cols]
            wanted = wanted[::-1] if spec.transposed else wanted
        else:
            good = all(len(shape) == 1 for shape in shapes)
            good = good and (not shapes or sum(shape[0] for shape in shapes) == spec.rows)
            wanted = [spec.rows]
        if not good:
            raise CheckpointError(
                f"{_listed(spec.sources, shapes)}, config.json asks for {wanted} in all; use the "
                "config.json these weights were saved with"
            )


def _listed(names: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> str:
    """The tensors of one weight with their shapes; of many, those whose shapes are rare."""
    found = list(zip(names, shapes, strict=True))
    if len(found) > LISTED:
        found = sorted(found, key=lambda pair: shapes.count(pair[1]))[:LISTED]
    more = f" and {len(names) - len(found)} more tensors" if len(names) > len(found) else ""
    text = " + ".join(name for name, _ in found)
    return f"{text}{more} has shape {[list(shape) for _, shape in found]}"


def names_of(spec: WeightSpec, source: TensorRows, start: int, stop: int) -> str:
    """The tensors that rows [start, stop) of a weight lie in, for a message."""
    found, base = [], 0
    for name in spec.sources if len(spec.sources) > 1 else ():
        count = _count(spec, source, name)
        if base < stop and base + count > start:
            found.append(name)
        base += count
    return " + ".join(found or spec.sources)


def read_rows(spec: WeightSpec, source: TensorRows, start: int, stop: int) -> Floats:
    """Rows [start, stop) of the sources of a matrix laid one below the other."""
    if spec.interleaved:
        pieces = list(_interleaved(spec, source, start, stop))
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    if spec.flat:
        (name,) = spec.sources
        return source.rows(name, 0, source.shape(name)[0]).reshape(-1)[start:stop]
    pieces, base = [], 0
    for name in spec.sources:
        count = _count(spec, source, name)
        first, last = max(start - base, 0), min(stop - base, count)
        if first < last:
            read = _columns if spec.transposed else _rows
            pieces.append(read(source, name, first, last))
        base += count
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def as_stored(spec: WeightSpec, source: TensorRows, values: Floats) -> Iterator[tuple[str, Floats]]:
    """(checkpoint tensor, its values) of all rows of a weight: what `read_rows` was given."""
    if spec.interleaved:
        parted = values.reshape(PARTS, spec.interleaved, -1, *values.shape[1:])
        values = parted.swapaxes(0, 1).reshape(values.shape)
    if spec.flat:
        (name,) = spec.sources
        yield name, values.reshape(source.shape(name))
        return
    start = 0
    for name in spec.sources:
        stop = start + _count(spec, source, name)
        piece = values[start:stop]
        yield name, piece.T if spec.transposed else piece
        start = stop


def _count(spec: WeightSpec, source: TensorRows, name: str) -> int:
    """How many rows of the weight a tensor holds."""
    return source.shape(name)[1 if spec.transposed else 0]


def _rows(source: TensorRows, name: str, start: int, stop: int) -> Floats:
    return source.rows(name, start, stop)


def _columns(source: TensorRows, name: str, start: int, stop: int) -> Floats:
    """Columns [start, stop) of a tensor as rows, the tensor read a block at a time."""
    height, width = source.shape(name)
    found = np.empty((stop - start, height), np.float32)
    step = max(1, BLOCK_ELEMENTS // width)
    for first in range(0, height, step):
        last = min(first + step, height)
        found[:, first:last] = source.rows(name, first, last)[:, start:stop].T
    return found


def _interleaved(spec: WeightSpec, source: TensorRows, start: int, stop: int) -> Iterator[Floats]:
    """Rows [start, stop) of [parts, heads, D] from a tensor that holds [heads, parts, D]."""
    (name,) = spec.sources
    for first, last in interleaved_runs(spec, start, stop):
        yield source.rows(name, first, last)


def interleaved_runs(spec: WeightSpec, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """The row ranges of such a tensor that make rows [start, stop) of the weight, in order."""
    heads, size = spec.interleaved, spec.rows // (PARTS * spec.interleaved)
    while start < stop:
        (part, head), inside = divmod(start // size, heads), start % size
        count = min(size - inside, stop - start)
        first = (head * PARTS + part) * size + inside
        yield first, first + count
        start += count
