"""Device time: what a step takes when the device never waits, and what each kernel takes."""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .session import Session

DECODE_REPEATS = 8
PREFILL_REPEATS = 3


@dataclass(frozen=True, slots=True)
class KernelTime:
    """One kernel in one run of some entries: how often, and microseconds each on average."""

    kernel: str
    dispatches: float
    microseconds_each: float

    @property
    def microseconds(self) -> float:
        """Of all its dispatches together."""
        return self.dispatches * self.microseconds_each


async def time_steps(session: Session, count: int) -> float:
    """Seconds of a greedy decode step at the end of what is cached, `count` queued at once."""
    positions = await session.spare_positions(count)
    await session.executor.synchronize()
    started = time.perf_counter()
    for position in positions:
        session.executor.submit((session.decode_entry, "greedy"), {"pos": position})
    await session.executor.synchronize()
    return (time.perf_counter() - started) / count


async def profile(session: Session) -> dict[str, Any]:
    """Time by kernel of a decode step and of a full chunk of a prompt, as JSON.

    At the end of what is cached. Passes cost time themselves, so the sum is more than a step takes.
    """
    decode = await _times(
        session, (session.decode_entry, "greedy"), await session.spare_positions(1), DECODE_REPEATS
    )
    positions = sorted(set(await session.spare_positions(session.plan.prefill_chunk)))
    ids = array("i", [(7 + 7919 * i) % session.plan.vocab_size for i in positions])
    session.executor.write("tokens", ids.tobytes())
    prefill = await _times(session, (session.prefill_entry,), positions, PREFILL_REPEATS)
    return {"decode": _table(decode, 1), "prefill": _table(prefill, len(positions))}


async def _times(
    session: Session, entries: Sequence[str], positions: Sequence[int], repeats: int
) -> list[KernelTime]:
    """Kernel times of `entries` at `positions`, averaged over `repeats` runs, the longest first."""
    symbols = {"n": len(positions), "pos": positions[0]}
    passes: list[tuple[str, float]] = []
    for _ in range(repeats):
        passes += await session.executor.profile(entries, symbols)
    return by_kernel(passes, repeats)


def by_kernel(passes: Sequence[tuple[str, float]], repeats: int) -> list[KernelTime]:
    """Dispatches of `repeats` equal runs, (kernel, microseconds), summed up by kernel."""
    found: dict[str, list[float]] = {}
    for kernel, microseconds in passes:
        found.setdefault(kernel, []).append(microseconds)
    times = [KernelTime(k, len(v) / repeats, sum(v) / len(v)) for k, v in found.items()]
    return sorted(times, key=lambda item: -item.microseconds)


def _table(times: Sequence[KernelTime], tokens: int) -> dict[str, Any]:
    total = sum(item.microseconds for item in times)
    return {
        "tokens": tokens,
        "microseconds": round(total, 2),
        "kernels": [
            {
                "kernel": item.kernel,
                "dispatches": item.dispatches,
                "microseconds_each": round(item.microseconds_each, 3),
                "microseconds": round(item.microseconds, 2),
                "share": round(item.microseconds / total, 4) if total else 0.0,
            }
            for item in times
        ],
    }
