"""Synthetic weights against numpy, and grids past one dimension's limit."""

from __future__ import annotations

import numpy as np
import pytest

from hub.kernels import PROFILES, LibraryKernel, Op, kernel_for, reference
from tests.hub.kernels.trial import Trial, assert_close

WORDS = 6400


@pytest.mark.parametrize("kind", ["bits", "scales", "ones"])
def test_words_are_the_reference_bit_for_bit(trial: Trial, kind: str) -> None:
    want = reference.fill(WORDS, kind=kind, seed=77)
    attrs: dict[str, int | float | str] = {"kind": kind, "count": WORDS}
    (got,) = trial.run("fill", [np.zeros_like(want)], attrs=attrs, seed=77)
    assert (got == want).all()


@pytest.mark.parametrize("kind", ["halves", "uniform"])
def test_small_numbers_are_the_reference_up_to_rounding(trial: Trial, kind: str) -> None:
    want = reference.fill(WORDS, kind=kind, seed=78)
    attrs: dict[str, int | float | str] = {"kind": kind, "count": WORDS}
    (got,) = trial.run("fill", [np.zeros_like(want)], attrs=attrs, seed=78)
    if kind == "halves":
        got, want = got.view(np.float16), want.view(np.float16)
    assert_close(got, want, 1e-3)
    assert np.abs(got.astype(np.float64)).max() < 0.0501 and abs(got.mean()) < 0.002


def test_rope_table_holds_cosines_then_sines(trial: Trial) -> None:
    rope = {"half": 32, "theta": 500000.0}
    want = reference.fill(64 * 2000, kind="rope", seed=0, half=32, theta=500000.0)
    attrs: dict[str, int | float | str] = {"kind": "rope", "count": want.size, **rope}
    (got,) = trial.run("fill", [np.zeros_like(want)], attrs=attrs)
    assert_close(got, want, 1e-3)


def test_a_fill_of_more_workgroups_than_one_dimension_takes_reaches_its_end(trial: Trial) -> None:
    count = 64 * 70_000 + 3
    attrs: dict[str, int | float | str] = {"kind": "ones", "count": count}
    (got,) = trial.run("fill", [np.zeros(count + 1, np.float32)], attrs=attrs)
    assert got[:count].all() and got[count] == 0


def test_the_largest_buffer_fits_the_grid() -> None:
    kernel = kernel_for(Op("fill", {"kind": "bits", "count": 2**28}), PROFILES["base"])
    assert isinstance(kernel, LibraryKernel)
    x, y, z = (side.evaluate({}) for side in kernel.grid)
    assert x * y * z * 64 >= 2**28 and max(x, y, z) <= 65535
