"""The one retry policy of publishing: a few attempts, growing waits with jitter."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

ATTEMPTS = 5
FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 10.0


def retrying(
    call: Callable[[], T],
    is_transient: Callable[[Exception], bool],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """The result of `call`, tried again while errors are transient; the last one is raised."""
    for attempt in range(1, ATTEMPTS):
        try:
            return call()
        except Exception as error:
            if not is_transient(error):
                raise
            sleep(wait_s(attempt))
    return call()


def wait_s(attempt: int) -> float:
    """Seconds to wait after failed attempt `attempt` (from 1): doubling, halved at random."""
    longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0**attempt)
    return longest * random.uniform(0.5, 1.0)
