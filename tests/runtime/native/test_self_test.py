"""The self-test on real devices: right kernels pass, wrong ones are found out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime.api import Api
from runtime.candidates import find_candidates
from runtime.host import Host
from runtime.native.executor import WgpuExecutor
from runtime.native.notes import FolderNotes
from runtime.native.storage import FolderStorage
from runtime.native.tokenizer import open_tokenizer
from runtime.progress import ignore_progress
from runtime.self_test import find_differences

from .toy_model import PAGE_SIZE, WAYS, toy_plan, write_toy_hub

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("length", [2, 5, PAGE_SIZE + 2])
async def test_each_way_to_decode_is_told_right_from_wrong(
    executor: WgpuExecutor, length: int
) -> None:
    plan = toy_plan(ways=tuple(WAYS))
    failed = await executor.prepare(
        plan,
        plan.dumps(),
        pages=4,
        on_progress=ignore_progress,
        spare=("decode.same", "decode.bad"),
    )
    assert failed == {"decode.bad"}
    candidates = find_candidates(toy_plan(ways=("decode.same", "decode.wrong")), "gpu", {})
    found = await find_differences(executor, plan, candidates, pages=4, length=length)
    right = {"prefill", "decode", "decode.same", "greedy", "sample"}
    assert {entry: found[entry] for entry in right} == dict.fromkeys(right, 0.0)
    assert found["decode.wrong"] == 1.0


@pytest.mark.parametrize("pages", [1, 2])
async def test_logits_that_are_all_zero_are_no_logits(executor: WgpuExecutor, pages: int) -> None:
    plan = toy_plan(ways=("decode.empty",))
    await executor.prepare(plan, plan.dumps(), pages=pages, on_progress=ignore_progress)
    candidates = find_candidates(plan, "gpu", {})
    found = await find_differences(executor, plan, candidates, pages=pages, length=10)
    assert found["decode.empty"] is None
    assert found["decode"] == 0.0


async def test_a_second_process_remembers_and_a_lost_folder_is_no_error(
    executor: WgpuExecutor, tmp_path: Path
) -> None:
    hub = write_toy_hub(tmp_path / "hub", ways=("decode.same",))
    remembered = []
    for root in (tmp_path / "notes", tmp_path / "notes", hub / "registry.json"):
        host = Host(executor, FolderStorage(hub), open_tokenizer, FolderNotes(root))
        model = json.loads(await Api(host).load("toy"))["model"]
        remembered.append(model["self_test"]["remembered"])
    assert remembered == [False, True, False]
