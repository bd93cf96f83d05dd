"""How many tokens of a prompt to submit at once, so that a device is neither idle nor unresponsive.

A plan's chunks are sized for fast GPUs. On a slow one such a chunk would hold the screen, the stop
button and the system's watchdog for seconds, so a session begins with a small chunk and lets what
it measures decide.
"""

from __future__ import annotations

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
