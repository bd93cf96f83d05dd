"""What counts as busy and what as waiting."""

from __future__ import annotations

import asyncio
import time

import pytest

from runtime.busy import BusyTime


async def test_running_counts_and_waiting_does_not() -> None:
    async def work() -> str:
        for _ in range(3):
            end = time.perf_counter() + 0.01
            while time.perf_counter() < end:
                pass
            await asyncio.sleep(0.03)
        return "done"

    busy = BusyTime()
    started = time.perf_counter()
    assert await busy.of(work()) == "done"
    waited = time.perf_counter() - started - busy.seconds
    assert busy.seconds >= 0.03
    assert waited >= 0.08


async def test_errors_pass_in_both_directions() -> None:
    seen = []

    async def work() -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise ValueError("as I leave") from None

    task = asyncio.ensure_future(BusyTime().of(work()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(ValueError, match="as I leave"):
        await task
    assert seen == ["cancelled"]
