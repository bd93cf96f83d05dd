"""How logits are compared."""

from __future__ import annotations

import math

import pytest

from runtime.self_test import BOUND, is_right, relative_difference


def test_the_largest_difference_is_relative_to_the_largest_logit() -> None:
    assert relative_difference([1.0, -3.5, 0.0], [1.5, -4.0, 0.25]) == 0.125


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_not_finite_is_no_result(bad: float, place: int) -> None:
    spoiled = [1.0, 2.0, 3.0]
    spoiled[place] = bad
    assert relative_difference(spoiled, [1.0, 2.0, 3.0]) is None
    assert relative_difference([1.0, 2.0, 3.0], spoiled) is None


def test_zeros_are_no_result_however_well_they_agree() -> None:
    assert relative_difference([0.0, 0.0], [0.0, 0.0]) is None
    assert relative_difference([0.0, 0.0], [0.0, 1e-3]) is None


def test_an_entry_is_right_up_to_the_bound() -> None:
    assert is_right(0.0) and is_right(BOUND)
    assert not is_right(BOUND * 1.001)
    assert not is_right(None)
