"""What each kernel takes, summed up for a person to read."""

from __future__ import annotations

import dataclasses
import json

import pytest

from runtime.device_time import by_kernel
from runtime.errors import ModelpressError
from runtime.executor import TIMESTAMPS
from runtime.fake_executor import FAKE_DEVICE, FakeExecutor

from .conftest import OpenDesk

TIMED = dataclasses.replace(FAKE_DEVICE, features=frozenset({TIMESTAMPS}))
REQUEST = json.dumps({"id": "fake", "prompt": 4, "new": 3, "runs": 1, "profile": True})


def test_dispatches_are_averaged_over_runs_and_the_longest_kernel_comes_first() -> None:
    passes = [("norm", 2.0), ("matmul", 10.0), ("norm", 4.0)] * 2
    passes[1] = ("matmul", 30.0)
    matmul, norm = by_kernel(passes, 2)
    assert (matmul.kernel, matmul.dispatches, matmul.microseconds_each) == ("matmul", 1, 20)
    assert (norm.kernel, norm.dispatches, norm.microseconds_each) == ("norm", 2, 3)
    assert (matmul.microseconds, norm.microseconds) == (20, 6)


async def test_a_benchmark_with_a_profile_has_a_table_for_each_phase(open_desk: OpenDesk) -> None:
    costs = {"prefill": 0.004, "decode": 0.003, "greedy": 0.001}
    desk = open_desk(executor=FakeExecutor(device=TIMED, costs=costs))
    profile = json.loads(await desk.api.bench(REQUEST))["profile"]
    assert profile["decode"]["microseconds"] == 4000
    shares = {row["kernel"]: row["share"] for row in profile["decode"]["kernels"]}
    assert shares == {"decode": 0.75, "greedy": 0.25}
    assert (profile["prefill"]["tokens"], profile["prefill"]["microseconds"]) == (16, 4000)


async def test_a_profile_leaves_the_conversation_as_it_was(open_desk: OpenDesk) -> None:
    desk = open_desk(executor=FakeExecutor(device=TIMED))
    alone = await open_desk().chat("Hello", max_tokens=5)
    await desk.chat("Hello", max_tokens=2)
    await desk.api.bench(REQUEST)
    assert (await desk.chat("Hello", max_tokens=5))["choices"] == alone["choices"]


async def test_a_device_without_timestamps_is_told_so_before_anything_is_measured(
    open_desk: OpenDesk,
) -> None:
    desk = open_desk()
    await desk.api.load("fake")
    desk.executor.submits.clear()
    with pytest.raises(ModelpressError, match=TIMESTAMPS) as caught:
        await desk.api.bench(REQUEST)
    assert caught.value.code == "unsupported_device"
    assert desk.executor.submits == []
