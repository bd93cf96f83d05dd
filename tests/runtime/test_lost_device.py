"""A device that is lost, before, during and between answers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from runtime.errors import ModelpressError
from runtime.fake import reply
from runtime.fake_executor import FakeExecutor

from .conftest import OpenDesk, request
from .test_api import text_of


async def test_an_answer_goes_on_when_its_device_is_lost(open_desk: OpenDesk) -> None:
    whole = (await open_desk().chat(max_tokens=30))["choices"][0]["message"]["content"]
    desk = open_desk()
    seen: list[dict[str, Any]] = []
    asked = request(stream=True, max_tokens=30, stream_options={"include_usage": True})
    async for text in desk.api.chat_stream(asked):
        seen.append(json.loads(text))
        if len(seen) in (4, 20):
            desk.executor.lose()
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in seen[:-1]) == whole
    assert seen[-1]["usage"]["completion_tokens"] == 30
    assert desk.executor.prepared == 3


async def test_answers_in_the_making_all_go_on_when_their_device_is_lost(
    open_desk: OpenDesk,
) -> None:
    asks = ("One", "Another one", "And a third")
    whole = [await open_desk().chat(ask, max_tokens=30) for ask in asks]
    desk = open_desk()
    answers = [asyncio.ensure_future(desk.chat(ask, max_tokens=30)) for ask in asks]
    while sum("decode" in entries for entries, _ in desk.executor.submits) < 12:
        await asyncio.sleep(0)
    desk.executor.lose()
    found = await asyncio.gather(*answers)
    assert [a["choices"] for a in found] == [a["choices"] for a in whole]
    assert desk.executor.prepared == 2


async def test_an_answer_nobody_read_meanwhile_goes_on_too(open_desk: OpenDesk) -> None:
    """Its session must not touch the device that was made ready for another."""
    whole = (await open_desk().chat("One", max_tokens=30))["choices"][0]["message"]["content"]
    desk = open_desk()
    lazy = desk.api.chat_stream(request("One", stream=True, max_tokens=30))
    seen = [json.loads(await anext(lazy)) for _ in range(3)]
    desk.executor.lose()
    await desk.chat("Another one", max_tokens=30)
    seen += [json.loads(text) async for text in lazy]
    assert text_of(seen) == whole
    assert desk.executor.prepared == 2


class Doomed(FakeExecutor):
    """Lost as soon as anything was prepared a second time."""

    async def prepare(self, *args: Any, **options: Any) -> frozenset[str]:
        found = await super().prepare(*args, **options)
        if self.prepared > 1:
            self.lose()
        return found


async def test_a_device_that_is_lost_without_end_is_an_error(open_desk: OpenDesk) -> None:
    desk = open_desk(executor=Doomed())
    answer = desk.api.chat_stream(request(stream=True))
    await anext(answer)
    desk.executor.lose()
    with pytest.raises(ModelpressError) as caught:
        async for _ in answer:
            pass
    assert caught.value.code == "device_lost"
    assert desk.executor.prepared == 2


async def test_a_device_lost_between_questions_is_not_even_noticed(open_desk: OpenDesk) -> None:
    desk = open_desk(reply("x" * 100))
    stream = desk.api.chat_stream(request(stream=True))
    for _ in range(4):
        await anext(stream)
    await stream.aclose()
    desk.executor.lose()
    assert (await desk.chat(max_tokens=2))["choices"][0]["message"]["content"] == "xx"


async def test_a_device_lost_while_nothing_ran_is_not_noticed_either(open_desk: OpenDesk) -> None:
    """Bug: with nothing left queued, the loss was found, and reported, by the next question."""
    desk = open_desk(reply("xx"))
    await desk.chat()
    desk.executor.lose()
    assert (await desk.chat(max_tokens=2))["choices"][0]["message"]["content"] == "xx"
    assert desk.executor.prepared == 2
