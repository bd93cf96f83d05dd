"""`rms_norm`, `layer_norm` and `last_row` against numpy."""

from __future__ import annotations

import numpy as np
import pytest

from hub.kernels import reference
from tests.hub.kernels.trial import CALLS, Trial, assert_close, normal


@pytest.mark.parametrize("cols", [32, 96, 2080])
def test_rms_norm_scales_each_row_by_its_own_size(trial: Trial, cols: int) -> None:
    rng = np.random.default_rng(cols)
    weight = normal(rng, cols)
    for dynamic, n in CALLS:
        x = normal(rng, n, cols) * np.float32(10) ** rng.integers(-3, 3, (n, 1)).astype(np.float32)
        attrs = {"cols": cols, "eps": 1e-5}
        (got,) = trial.run("rms_norm", [x, weight, x * 0], n=n, attrs=attrs, dynamic=dynamic)
        assert_close(got, reference.rms_norm(x, weight, eps=1e-5), 1e-5)
        residual, added = normal(rng, n, cols), attrs | {"residual": True}
        arrays = [x, weight, residual, x * 0]
        (got,) = trial.run("rms_norm", arrays, n=n, attrs=added, dynamic=dynamic)
        assert_close(got, reference.rms_norm(x, weight, eps=1e-5, residual=residual), 1e-5)


def test_rms_norm_of_zeros_is_zero(trial: Trial) -> None:
    zeros = np.zeros((1, 64), np.float32)
    (got,) = trial.run(
        "rms_norm", [zeros, zeros[0] + 1, zeros + 5], attrs={"cols": 64, "eps": 1e-6}
    )
    assert not got.any()


@pytest.mark.parametrize("cols", [96, 2080])
def test_layer_norm_centres_and_scales_each_row(trial: Trial, cols: int) -> None:
    """Rows whose mean is far larger than their spread included."""
    rng = np.random.default_rng(cols)
    weight, bias = normal(rng, cols), normal(rng, cols)
    for dynamic, n in CALLS:
        size = np.float32(10) ** rng.integers(-2, 3, (n, 1)).astype(np.float32)
        x = (normal(rng, n, cols) + np.float32(100) * (rng.random((n, 1)) < 0.3)) * size
        x, attrs = x.astype(np.float32), {"cols": cols, "eps": 1e-5}
        (got,) = trial.run(
            "layer_norm", [x, weight, bias, x * 0], n=n, attrs=attrs, dynamic=dynamic
        )
        assert_close(got, reference.layer_norm(x, weight, bias, eps=1e-5), 1e-4)


def test_layer_norm_of_equal_values_is_the_bias(trial: Trial) -> None:
    same = np.full((1, 64), 3, np.float32)
    bias = np.arange(64, dtype=np.float32)
    arrays = [same, same[0], bias, same * 0]
    (got,) = trial.run("layer_norm", arrays, attrs={"cols": 64, "eps": 1e-6})
    assert (got == bias).all()


def test_positions_are_added_from_the_first_on(trial: Trial) -> None:
    rng = np.random.default_rng(1)
    table, attrs = normal(rng, 100, 96), {"rows": 100, "cols": 96}
    for dynamic, n in CALLS:
        for pos in (0, 30):
            x = normal(rng, n, 96)
            arrays = [x, table, x * 0]
            (got,) = trial.run("add_positions", arrays, attrs=attrs, n=n, pos=pos, dynamic=dynamic)
            assert (got == reference.add_positions(x, table, pos=pos)).all()


def test_last_row_is_copied_exactly(trial: Trial) -> None:
    rng = np.random.default_rng(0)
    for dynamic, n in CALLS:
        x = normal(rng, n, 100)
        out = np.zeros((1, 100), np.float32)
        (got,) = trial.run("last_row", [x, out], n=n, attrs={"cols": 100}, dynamic=dynamic)
        assert (got == reference.last_row(x)).all()
