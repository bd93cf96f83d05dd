"""One retry policy: a few tries, growing waits, only for what may pass."""

from __future__ import annotations

import pytest

from publish.retry import ATTEMPTS, LONGEST_WAIT_S, retrying, wait_s


class Flaky:
    """Fails a number of times, then answers."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise OSError("later")
        return "done"


def transient(error: Exception) -> bool:
    return isinstance(error, OSError)


def test_a_passing_error_is_tried_again() -> None:
    waits: list[float] = []
    assert retrying(Flaky(2), transient, sleep=waits.append) == "done"
    assert len(waits) == 2


def test_a_lasting_error_ends_after_the_last_attempt() -> None:
    call = Flaky(100)
    with pytest.raises(OSError, match="later"):
        retrying(call, transient, sleep=lambda _: None)
    assert call.calls == ATTEMPTS


def test_an_error_that_will_not_pass_is_not_tried_again() -> None:
    call = Flaky(1)
    with pytest.raises(OSError, match="later"):
        retrying(call, lambda _: False, sleep=lambda _: None)
    assert call.calls == 1


def test_waits_grow_up_to_the_longest() -> None:
    assert all(0 < wait_s(attempt) <= LONGEST_WAIT_S for attempt in range(1, 50))
    assert max(wait_s(1) for _ in range(50)) < min(wait_s(4) for _ in range(50))
