"""Conversations that outgrow the context, under each policy."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runtime.errors import ModelpressError
from runtime.fake import hashed_token
from runtime.fake_hub import fake_hub, fake_plan
from runtime.overflow import slid

from .conftest import Desk, OpenDesk

CONTEXT = 256


def conversation(turns: int) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": "Be brief."}]
    for turn in range(turns):
        messages.append({"role": "user", "content": f"Question {turn}?"})
        messages.append({"role": "assistant", "content": f"Answer {turn}."})
    return [*messages, {"role": "user", "content": "And now?"}]


@pytest.fixture
def desk(open_desk: OpenDesk) -> Desk:
    return open_desk(files=fake_hub(plan=fake_plan(context=CONTEXT)))


async def test_without_a_policy_a_conversation_that_is_too_long_is_refused(desk: Desk) -> None:
    for fields in ({}, {"context_overflow": "error"}, {"context_overflow": None}):
        with pytest.raises(ModelpressError) as caught:
            await desk.chat(conversation(12), **fields)
        assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize("value", ["oldest", 1, ["slide"]])
async def test_a_policy_that_there_is_not_is_refused_by_name(desk: Desk, value: Any) -> None:
    with pytest.raises(ModelpressError) as caught:
        await desk.chat("Hi", context_overflow=value)
    assert caught.value.details["param"] == "context_overflow"


async def test_truncating_leaves_out_as_few_of_the_oldest_turns_as_it_takes(desk: Desk) -> None:
    answer = await desk.chat(conversation(12), context_overflow="truncate", max_tokens=10)
    messages = conversation(12)
    shorter = [messages[0], *messages[2 * 7 + 1 :]]
    assert (await desk.chat(shorter, max_tokens=10))["choices"] == answer["choices"]
    one_more = [messages[0], *messages[2 * 6 + 1 :]]
    with pytest.raises(ModelpressError, match="context holds"):
        await desk.chat(one_more, max_tokens=10)


async def test_truncating_changes_nothing_that_fits(desk: Desk) -> None:
    asked = conversation(2)
    answer = await desk.chat(asked, context_overflow="truncate", max_tokens=10)
    assert answer["choices"] == (await desk.chat(asked, max_tokens=10))["choices"]


async def test_truncating_cannot_help_where_the_last_turn_is_too_long(desk: Desk) -> None:
    with pytest.raises(ModelpressError) as caught:
        await desk.chat("x" * 300, context_overflow="truncate")
    assert caught.value.code == "context_length_exceeded"


async def test_sliding_lets_an_answer_pass_the_end_of_the_context(desk: Desk) -> None:
    answer = await desk.chat("Hi", context_overflow="slide", max_tokens=600, seed=1)
    assert answer["usage"]["completion_tokens"] == 600
    prompt = [*b"[user]Hi<a>"]
    tokens, text = list(prompt), []
    for _ in range(600):
        if len(tokens) == CONTEXT:
            tokens = list(slid(tokens, CONTEXT))
        tokens.append(hashed_token(tuple(tokens)))
        text.append(tokens[-1])
    assert answer["choices"][0]["message"]["content"] == bytes(text).decode()


async def test_sliding_cuts_a_prompt_that_is_too_long(desk: Desk) -> None:
    answer = await desk.chat("x" * 700, context_overflow="slide", max_tokens=20)
    assert answer["usage"]["prompt_tokens"] == CONTEXT // 2
    assert answer["usage"]["completion_tokens"] == 20


async def test_the_field_is_known_to_streams_too(desk: Desk) -> None:
    chunks = await desk.stream("x" * 700, context_overflow="slide", max_tokens=5)
    assert json.dumps(chunks).count('"finish_reason": "length"') == 1
