"""How much to submit ahead, so that a device is neither idle nor unresponsive.

That is tokens of a prompt at once, and steps of an answer in flight; and whether several answers
get on faster in steps of their own or in steps together.

A plan's chunks are sized for fast GPUs. On a slow one such a chunk would hold the screen, the stop
button and the system's watchdog for seconds, so a session begins with a small chunk and lets what
it measures decide. Likewise a step's result takes milliseconds to travel, in which a fast GPU
computes several more.
"""

from __future__ import annotations

import math
from collections import deque

SMALLEST = 64
"""Kernels work on tiles of as many tokens: fewer take as long."""
SUBMIT_S = 0.4
"""Seconds that one submit should take at most."""


class Pace:
    """The speed of prompts as last measured on one device with one plan."""

    def __init__(self, most: int) -> None:
        """`most` tokens is what the plan takes at once."""
        self._most = most
        self._tokens_per_s: float | None = None
        self._free = 0.0

    @property
    def known(self) -> bool:
        """Whether chunks are as large as they will be; small plans have nothing to learn."""
        return self._tokens_per_s is not None or self._most <= SMALLEST

    @property
    def chunk(self) -> int:
        """Tokens to submit next."""
        if self._most <= SMALLEST:
            return self._most
        if self._tokens_per_s is None:
            return SMALLEST
        tiles = int(min(self._tokens_per_s * SUBMIT_S, self._most)) // SMALLEST
        return self._most if tiles * SMALLEST + SMALLEST > self._most else max(1, tiles) * SMALLEST

    def record(self, tokens: int, began: float, done: float) -> None:
        """A chunk of `tokens`, submitted at `began`, was done at `done`, in seconds of one clock.

        Chunks run one after the other: the device began with it when the one before was done.
        """
        seconds = done - max(began, self._free)
        self._free = done
        self._tokens_per_s = max(tokens, SMALLEST) / max(seconds, 1e-6)


MAX_DEPTH = 8
"""What an executor takes."""
TRAVEL_S = 0.012
"""How long before the host knows it a step should have been queued: measured on Chromium, where
results of 1 ms steps came 4 to 8 ms late, and doubled."""
WINDOW = 8


class Depth:
    """How many steps to keep in flight: `fixed`, or as many as hide the way of their results."""

    def __init__(self, fixed: int | None) -> None:
        assert fixed is None or 1 <= fixed <= MAX_DEPTH
        self._fixed = fixed
        self._times: deque[float] = deque(maxlen=WINDOW + 1)
        self.value = FIRST_DEPTH if fixed is None else fixed

    def begin(self) -> None:
        """A new answer: what lies between it and the last says nothing."""
        self._times.clear()

    def record(self, now: float) -> None:
        """A result arrived at `now`, in seconds."""
        self._times.append(now)
        if self._fixed is None and len(self._times) == WINDOW + 1:
            # Results come in bunches: only the mean over several says how long a step takes.
            step_s = (self._times[-1] - self._times[0]) / WINDOW
            self.value = min(MAX_DEPTH, max(2, math.ceil(TRAVEL_S / max(step_s, 1e-6))))


FIRST_DEPTH = 3


TRIAL_TOKENS, TRUSTED_TOKENS = 16, 512
"""How long each way is measured, and how long the better one is taken then."""


class Company:
    """Whether as many sequences as these get on faster together than by turns, as last measured.

    A step of several costs a GPU little more than a step of one; a processor it may cost more than
    all of theirs.
    """

    def __init__(self) -> None:
        self.pays = True
        """How to decode now."""
        self._rates: dict[bool, float] = {}
        self._begun: tuple[int, float] | None = None

    def record(self, tokens: int, now: float) -> None:
        """`tokens` were drawn so far, at `now` in seconds, all in the way that `pays` says."""
        if self._begun is None:
            self._begun = tokens, now
            return
        drawn, seconds = tokens - self._begun[0], now - self._begun[1]
        settled = len(self._rates) == 2
        if drawn < (TRUSTED_TOKENS if settled else TRIAL_TOKENS):
            return
        self._begun = None
        if settled:
            # Conditions change; the way that was taken is measured first.
            self._rates = {}
        self._rates[self.pays] = drawn / max(seconds, 1e-6)
        if len(self._rates) == 1:
            self.pays = not self.pays
        else:
            self.pays = self._rates[True] >= self._rates[False]

    def interrupt(self) -> None:
        """What comes next does not follow what was recorded."""
        self._begun = None
