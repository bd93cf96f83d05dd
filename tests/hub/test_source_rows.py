"""Rows of tensors that lie otherwise in the checkpoint than in the plan, and the way back."""

from __future__ import annotations

import numpy as np
import pytest

from hub import source_rows
from hub.errors import CheckpointError
from hub.rounding import Floats
from hub.schemes import SCHEMES
from hub.source_rows import check_sources, read_rows
from hub.stream import dequantized, press
from hub.weight_specs import WeightSpec
from tests.hub.test_stream import Arrays, random_rows

HEADS, SIZE = 3, 4


class Counted(Arrays):
    """Arrays that remember the largest number of elements asked for at once."""

    largest = 0

    def rows(self, name: str, start: int, stop: int) -> Floats:
        found = super().rows(name, start, stop)
        self.largest = max(self.largest, found.size)
        return found


def every_range(spec: WeightSpec, source: Arrays, whole: Floats) -> None:
    for start in range(spec.rows):
        for stop in range(start + 1, spec.rows + 1):
            assert np.array_equal(read_rows(spec, source, start, stop), whole[start:stop])


def test_transposed_sources_are_read_by_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_rows, "BLOCK_ELEMENTS", 20)
    stored = {"a": random_rows(32, 3), "b": random_rows(32, 5, seed=1)}
    spec = WeightSpec("both", "matrix", ("a", "b"), 8, 32, transposed=True)
    source = Counted(stored)
    every_range(spec, source, np.concatenate([stored["a"].T, stored["b"].T]))
    assert source.largest <= 20


def interleaved() -> tuple[Floats, Floats]:
    """(a tensor [heads, 3, D], its rows as [3, heads, D])."""
    stored = random_rows(3 * HEADS * SIZE, 32)
    apart = stored.reshape(HEADS, 3, SIZE, 32).transpose(1, 0, 2, 3).reshape(stored.shape)
    return stored, apart


def test_interleaved_rows_are_taken_apart() -> None:
    stored, apart = interleaved()
    spec = WeightSpec("qkv", "matrix", ("m",), len(stored), 32, interleaved=HEADS)
    every_range(spec, Arrays({"m": stored}), apart)
    bias = WeightSpec("qkv.bias", "vector", ("m.bias",), len(stored), interleaved=HEADS)
    every_range(bias, Arrays({"m.bias": stored[:, 0]}), apart[:, 0])


def test_both_find_their_way_back_to_the_checkpoint() -> None:
    stored, _ = interleaved()
    arrays = {"m": stored, "bias": stored[:, 1].copy(), "t": random_rows(64, 40, seed=2)}
    specs = [
        WeightSpec("qkv", "matrix", ("m",), len(stored), 32, interleaved=HEADS),
        WeightSpec("qkv.bias", "vector", ("bias",), len(stored), interleaved=HEADS),
        WeightSpec("t", "matrix", ("t",), 40, 64, transposed=True),
    ]
    source = Arrays(arrays)
    check_sources(specs, source)
    buffers = {b.name: b.data for b in press(specs, SCHEMES["f32"], source)}
    back = dict(dequantized(specs, SCHEMES["f32"], buffers, source))
    assert back.keys() == arrays.keys()
    assert all(np.array_equal(back[name], arrays[name]) for name in arrays)


def test_a_transposed_source_of_another_shape_is_refused() -> None:
    spec = WeightSpec("m", "matrix", ("m",), 8, 64, transposed=True)
    source = Arrays({"m": np.zeros((8, 64), dtype=np.float32)})
    with pytest.raises(CheckpointError, match=r"m has shape .* asks for \[64, 8\]"):
        check_sources([spec], source)
