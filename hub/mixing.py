"""Mixed schemes: which matrix gets more bits, by the error that fewer bits would cost it.

The embedding and the output head have 8 bits. Of the other matrices those that rounding changes
most have the next higher scheme, as far as a share of the weights goes. How much rounding changes
a matrix is measured on some of its rows, relative to what they hold; where the importance of
columns is known, errors and contents both count by it. The same weights give the same choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .quantize import assemble, dequantize
from .rounding import Floats
from .schemes import SCHEMES, Mixture, Scheme, Schemes
from .source_rows import TensorRows
from .stream import packed_rows
from .weight_specs import WeightSpec

F32, FINEST = SCHEMES["f32"], SCHEMES["q8"]
ENDS = ("embedding", "lm_head")
"""Not the table of an encoder: it is half of all weights, multiplies nothing and gains little."""
SHARE = 1 / 8
"""Of the weights beside the ends: what may have the next higher scheme."""
BLOCKS, BLOCK_ROWS = 8, 16
"""Rows that are tried: blocks spread evenly over a matrix."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a mixed scheme is made of."""

    base: Scheme
    higher: Scheme


RECIPES = {
    "q4m": Recipe(SCHEMES["q4"], SCHEMES["q8"]),
    "q3m": Recipe(SCHEMES["q3"], SCHEMES["q4"]),
}
MIXED = {name: Mixture(name, recipe.base, {}) for name, recipe in RECIPES.items()}
"""Mixed schemes by the name users type, before anything is chosen."""


def settle(
    schemes: Schemes,
    specs: Sequence[WeightSpec],
    source: TensorRows | None,
    importance: Mapping[str, Floats] | None = None,
) -> Schemes:
    """`schemes` with its choice made for these weights; whatever is not mixed stays as it is.

    Without a source nothing can be measured: the first matrices are chosen, so that a synthetic
    model is as large as a real one.
    """
    recipe = RECIPES.get(schemes.name)
    if recipe is None:
        return schemes
    matrices = [spec for spec in specs if spec.kind == "matrix" and spec.pinned is None]
    own = {spec.name: FINEST for spec in matrices if spec.name in ENDS}
    others = [spec for spec in matrices if spec.name not in ENDS]
    known = importance or {}
    errors = {
        spec.name: 0.0
        if source is None
        else relative_error(spec, recipe.base, source, known.get(spec.name))
        for spec in others
    }
    for spec in _within(sorted(others, key=lambda spec: -errors[spec.name])):
        own[spec.name] = recipe.higher
    return Mixture(schemes.name, recipe.base, own)


def _within(specs: Sequence[WeightSpec]) -> Iterator[WeightSpec]:
    """Those of `specs`, the first ones first, that together stay within SHARE of them all."""
    left = SHARE * sum(spec.rows * spec.cols for spec in specs)
    for spec in specs:
        if spec.rows * spec.cols <= left:
            left -= spec.rows * spec.cols
            yield spec


def relative_error(
    spec: WeightSpec, scheme: Scheme, source: TensorRows, importance: Floats | None
) -> float:
    """The squared error of rounding over the squares of the matrix, on some of its rows."""
    error = norm = 0.0
    for start, stop in _blocks(spec.rows):
        exact = np.asarray(packed_rows(spec, F32, source, start, stop).main, np.float32)
        packed = packed_rows(spec, scheme, source, start, stop, importance)
        buffers = assemble(scheme, packed.main, packed.scales)
        found = dequantize(scheme, buffers, stop - start, spec.cols)
        weights = 1.0 if importance is None else importance.astype(np.float64)
        error += float((np.square(found - exact, dtype=np.float64) * weights).sum())
        norm += float((np.square(exact, dtype=np.float64) * weights).sum())
    # Nine digits: the rest may differ between processors, and ties go to the first.
    return float(f"{error / norm:.9g}") if norm else 0.0


def _blocks(rows: int) -> Iterator[tuple[int, int]]:
    if rows <= BLOCKS * BLOCK_ROWS:
        yield 0, rows
        return
    for i in range(BLOCKS):
        start = i * (rows - BLOCK_ROWS) // (BLOCKS - 1)
        yield start, start + BLOCK_ROWS
