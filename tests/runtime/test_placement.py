"""On which of two devices a model runs, and by which variant."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import pytest

from runtime.api import Api
from runtime.errors import ModelpressError
from runtime.executor import DeviceInfo
from runtime.fake import FakeStorage, fake_tokenizer
from runtime.fake_executor import FAKE_DEVICE, FakeExecutor, Flaws
from runtime.fake_hub import fake_hub, fake_plan
from runtime.fit import choose_context
from runtime.host import Host
from runtime.notes import MemoryNotes
from runtime.plan import Plan
from runtime.processor import (
    CONTEXT,
    MEMORY,
    RELAXED_SIMD,
    SIMD,
    WEBASSEMBLY,
    describe_processor,
)
from tests.runtime.conftest import request

SOFTWARE = replace(FAKE_DEVICE, kind="cpu", description="a pretender")
PROCESSOR = describe_processor(relaxed=True, description="a processor", driver="fake")


def for_processors(variant: str, *features: str) -> Plan:
    return replace(fake_plan(variant=variant), features=(WEBASSEMBLY, SIMD, *features))


BASE = fake_plan()
CPU = for_processors("cpu")
RELAXED = for_processors("cpu-relaxed", RELAXED_SIMD)


class NoExecutor(FakeExecutor):
    """A device that is not there, or not of use."""

    def __init__(self, code: str = "no_webgpu") -> None:
        super().__init__()
        self._code = code

    async def device(self) -> DeviceInfo:
        raise ModelpressError(self._code, "nothing of use here")


@dataclass(frozen=True, slots=True)
class Pair:
    """An `Api` over a graphics device and a processor."""

    api: Api
    graphics: FakeExecutor
    processor: FakeExecutor | None

    async def load(self) -> tuple[str, str | None]:
        """The variant that is loaded, and why it runs on the processor if it does."""
        return _placed(await self.api.load("fake"))

    async def placed(self) -> tuple[str, str | None]:
        return _placed(await self.api.info())

    async def ask(self) -> str:
        answer = json.loads(await self.api.chat(request(max_tokens=3)))
        return str(answer["choices"][0]["finish_reason"])


def _placed(text: str) -> tuple[str, str | None]:
    model = json.loads(text)["model"]
    return model["variant"], model["processor"] and model["processor"]["reason"]


def pair(
    graphics: FakeExecutor | None = None,
    processor: FakeExecutor | None = None,
    *,
    plans: tuple[Plan, ...] = (BASE, RELAXED, CPU),
    options: str = "{}",
    notes: MemoryNotes | None = None,
) -> Pair:
    graphics = graphics or FakeExecutor()
    processor = processor or FakeExecutor(device=PROCESSOR)
    storage = FakeStorage(fake_hub(plan=plans[0], lesser=plans[1:]))
    host = Host(graphics, storage, fake_tokenizer, notes or MemoryNotes(), processor=processor)
    return Pair(Api(host, options), graphics, processor)


async def test_a_graphics_card_comes_first() -> None:
    both = pair()
    assert await both.load() == ("base", None)
    assert both.processor is not None and both.processor.prepared == 0


async def test_without_webgpu_the_processor_answers_and_says_why() -> None:
    both = pair(NoExecutor())
    assert json.loads(await both.api.info())["device"]["description"] == "a processor"
    assert await both.load() == ("cpu-relaxed", "no_webgpu")
    assert await both.ask() == "length"


async def test_a_processor_without_relaxed_simd_takes_the_plainer_variant() -> None:
    plain = describe_processor(relaxed=False, description="older", driver="fake")
    both = pair(NoExecutor(), FakeExecutor(device=plain))
    assert await both.load() == ("cpu", "no_webgpu")


async def test_a_software_adapter_gives_way_to_what_was_made_for_processors() -> None:
    assert await pair(FakeExecutor(device=SOFTWARE)).load() == ("cpu-relaxed", "software")
    alone = pair(FakeExecutor(device=SOFTWARE), plans=(BASE, fake_plan(variant="software")))
    assert await alone.load() == ("software", None)


async def test_a_graphics_device_that_computes_wrongly_gives_way_and_is_remembered() -> None:
    notes = MemoryNotes()
    wrong = Flaws(computed_wrongly={"base": ("decode",)})
    assert await pair(FakeExecutor(flaws=wrong), notes=notes).load() == ("cpu-relaxed", "self_test")
    again = pair(FakeExecutor(flaws=wrong), notes=notes)
    assert await again.load() == ("cpu-relaxed", "self_test")
    assert again.graphics.prepared == 0


async def test_a_graphics_device_that_lacks_what_plans_need_gives_way() -> None:
    demanding = replace(BASE, features=("shader-f16",))
    assert await pair(plans=(demanding, CPU)).load() == ("cpu", "unfit")


async def test_relaxed_simd_that_computes_wrongly_gives_way_to_plain() -> None:
    wrong = Flaws(computed_wrongly={"cpu-relaxed": ("decode",)})
    both = pair(NoExecutor(), FakeExecutor(device=PROCESSOR, flaws=wrong))
    assert await both.load() == ("cpu", "no_webgpu")
    info = json.loads(await both.api.info())["model"]
    assert [refusal["variant"] for refusal in info["refused"]] == ["cpu-relaxed"]


async def test_products_that_all_ways_compute_wrongly_alike_differ_from_what_rounds_nothing() -> (
    None
):
    """Simulated: relaxed SIMD that is wrong is so in prefill and decode alike."""
    exact = {"decode_f32": RELAXED.entries["decode"]}
    plans = tuple(replace(p, entries={**p.entries, **exact}) for p in (RELAXED, CPU))
    wrong = Flaws(computed_wrongly={"cpu-relaxed": ("prefill", "decode")})
    both = pair(NoExecutor(), FakeExecutor(device=PROCESSOR, flaws=wrong), plans=(BASE, *plans))
    assert await both.load() == ("cpu", "no_webgpu")
    blind = pair(NoExecutor(), FakeExecutor(device=PROCESSOR, flaws=wrong))
    assert await blind.load() == ("cpu-relaxed", "no_webgpu")


async def test_a_variant_asked_for_by_name_is_that_one_or_an_error() -> None:
    asked = pair(options='{"variant": "cpu"}')
    assert await asked.load() == ("cpu", "asked")
    assert asked.graphics.prepared == 0
    plain = describe_processor(relaxed=False, description="older", driver="fake")
    refused = pair(processor=FakeExecutor(device=plain), options='{"variant": "cpu-relaxed"}')
    with pytest.raises(ModelpressError, match=RELAXED_SIMD):
        await refused.load()
    with pytest.raises(ModelpressError) as error:
        await pair(NoExecutor(), options='{"variant": "base"}').load()
    assert error.value.code == "no_webgpu"


async def test_without_webgpu_a_model_that_has_no_variant_for_processors_says_so() -> None:
    with pytest.raises(ModelpressError, match="was not built for the processor") as error:
        await pair(NoExecutor(), plans=(BASE,)).load()
    assert error.value.code == "no_webgpu"


async def test_a_processor_that_is_too_old_leaves_a_graphics_card_alone() -> None:
    old = NoExecutor("unsupported_device")
    assert await pair(processor=old).load() == ("base", None)
    with pytest.raises(ModelpressError) as error:
        await pair(NoExecutor(), old).load()
    assert error.value.code == "no_webgpu"


async def test_a_host_of_nothing_but_a_processor_runs_the_plans_for_it() -> None:
    storage = FakeStorage(fake_hub(plan=BASE, lesser=(RELAXED, CPU)))
    api = Api(Host(FakeExecutor(device=PROCESSOR), storage, fake_tokenizer))
    assert _placed(await api.load("fake")) == ("cpu-relaxed", "only")
    named = Api(Host(FakeExecutor(device=PROCESSOR), storage, fake_tokenizer), '{"variant":"base"}')
    with pytest.raises(ModelpressError, match="lacks WebGPU"):
        await named.load("fake")


async def test_a_device_lost_twice_in_one_answer_is_left_alone() -> None:
    both = pair()
    await both.load()
    whole = await _answer(both, losses=0)
    assert await _answer(both, losses=2) == whole
    assert await both.placed() == ("cpu-relaxed", "device_lost")
    assert both.graphics.released > 0


async def test_a_device_lost_now_and_then_is_prepared_again() -> None:
    both = pair()
    await both.load()
    for _ in range(3):
        await _answer(both, losses=1)
    assert await both.placed() == ("base", None)


async def test_a_device_lost_again_and_again_under_a_variant_asked_for_is_not_left() -> None:
    both = pair(options='{"variant": "base"}')
    await both.load()
    whole = await _answer(both, losses=0)
    assert await _answer(both, losses=3) == whole
    assert await both.placed() == ("base", None)


async def _answer(both: Pair, *, losses: int) -> str:
    """The text of an answer during which the device is lost that often."""
    text = ""
    async for chunk in both.api.chat_stream(request(stream=True, max_tokens=40)):
        text += json.loads(chunk)["choices"][0]["delta"].get("content", "")
        if len(text) // 4 >= 1 and losses:
            both.graphics.lose()
            losses -= 1
    assert not losses
    return text


def test_a_context_on_the_processor_is_what_its_memory_holds_and_it_reads_in_time() -> None:
    long = replace(CPU, context=1 << 16)
    assert choose_context(long, PROCESSOR, None) == CONTEXT
    assert choose_context(long, PROCESSOR, 1 << 16) == 1 << 16
    small = replace(PROCESSOR, limits={**PROCESSOR.limits, MEMORY: 70 * 64 * 8})
    assert choose_context(long, small, None) < 70 * 8
    with pytest.raises(ModelpressError, match="smaller context"):
        choose_context(long, small, 1 << 16)
