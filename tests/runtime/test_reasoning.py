"""Thinking models: reasoning apart from the answer, and switched off."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runtime.errors import ModelpressError
from runtime.fake import NextToken, reply
from runtime.fake_hub import TEMPLATE, fake_hub
from runtime.reasoning import MARKS, ReasoningSplitter, think_marks

from .conftest import Desk, OpenDesk

THINK = MARKS[0]
SAID = "<think>\nIs it?\n\nYes.\n</think>\n\nYes <think>."
NOTE = "{# <think> and </think> #}"
SWITCHED = f"{NOTE}{{% if enable_thinking is false %}}[off]{{% endif %}}{TEMPLATE}"
OPENED = f"{TEMPLATE}<think>"


def split(text: str, size: int, *, is_open: bool = False) -> dict[str, str]:
    splitter = ReasoningSplitter(THINK, is_open=is_open)
    found = {"reasoning": "", "content": ""}
    parts = [text[i : i + size] for i in range(0, len(text), size)]
    for given in [*map(splitter.push, parts), splitter.finish()]:
        for kind, piece in given:
            assert piece
            found[kind] += piece
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
def test_however_text_arrives_it_is_parted_alike(size: int) -> None:
    assert split(SAID, size) == {"reasoning": "Is it?\n\nYes.", "content": "Yes <think>."}
    assert split("a </think b </think>\nc", size, is_open=True) == {
        "reasoning": "a </think b",
        "content": "c",
    }
    assert split("<thin ice", size) == {"reasoning": "", "content": "<thin ice"}
    assert split("<think>never ends", size) == {"reasoning": "never ends", "content": ""}
    assert split(" \n", size) == {"reasoning": "", "content": " \n"}


def test_marks_are_those_of_the_template() -> None:
    assert think_marks("...{{ '</think>' }}") == THINK
    assert think_marks("[THINK]") == MARKS[1]
    assert think_marks(TEMPLATE) is None


def test_thinking_is_closed_where_a_prompt_has_opened_it() -> None:
    assert THINK.closed("<a>") == "<a><think>\n\n</think>\n\n"
    assert THINK.closed("<a><think>\n") == "<a><think>\n\n</think>\n\n"
    assert THINK.closed("<a><think>\n\n</think>\n\n") == "<a><think>\n\n</think>\n\n"


def speaker(text: str, *, after: bytes = b"<a>") -> NextToken:
    """A model that says `text` behind what its prompts end with, then stops."""
    answer = [*text.encode(), 257]

    def next_token(sequence: tuple[int, ...]) -> int:
        *_, said = bytes(token % 256 for token in sequence).rpartition(after)
        token: int = answer[min(len(said), len(answer) - 1)]
        return token

    return next_token


def thinker(open_desk: OpenDesk, template: str = SWITCHED) -> Desk:
    return open_desk(speaker(SAID), files=fake_hub(template=template))


async def test_reasoning_is_a_field_of_its_own(open_desk: OpenDesk) -> None:
    desk = thinker(open_desk)
    answer = await desk.chat()
    message = answer["choices"][0]["message"]
    assert message["reasoning_content"] == "Is it?\n\nYes."
    assert message["content"] == "Yes <think>."
    thought = answer["usage"]["completion_tokens_details"]["reasoning_tokens"]
    assert thought == len(SAID) - len("\n\nYes <think>.")
    chunks = await desk.stream()
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert "".join(d.get("reasoning_content", "") for d in deltas) == "Is it?\n\nYes."
    assert "".join(d.get("content", "") for d in deltas) == "Yes <think>."


async def test_a_prompt_that_opens_the_reasoning_needs_no_mark_of_the_model(
    open_desk: OpenDesk,
) -> None:
    model = speaker("Hm.</think>Yes", after=b"<a><think>")
    answer = await open_desk(model, files=fake_hub(template=OPENED)).chat()
    message = answer["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("Hm.", "Yes")


async def test_probabilities_and_stops_are_the_contents(open_desk: OpenDesk) -> None:
    answer = await thinker(open_desk).chat(logprobs=True, stop=["\n\nYes", "k>"])
    choice = answer["choices"][0]
    assert choice["message"]["content"] == "Yes <thin"
    assert choice["message"]["reasoning_content"] == "Is it?\n\nYes."
    tokens = [token["token"] for token in choice["logprobs"]["content"]]
    assert "".join(tokens).strip() == "Yes <thin"


async def prompt_tokens(desk: Desk, **fields: Any) -> int:
    answer = await desk.chat("Hi", max_tokens=1, **fields)
    count: int = answer["usage"]["prompt_tokens"]
    return count


async def test_effort_none_turns_thinking_off_by_the_templates_own_switch(
    open_desk: OpenDesk,
) -> None:
    desk = thinker(open_desk)
    usual, off = await prompt_tokens(desk), await prompt_tokens(desk, reasoning_effort="none")
    by_name = await prompt_tokens(desk, chat_template_kwargs={"enable_thinking": False})
    assert off == by_name == usual + len("[off]") + len("<think>\n\n</think>\n\n")
    assert await prompt_tokens(desk, reasoning_effort="medium") == usual


async def test_effort_none_closes_what_the_template_opens(open_desk: OpenDesk) -> None:
    desk = thinker(open_desk, OPENED)
    usual, off = await prompt_tokens(desk), await prompt_tokens(desk, reasoning_effort="none")
    assert off - usual == len("\n\n</think>\n\n")


@pytest.mark.parametrize(
    ("template", "fields", "param"),
    [
        (SWITCHED, {"reasoning_effort": "high"}, "reasoning_effort"),
        (
            SWITCHED,
            {"reasoning_effort": "none", "chat_template_kwargs": {"enable_thinking": True}},
            "reasoning_effort",
        ),
        (SWITCHED, {"chat_template_kwargs": {"depth": 1}}, "chat_template_kwargs.depth"),
        (
            TEMPLATE,
            {"chat_template_kwargs": {"enable_thinking": True}},
            "chat_template_kwargs.enable_thinking",
        ),
    ],
)
async def test_what_the_template_cannot_do_is_refused(
    open_desk: OpenDesk, template: str, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(ModelpressError) as caught:
        await thinker(open_desk, template).chat(**fields)
    assert caught.value.details["param"] == param


async def test_a_model_that_does_not_think_may_be_told_not_to(open_desk: OpenDesk) -> None:
    desk = open_desk(reply("ok"))
    answer = await desk.chat(reasoning_effort="none")
    assert answer["choices"][0]["message"]["content"] == "ok"


async def test_names_are_refused_where_no_template_reads_them(open_desk: OpenDesk) -> None:
    messages = [{"role": "user", "content": "Hi", "name": "Bo"}]
    with pytest.raises(ModelpressError) as caught:
        await open_desk(reply("ok")).chat(messages)
    assert caught.value.details["param"] == "messages[0].name"
    named = TEMPLATE.replace("]{{ message.content }}", "]{{ message.name }}: {{ message.content }}")
    desk = open_desk(reply("ok"), files=fake_hub(template=named))
    answer = await desk.chat(messages)
    assert answer["usage"]["prompt_tokens"] == len("[user]Bo: Hi<a>")


async def test_earlier_reasoning_reaches_the_template(open_desk: OpenDesk) -> None:
    template = TEMPLATE.replace("{{ message.content }}", "{{ message.reasoning_content }}>")
    desk = open_desk(reply("ok"), files=fake_hub(template=template))
    messages = [
        {"role": "assistant", "content": "x", "reasoning_content": "because"},
        {"role": "user", "content": "Hi"},
    ]
    answer = json.loads(json.dumps(await desk.chat(messages, max_tokens=1)))
    assert answer["usage"]["prompt_tokens"] == len("[assistant]because>[user]><a>") + 1
