"""Mixed schemes: the ends finer, the matrices that rounding changes most finer, the same ones."""

from __future__ import annotations

import numpy as np
import pytest

from hub.mixing import MIXED, RECIPES, SHARE, settle
from hub.schemes import SCHEMES, Mixture
from hub.weight_specs import WeightSpec
from tests.hub.test_stream import Arrays

ROWS, COLS, LAYERS = 160, 64, 16


def model(hard: int) -> tuple[list[WeightSpec], Arrays]:
    """An embedding and one matrix a layer; that of layer `hard` has a few large elements."""
    rng = np.random.default_rng(0)
    names = ["embedding", *(f"layers.{i}.down" for i in range(LAYERS))]
    arrays = {name: rng.standard_normal((ROWS, COLS), dtype=np.float32) for name in names}
    arrays[f"layers.{hard}.down"][:, ::32] *= 9
    specs = [WeightSpec(name, "matrix", (name,), ROWS, COLS) for name in names]
    return specs, Arrays(arrays)


@pytest.mark.parametrize("name", RECIPES)
def test_the_matrix_that_loses_most_has_more_bits(name: str) -> None:
    specs, source = model(hard=5)
    found = settle(MIXED[name], specs, source)
    assert found.of("embedding") == SCHEMES["q8"]
    assert found.of("layers.5.down") == RECIPES[name].higher
    finer = [s.name for s in specs[1:] if found.of(s.name) != RECIPES[name].base]
    assert len(finer) == LAYERS * SHARE
    assert found == settle(MIXED[name], specs, source)


def test_what_columns_are_multiplied_by_counts() -> None:
    """A layer whose inputs lie in one column of a group can round for that column alone."""
    specs, source = model(hard=5)
    known = dict.fromkeys([f"layers.{i}.down" for i in range(LAYERS)], np.ones(COLS, np.float32))
    plain = settle(MIXED["q3m"], specs, source, known)
    assert plain.of("layers.5.down") == SCHEMES["q4"]
    loud = known | {"layers.9.down": np.array(([1e3] + [1e-3] * 31) * 2, np.float32)}
    assert settle(MIXED["q3m"], specs, source, loud).of("layers.9.down") == SCHEMES["q3"]


def test_a_synthetic_model_is_as_large_as_a_real_one() -> None:
    specs, source = model(hard=5)
    real, made_up = settle(MIXED["q4m"], specs, source), settle(MIXED["q4m"], specs, None)
    assert isinstance(real, Mixture) and isinstance(made_up, Mixture)
    assert len(real.own) == len(made_up.own)
    assert list(made_up.own) == ["embedding", "layers.0.down", "layers.1.down"]


def test_other_schemes_stay_as_they_are() -> None:
    specs, source = model(hard=5)
    assert settle(SCHEMES["q4"], specs, source) is SCHEMES["q4"]
