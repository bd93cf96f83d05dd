"""What storing weights by a scheme loses, and what meets each matrix: both measured on texts.

The loss is that of the weights alone: every other number is float32, the same for both sides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.manifest import Loss

from .quantize import assemble, dequantize
from .rounding import Floats
from .schemes import SCHEMES, Schemes
from .source_rows import TensorRows
from .stream import packed_rows
from .texts import Text
from .weight_specs import WeightSpec

PIECE = 128
"""Tokens at a time: the logits of more would fill the memory for a large vocabulary."""
KEPT_NBYTES = 256 * 1024 * 1024
EMBEDDING = "embedding"
DAMPING = 0.01
"""Of the mean importance, added to every column: no text meets them all."""


class Reader(Protocol):
    """A model that reads one text at a time."""

    def restart(self) -> None: ...

    def logits(self, tokens: Sequence[int], pos: int = 0) -> Floats: ...


class StoredRows:
    """Weights of a checkpoint as they are under `schemes`; small models stay in memory."""

    def __init__(
        self,
        source: TensorRows,
        schemes: Schemes = SCHEMES["f32"],
        importance: Mapping[str, Floats] | None = None,
    ) -> None:
        self._source, self._schemes, self._importance = source, schemes, importance or {}
        self._kept: dict[tuple[str, int, int], Floats] = {}
        self._nbytes = 0

    def rows(self, spec: WeightSpec, start: int, stop: int) -> Floats:
        """Rows [start, stop) of a weight in float32."""
        key = (spec.name, start, stop)
        if key not in self._kept:
            rows = self._read(spec, start, stop)
            if self._nbytes + rows.nbytes > KEPT_NBYTES:
                return rows
            self._kept[key] = rows
            self._nbytes += rows.nbytes
        return self._kept[key]

    def _read(self, spec: WeightSpec, start: int, stop: int) -> Floats:
        scheme = spec.scheme(self._schemes)
        known = self._importance.get(spec.name)
        packed = packed_rows(spec, scheme, self._source, start, stop, known)
        if spec.kind != "matrix":
            return np.asarray(packed.main, np.float32)
        buffers = assemble(scheme, packed.main, packed.scales)
        return dequantize(scheme, buffers, stop - start, spec.cols)


class Moments:
    """Mean squares of the columns that each matrix is multiplied by; pass it to a walk.

    Every token counts alike: the first one of a text is often a thousand times as large as others
    inside a model, and matters no more.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Floats] = {}

    def __call__(self, name: str, x: Floats) -> None:
        squares = np.square(x, dtype=np.float64)
        squares /= np.maximum(squares.mean(axis=1, keepdims=True), 1e-30)
        self._sums[name] = self._sums.get(name, 0.0) + squares.sum(axis=0)

    def importance(self) -> dict[str, Floats]:
        """f32[cols], 1 on average, by matrix; not of a table whose rows are also looked up, where
        every column counts."""
        return {name: _damped(s) for name, s in self._sums.items() if name != EMBEDDING}


def _damped(total: Floats) -> Floats:
    mean = float(total.mean())
    relative = total / mean if mean else np.ones_like(total)
    # Halves, so that the last bits of another processor's sums do not change what is rounded.
    halves = np.minimum((relative + DAMPING) / (1 + DAMPING), 60000).astype(np.float16)
    return np.asarray(halves, np.float32)


def read_all(model: Reader, texts: Sequence[Text]) -> None:
    """Let `model` read every text."""
    for text in texts:
        model.restart()
        for start in range(0, len(text), PIECE):
            model.logits(text[start : start + PIECE], start)


def measure(exact: Reader, stored: Reader, texts: Sequence[Text], name: str) -> Loss:
    """How far the next-token distributions of `stored` are from those of `exact`, over every
    position of every text."""
    divergence, agreeing, count = 0.0, 0, 0
    for text in texts:
        exact.restart()
        stored.restart()
        for start in range(0, len(text), PIECE):
            piece = text[start : start + PIECE]
            wanted, found = exact.logits(piece, start), stored.logits(piece, start)
            divergence += kl_divergence(wanted, found)
            agreeing += int((wanted.argmax(axis=1) == found.argmax(axis=1)).sum())
            count += len(piece)
    mean = float(f"{max(divergence, 0.0) / count:.4g}")
    return Loss(mean, round(agreeing / count, 4), count, name)


def kl_divergence(wanted: Floats, found: Floats) -> float:
    """The sum over rows of KL(softmax(wanted) || softmax(found)), in nats."""
    total = 0.0
    for p, q in zip(_log_softmax(wanted), _log_softmax(found), strict=True):
        total += float((np.exp(p) * (p - q)).sum())
    return total


def _log_softmax(logits: Floats) -> NDArray[np.float64]:
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    return np.asarray(wide - np.log(np.exp(wide).sum(axis=1, keepdims=True)))
