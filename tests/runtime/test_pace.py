"""Prompts go out in chunks of as many tokens as a device computes in a moment."""

from __future__ import annotations

import pytest

from runtime.pace import (
    MAX_DEPTH,
    SMALLEST,
    SUBMIT_S,
    TRAVEL_S,
    TRUSTED_TOKENS,
    WINDOW,
    Company,
    Depth,
    Pace,
)


def test_an_unknown_device_gets_a_small_chunk_first() -> None:
    pace = Pace(512)
    assert (pace.chunk, pace.known) == (SMALLEST, False)


@pytest.mark.parametrize("most", [1, 16, SMALLEST])
def test_a_small_plan_has_nothing_to_learn(most: int) -> None:
    pace = Pace(most)
    assert (pace.chunk, pace.known) == (most, True)
    pace.record(most, 0.0, 60.0)
    assert pace.chunk == most


def test_a_fast_device_gets_all_a_plan_takes() -> None:
    for most in (100, 256, 512, 1000):
        pace = Pace(most)
        pace.record(SMALLEST, 5.0, 5.01)
        assert (pace.chunk, pace.known) == (most, True)


def test_a_slow_device_gets_what_it_computes_in_time() -> None:
    pace = Pace(512)
    pace.record(SMALLEST, 0.0, SUBMIT_S / 3)
    assert pace.chunk == 3 * SMALLEST
    pace.record(3 * SMALLEST, 10.0, 10.0 + SUBMIT_S * 4)
    assert pace.chunk == SMALLEST


def test_a_few_tokens_count_as_a_whole_tile() -> None:
    pace = Pace(512)
    pace.record(1, 0.0, SUBMIT_S / 2)
    assert pace.chunk == 2 * SMALLEST


def test_a_clock_that_stands_still_is_no_error() -> None:
    pace = Pace(512)
    pace.record(SMALLEST, 7.0, 7.0)
    assert pace.chunk == 512


def test_a_chunk_that_waited_for_another_is_not_counted_as_slow() -> None:
    pace = Pace(512)
    pace.record(SMALLEST, 0.0, 10.0)
    pace.record(SMALLEST, 1.0, 10.0 + SUBMIT_S / 4)
    assert pace.chunk == 4 * SMALLEST


@pytest.mark.parametrize(
    ("step_s", "depth"),
    [(TRAVEL_S / 40, MAX_DEPTH), (TRAVEL_S / 4.5, 5), (1.0, 2), (0.0, MAX_DEPTH)],
)
def test_a_queue_is_as_deep_as_results_are_late(step_s: float, depth: int) -> None:
    queue = Depth(None)
    for index in range(WINDOW + 1):
        # Results come in pairs: two at once, then none.
        queue.record(index // 2 * 2 * step_s)
    assert queue.value == depth


def test_a_pause_between_answers_is_not_a_slow_step() -> None:
    queue = Depth(None)
    for index in range(20):
        queue.record(index * 1e-4)
    queue.begin()
    queue.record(1000.0)
    assert queue.value == MAX_DEPTH


def test_a_fixed_depth_stays() -> None:
    queue = Depth(1)
    for index in range(20):
        queue.record(index * 1e-4)
    assert queue.value == 1


def test_company_is_kept_where_it_draws_more_and_tried_again_later() -> None:
    company, tokens, now = Company(), 0, 0.0
    together_s, alone_s, ways = 0.6, 1.0, []
    for _ in range(5 * TRUSTED_TOKENS):
        tokens += 1
        now += together_s if company.pays else alone_s
        company.record(tokens, now)
        ways.append(company.pays)
        if tokens == 2 * TRUSTED_TOKENS:
            together_s = 2.0  # the device got slower at it
    assert ways[:TRUSTED_TOKENS].count(True) > 0.9 * TRUSTED_TOKENS
    assert not any(ways[-TRUSTED_TOKENS // 4 :])
