"""What a device may compute with: tested, measured, remembered, and told to the user."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from runtime.errors import ModelpressError
from runtime.fake_executor import FAKE_DEVICE, FakeExecutor, Flaws
from runtime.fake_hub import fake_hub, fake_plan
from runtime.notes import MemoryNotes

from .conftest import Desk, OpenDesk

ALTERNATIVES = {"decode": ("decode.dot", "decode.wide")}
COSTS = {"decode": 0.003, "decode.dot": 0.001, "decode.wide": 0.002}
CPU = dataclasses.replace(FAKE_DEVICE, kind="cpu")


def hub(*variants: str) -> dict[str, bytes]:
    """A hub whose model has these variants, best first, each with three ways to decode."""
    first, *rest = (
        fake_plan(variant=name, alternatives=ALTERNATIVES) for name in variants or ("base",)
    )
    return fake_hub(plan=first, lesser=tuple(rest))


def device(costs: Mapping[str, float] = COSTS, **flaws: Iterable[str]) -> FakeExecutor:
    """A device with `costs`; `base=["decode"]` computes that entry of that variant wrongly."""
    return FakeExecutor(costs=costs, flaws=Flaws({k: tuple(v) for k, v in flaws.items()}))


async def facts(desk: Desk) -> dict[str, Any]:
    """What `info` says of the model once it is loaded."""
    model: dict[str, Any] = json.loads(await desk.api.load("fake"))["model"]
    return model


async def test_the_fastest_of_several_ways_is_chosen_and_told(open_desk: OpenDesk) -> None:
    model = await facts(open_desk(executor=device(), files=hub()))
    assert model["choices"]["decode"] == {
        "entry": "decode.dot",
        "forced": False,
        "remembered": False,
        "milliseconds": {"decode": 3.0, "decode.dot": 1.0, "decode.wide": 2.0},
    }
    assert model["choices"]["prefill"]["entry"] == "prefill"
    assert model["self_test"]["largest_difference"] == 0.0


async def test_answers_come_from_the_chosen_way_alone(open_desk: OpenDesk) -> None:
    desk = open_desk(executor=device(), files=hub())
    await desk.api.load("fake")
    desk.executor.submits.clear()
    await desk.chat("Hi", max_tokens=5)
    used = {name for entries, _ in desk.executor.submits for name in entries}
    assert used == {"prefill", "decode.dot", "greedy"}


async def test_the_next_visit_neither_tests_nor_measures_nor_compiles_the_rest(
    open_desk: OpenDesk,
) -> None:
    notes = MemoryNotes()
    await facts(open_desk(executor=device(), files=hub(), notes=notes))
    desk = open_desk(executor=device(), files=hub(), notes=notes)
    model = await facts(desk)
    assert desk.executor.submits == []
    assert {"decode", "decode.wide"}.isdisjoint(desk.executor.entries)
    assert model["choices"]["decode"]["entry"] == "decode.dot"
    assert model["choices"]["decode"]["remembered"] and model["self_test"]["remembered"]


@pytest.mark.parametrize("part", ["vendor", "architecture", "description", "driver"])
async def test_another_adapter_or_driver_is_tested_anew(open_desk: OpenDesk, part: str) -> None:
    notes = MemoryNotes()
    await facts(open_desk(executor=device(), files=hub(), notes=notes))
    changed: Any = {part: "something else"}
    other = dataclasses.replace(FAKE_DEVICE, **changed)
    desk = open_desk(executor=FakeExecutor(device=other), files=hub(), notes=notes)
    assert not (await facts(desk))["self_test"]["remembered"]


async def test_another_plan_is_tested_anew(open_desk: OpenDesk) -> None:
    notes = MemoryNotes()
    await facts(open_desk(files=hub("base"), notes=notes))
    model = await facts(open_desk(files=hub("another"), notes=notes))
    assert not model["self_test"]["remembered"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:40],
        lambda text: text.replace('"format":1', '"format":0'),
        lambda text: text.replace("fake device", "a fake device"),
        lambda text: text.replace('"decode":"decode.dot"', '"decode":"decode.gone"'),
        lambda text: text.replace('"differences":{', '"differences":{"x":"y",'),
    ],
)
async def test_a_damaged_record_is_not_believed(open_desk: OpenDesk, damage: Any) -> None:
    notes = MemoryNotes()
    await facts(open_desk(executor=device(), files=hub(), notes=notes))
    [(key, text)] = notes.texts.items()
    assert damage(text) != text
    notes.texts[key] = damage(text)
    model = await facts(open_desk(executor=device(), files=hub(), notes=notes))
    assert not model["self_test"]["remembered"]
    assert notes.texts[key].replace(model["self_test"]["tested"], "") != damage(text)


async def test_an_alternative_that_computes_wrongly_is_not_used(open_desk: OpenDesk) -> None:
    model = await facts(open_desk(executor=device(base=["decode.dot"]), files=hub()))
    assert model["choices"]["decode"]["entry"] == "decode.wide"
    assert "decode.dot" not in model["choices"]["decode"]["milliseconds"]
    assert model["self_test"]["differences"]["decode.dot"] == 1.0


async def test_an_alternative_that_does_not_compile_is_not_used(open_desk: OpenDesk) -> None:
    executor = FakeExecutor(costs=COSTS, flaws=Flaws(not_compiled={"base": ("decode.dot",)}))
    model = await facts(open_desk(executor=executor, files=hub()))
    assert model["choices"]["decode"]["entry"] == "decode.wide"
    assert model["self_test"]["differences"]["decode.dot"] is None


@pytest.mark.parametrize("entry", ["prefill", "decode", "greedy", "sample"])
async def test_a_variant_that_computes_wrongly_gives_way_to_the_next(
    open_desk: OpenDesk, entry: str
) -> None:
    desk = open_desk(executor=device(best=[entry]), files=hub("best", "base"))
    model = await facts(desk)
    assert model["variant"] == "base"
    assert [refusal["variant"] for refusal in model["refused"]] == ["best"]
    assert (await desk.chat("Hi", max_tokens=3))["usage"]["completion_tokens"] == 3


async def test_a_refused_variant_is_not_even_fetched_on_the_next_visit(
    open_desk: OpenDesk,
) -> None:
    notes, files = MemoryNotes(), hub("best", "base")
    await facts(open_desk(executor=device(best=["decode"]), files=files, notes=notes))
    desk = open_desk(executor=device(best=["decode"]), files=files, notes=notes)
    model = await facts(desk)
    assert (desk.executor.prepared, desk.executor.submits) == (1, [])
    assert not any("plan.best" in path for path in desk.storage.reads)
    assert model["refused"] == [{"variant": "best", "difference": 1.0}]


async def test_a_variant_that_does_not_compile_gives_way_to_the_next(open_desk: OpenDesk) -> None:
    executor = FakeExecutor(flaws=Flaws(not_compiled={"best": ("prefill",)}))
    stages: list[str] = []
    desk = open_desk(executor=executor, files=hub("best", "base"))
    await desk.api.load("fake", lambda stage, *rest: stages.append(stage))
    assert json.loads(await desk.api.info())["model"]["variant"] == "base"
    assert "fallback" in stages


@pytest.mark.parametrize("visits", [1, 2])
async def test_a_variant_that_was_asked_for_and_computes_wrongly_is_an_error(
    open_desk: OpenDesk, visits: int
) -> None:
    notes = MemoryNotes()
    for _ in range(visits):
        executor = device(best=["decode"])
        files, options = hub("best", "base"), '{"variant": "best"}'
        desk = open_desk(executor=executor, files=files, options=options, notes=notes)
        with pytest.raises(ModelpressError, match=r"logits off by 100\.0%, 2% allowed") as caught:
            await desk.api.load("fake")
        assert caught.value.code == "unsupported_device"
        assert caught.value.details["variant"] == "best"
        assert json.loads(await desk.api.info())["model"] is None


async def test_when_every_variant_computes_wrongly_the_error_names_them(
    open_desk: OpenDesk,
) -> None:
    executor = device(best=["decode"], base=["prefill"])
    with pytest.raises(ModelpressError, match=r"every variant .*\(best, base\)") as caught:
        await facts(open_desk(executor=executor, files=hub("best", "base")))
    assert caught.value.code == "unsupported_device"


async def test_a_processor_uses_the_plans_own_entries(open_desk: OpenDesk) -> None:
    desk = open_desk(executor=FakeExecutor(device=CPU, costs=COSTS), files=hub())
    model = await facts(desk)
    assert model["choices"]["decode"]["entry"] == "decode"
    assert "decode.dot" not in desk.executor.entries


async def test_an_entry_can_be_forced_and_leaves_no_record(open_desk: OpenDesk) -> None:
    options = '{"choices": {"decode": "decode.wide"}}'
    desk = open_desk(executor=device(), files=hub(), options=options)
    decode = (await facts(desk))["choices"]["decode"]
    assert (decode["entry"], decode["forced"], decode["milliseconds"]) == ("decode.wide", True, {})
    assert {"decode", "decode.dot"}.isdisjoint(desk.executor.entries)
    assert desk.notes.texts == {}


async def test_a_forced_entry_that_is_known_to_be_right_is_not_tested_again(
    open_desk: OpenDesk,
) -> None:
    notes, options = MemoryNotes(), '{"choices": {"decode": "decode.wide"}}'
    await facts(open_desk(executor=device(), files=hub(), notes=notes))
    desk = open_desk(executor=device(), files=hub(), options=options, notes=notes)
    assert (await facts(desk))["choices"]["decode"]["entry"] == "decode.wide"
    assert desk.executor.submits == []


async def test_a_forced_entry_that_computes_wrongly_is_an_error(open_desk: OpenDesk) -> None:
    options = '{"variant": "base", "choices": {"decode": "decode.dot"}}'
    desk = open_desk(executor=device(base=["decode.dot"]), files=hub(), options=options)
    with pytest.raises(ModelpressError) as caught:
        await desk.api.load("fake")
    assert caught.value.code == "unsupported_device"


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"decode": "decode.turbo"}, "there are: decode, decode.dot, decode.wide"),
        ({"prefill": "decode"}, "there are: prefill"),
        ({"greedy": "greedy"}, "there is for: prefill, decode"),
    ],
)
async def test_a_choice_that_the_plan_does_not_have_is_refused(
    open_desk: OpenDesk, choices: dict[str, str], words: str
) -> None:
    desk = open_desk(files=hub(), options=json.dumps({"choices": choices}))
    with pytest.raises(ModelpressError, match=words) as caught:
        await desk.api.load("fake")
    assert (caught.value.code, caught.value.details["param"]) == ("bad_request", "choices")


async def test_retuning_measures_again_and_replaces_the_record(open_desk: OpenDesk) -> None:
    notes = MemoryNotes()
    await facts(open_desk(executor=device(), files=hub(), notes=notes))
    swapped = device(costs=COSTS | {"decode.wide": 0.0001})
    model = await facts(
        open_desk(executor=swapped, files=hub(), options='{"retune": true}', notes=notes)
    )
    assert model["choices"]["decode"]["entry"] == "decode.wide"
    assert not model["choices"]["decode"]["remembered"]
    again = await facts(open_desk(executor=device(), files=hub(), notes=notes))
    assert again["choices"]["decode"]["entry"] == "decode.wide"


async def test_a_refused_variant_gets_another_chance_by_retuning(open_desk: OpenDesk) -> None:
    notes, files = MemoryNotes(), hub("best", "base")
    await facts(open_desk(executor=device(best=["decode"]), files=files, notes=notes))
    desk = open_desk(executor=device(), files=files, options='{"retune": true}', notes=notes)
    assert (await facts(desk))["variant"] == "best"


async def test_after_a_lost_device_nothing_is_tested_again(open_desk: OpenDesk) -> None:
    desk = open_desk(executor=device(), files=hub(), options='{"retune": true}')
    await desk.api.load("fake")
    desk.executor.lose()
    desk.executor.submits.clear()
    await desk.chat("Hi", max_tokens=2)
    used = {name for entries, _ in desk.executor.submits for name in entries}
    assert used == {"prefill", "decode.dot", "greedy"}


async def test_what_was_chosen_stands_in_the_benchmark(open_desk: OpenDesk) -> None:
    desk = open_desk(executor=device(), files=hub())
    result = json.loads(await desk.api.bench('{"id": "fake", "prompt": 4, "new": 3, "runs": 1}'))
    assert result["choices"]["decode"]["entry"] == "decode.dot"
