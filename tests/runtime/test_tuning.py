"""The race among entries, on a device whose clock counts its work."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from runtime.fake_executor import FakeExecutor
from runtime.fake_hub import fake_plan
from runtime.plan import Plan
from runtime.progress import Progress, ignore_progress
from runtime.tuning import BUDGET_S, fastest, time_entries

PLAN = fake_plan(alternatives={"decode": ("decode.a",), "prefill": ("prefill.a",)})
BOTH = {"prefill": ("prefill", "prefill.a"), "decode": ("decode", "decode.a")}
DECODE = {"prefill": ("prefill",), "decode": ("decode", "decode.a")}


async def race(
    costs: Mapping[str, float],
    candidates: Mapping[str, tuple[str, ...]] = BOTH,
    *,
    plan: Plan = PLAN,
) -> tuple[dict[str, float], FakeExecutor]:
    executor = FakeExecutor(costs=costs)
    pages = plan.context // plan.page_size
    await executor.prepare(plan, plan.dumps(), pages=pages, on_progress=ignore_progress)
    found = await time_entries(
        executor,
        plan,
        candidates,
        pages=pages,
        clock=executor.clock,
        on_progress=ignore_progress,
    )
    return found, executor


async def test_every_rival_gets_its_own_time() -> None:
    costs = {"prefill": 0.01, "prefill.a": 0.02, "decode": 0.002, "decode.a": 0.001}
    found, _ = await race(costs)
    assert found == {entry: pytest.approx(1000 * s) for entry, s in costs.items()}


async def test_an_entry_without_a_rival_is_not_timed() -> None:
    found, _ = await race({"decode": 0.001, "decode.a": 0.001}, DECODE)
    assert set(found) == {"decode", "decode.a"}


@pytest.mark.parametrize("step_s", [1e-5, 1e-3, 0.05, 0.2])
async def test_the_race_keeps_to_its_budget(step_s: float) -> None:
    _, executor = await race({"decode": step_s, "decode.a": step_s}, DECODE)
    one_round = 2 * max(step_s, 0.02) * 1.5
    assert executor.clock() <= BUDGET_S + 3 * step_s + one_round


async def test_even_a_slow_device_runs_one_round_and_no_more() -> None:
    _, executor = await race({"decode": 5.0, "decode.a": 4.0}, DECODE)
    # Warming up, a first look at both, and the round.
    assert executor.clock() == pytest.approx(5 + 9 + 9)


@pytest.mark.parametrize(("chunk_s", "largest"), [(0.001, 256), (0.5, 64), (5.0, 64)])
async def test_no_chunk_is_larger_than_the_device_keeps_up_with(
    chunk_s: float, largest: int
) -> None:
    """Bug: a slow GPU was given whole chunks of the plan, each longer than a watchdog waits."""
    plan = fake_plan(alternatives={"prefill": ("prefill.a",)}, context=1024, prefill_chunk=256)
    rivals = {"prefill": ("prefill", "prefill.a"), "decode": ("decode",)}
    _, executor = await race({"prefill": chunk_s, "prefill.a": chunk_s}, rivals, plan=plan)
    sizes = [symbols["n"] for entries, symbols in executor.submits if "n" in symbols]
    assert sizes[0] == 64
    assert max(sizes) == largest


async def test_rivals_take_turns() -> None:
    _, executor = await race({"decode": 0.1, "decode.a": 0.1}, DECODE)
    order = [entries[0] for entries, _ in executor.submits if "greedy" in entries]
    assert order[3:9] == ["decode", "decode.a"] * 3


async def test_progress_is_told_by_entry() -> None:
    executor, seen = FakeExecutor(), list[Progress]()
    pages = PLAN.context // PLAN.page_size
    await executor.prepare(PLAN, PLAN.dumps(), pages=pages, on_progress=ignore_progress)
    await time_entries(
        executor, PLAN, BOTH, pages=pages, clock=executor.clock, on_progress=seen.append
    )
    assert seen == [Progress("tune", i, 2, "entries") for i in (1, 2)]


def test_a_rival_must_be_clearly_faster() -> None:
    assert fastest(("decode",), {}) == "decode"
    assert fastest(("decode", "a", "b"), {"decode": 1.0, "a": 0.99, "b": 1.2}) == "decode"
    assert fastest(("decode", "a", "b"), {"decode": 1.0, "a": 0.97, "b": 0.9}) == "b"
