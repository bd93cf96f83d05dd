"""Tuning: which of several right ways to compute an entry is fastest on this device.

A short benchmark at the first load of a plan: steps run as they do in an answer, the entries take
turns (so that a device that warms up or slows down treats them alike), and medians count.
"""

from __future__ import annotations

import statistics
from array import array
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from .candidates import Candidates
from .executor import Executor
from .pace import MAX_DEPTH, Pace
from .plan import Plan
from .progress import OnProgress, Progress

Clock = Callable[[], float]
BUDGET_S = 1.2
"""Measuring time in all; warming up and the last round come on top."""
LAP_S = 0.05
"""Long against the milliseconds that waiting for the device takes."""
MAX_QUEUED = 64
MAX_ROUNDS = 15
POSITION = 512
"""Where in the context a decode step is measured."""
MARGIN = 0.02
"""How much faster an alternative must be to replace the plan's own entry."""


async def time_entries(
    executor: Executor,
    plan: Plan,
    candidates: Candidates,
    *,
    pages: int,
    clock: Clock,
    on_progress: OnProgress,
) -> dict[str, float]:
    """Median milliseconds of every entry that has a rival. Progress: stage "tune", unit "rounds".

    Leaves cache and page table in a state of no further use.
    """
    position = min(POSITION, min(pages * plan.page_size, plan.context) - 1)
    chunk = await _fill_cache(executor, plan, candidates["prefill"][0], position, clock)
    conditions = {
        "prefill": ((), {"n": min(chunk, position), "pos": 0}),
        "decode": (("greedy",), {"pos": position}),
    }
    races = [
        _Race(executor, clock, entries, *conditions[name])
        for name, entries in candidates.items()
        if len(entries) > 1
    ]
    found: dict[str, float] = {}
    for index, race in enumerate(races):
        found |= await race.run(BUDGET_S / len(races))
        on_progress(Progress("tune", index + 1, len(races), "entries"))
    return found


def fastest(entries: Sequence[str], milliseconds: Mapping[str, float]) -> str:
    """The entry to use: the first, unless another is clearly faster."""
    first, *others = entries
    if not others:
        return first
    best = min(entries, key=lambda entry: milliseconds[entry])
    return best if milliseconds[best] < milliseconds[first] * (1 - MARGIN) else first


async def _fill_cache(
    executor: Executor, plan: Plan, prefill: str, length: int, clock: Clock
) -> int:
    """Any tokens at the positions before `length`; the size of chunks that this device keeps up.

    A whole chunk at once can take a slow GPU longer than the system's watchdog allows.
    """
    executor.write("page_table", array("i", range(length // plan.page_size + 1)).tobytes())
    tokens = array("i", [(5 + 7919 * i) % plan.vocab_size for i in range(plan.prefill_chunk)])
    executor.write("tokens", tokens.tobytes())
    pace = Pace(plan.prefill_chunk)
    start = 0
    while start < length:
        count = min(pace.chunk, length - start)
        began = clock()
        executor.submit((prefill,), {"n": count, "pos": start})
        await executor.synchronize()
        pace.record(count, began, clock())
        start += count
    return pace.chunk


@dataclass(frozen=True, slots=True)
class _Race:
    """Entries that compute the same, under the same conditions."""

    executor: Executor
    clock: Clock
    entries: tuple[str, ...]
    after: tuple[str, ...]
    symbols: Mapping[str, int]

    async def run(self, budget_s: float) -> dict[str, float]:
        """Median milliseconds by entry."""
        await self._lap_s(self.entries[0], 1)
        step_s = [await self._lap_s(entry, 1) for entry in self.entries]
        queued = [max(1, min(MAX_QUEUED, round(LAP_S / max(s, 1e-6)))) for s in step_s]
        round_s = sum(s * count for s, count in zip(step_s, queued, strict=True))
        rounds = max(1, min(MAX_ROUNDS, int(budget_s / max(round_s, 1e-6))))
        laps: dict[str, list[float]] = {entry: [] for entry in self.entries}
        for _ in range(rounds):
            for entry, count in zip(self.entries, queued, strict=True):
                laps[entry].append(1000 * await self._lap_s(entry, count))
        return {entry: round(statistics.median(times), 4) for entry, times in laps.items()}

    async def _lap_s(self, entry: str, count: int) -> float:
        """Seconds a step, `count` of them run as an answer runs them: queued, results awaited.

        Steps submitted without a pause would measure the host: a browser hands them to the device
        when the caller lets go.
        """
        started = self.clock()
        flying: deque[Awaitable[int]] = deque()
        for _ in range(count):
            if len(flying) == MAX_DEPTH:
                await flying.popleft()
            flying.append(self.executor.step((entry, *self.after), self.symbols, "token"))
        while flying:
            await flying.popleft()
        return (self.clock() - started) / count
