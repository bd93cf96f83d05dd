"""Tools on a fake device, for every format that templates have."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from runtime.errors import ModelpressError
from runtime.fake import NextToken
from runtime.fake_hub import fake_hub, fake_plan
from runtime.tool_calls import CallDelta, CallSplitter
from runtime.tool_formats import HERMES, LLAMA, MISTRAL, MISTRAL_ARGS, PHI, ToolFormat, tool_format

from .conftest import Desk, OpenDesk

PARAMETERS = {
    "type": "object",
    "properties": {"city": {"enum": ["Oslo", "Rome"]}, "days": {"type": "integer", "maximum": 9}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}
CLOCK = {"type": "function", "function": {"name": "clock", "description": "The time."}}
BODY = (
    "{% if tools %}[tools]{{ tools | tojson }}{% endif %}"
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}"
    "{% for c in m.tool_calls or [] %}CALL {{ c.function.name }} "
    "{{ c.function.arguments | tojson }}{% endfor %}{% endfor %}<a>"
)
SHOWN = {
    "hermes": "{# <tool_call> #}",
    "mistral": "{# [TOOL_CALLS][ #}",
    "args": "{# [TOOL_CALLS] [ARGS] #}",
    "phi": "{# <|tool_call|> <|/tool_call|> #}",
    "llama": '{# {"name": "x", "parameters": {}} #}',
}
WRITTEN = {
    "hermes": '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>',
    "mistral": '[TOOL_CALLS][{"name": "weather", "arguments": {"city": "Rome"}}]',
    "args": '[TOOL_CALLS]weather[ARGS]{"city": "Rome"}',
    "phi": '<|tool_call|>[{"name": "weather", "arguments": {"city": "Rome"}}]<|/tool_call|>',
    "llama": '{"name": "weather", "parameters": {"city": "Rome"}}',
}
FORMATS = {
    "hermes": HERMES, "mistral": MISTRAL, "args": MISTRAL_ARGS, "phi": PHI, "llama": LLAMA
}  # fmt: skip


def desk_of(open_desk: OpenDesk, name: str, answer: str | None = None) -> Desk:
    files = fake_hub(template=SHOWN[name] + BODY, plan=fake_plan(context=1024))
    return open_desk(says(answer) if answer else None, files=files)


def says(text: str) -> NextToken:
    """A model that answers every prompt with `text`, then stops."""
    answer = [*text.encode(), 257]

    def next_token(sequence: tuple[int, ...]) -> int:
        written = bytes(min(token, 255) for token in sequence).rpartition(b"<a>")[2]
        token: int = answer[min(len(written), len(answer) - 1)]
        return token

    return next_token


def made(answer: dict[str, Any]) -> list[tuple[str, Any]]:
    """Names and decoded arguments."""
    calls = answer["choices"][0]["message"]["tool_calls"]
    assert all(len(call["id"]) == 9 and call["type"] == "function" for call in calls)
    return [(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in calls]


@pytest.mark.parametrize("name", SHOWN)
def test_a_template_shows_its_format(name: str) -> None:
    assert tool_format(SHOWN[name] + BODY) == FORMATS[name]


@pytest.mark.parametrize("name", SHOWN)
async def test_the_model_may_call(open_desk: OpenDesk, name: str) -> None:
    desk = desk_of(open_desk, name, WRITTEN[name])
    answer = await desk.chat(tools=[WEATHER, CLOCK], temperature=0)
    assert made(answer) == [("weather", {"city": "Rome"})]
    choice = answer["choices"][0]
    assert choice["finish_reason"] == "tool_calls" and choice["message"]["content"] is None


@pytest.mark.parametrize("name", SHOWN)
async def test_or_answer_in_text(open_desk: OpenDesk, name: str) -> None:
    answer = await desk_of(open_desk, name, "It is {warm}.").chat(tools=[WEATHER], temperature=0)
    message = answer["choices"][0]["message"]
    assert message["content"] == "It is {warm}." and "tool_calls" not in message
    assert answer["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("name", SHOWN)
async def test_a_random_writer_that_must_call_calls_rightly(open_desk: OpenDesk, name: str) -> None:
    desk = desk_of(open_desk, name)
    fields = {"tool_choice": {"type": "function", "function": {"name": "weather"}}}
    answer = await desk.chat(
        tools=[CLOCK, WEATHER], temperature=2, seed=1, parallel_tool_calls=False, **fields
    )
    ((called, arguments),) = made(answer)
    assert called == "weather"
    jsonschema.validate(arguments, PARAMETERS)


async def test_calls_are_streamed_as_they_come(open_desk: OpenDesk) -> None:
    text = "Let me see.\n" + WRITTEN["hermes"] + "\n" + WRITTEN["hermes"].replace("Rome", "Oslo")
    desk = desk_of(open_desk, "hermes", text)
    chunks = await desk.stream(tools=[WEATHER], temperature=0)
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert "".join(delta.get("content", "") for delta in deltas) == "Let me see."
    parts = [part for delta in deltas for part in delta.get("tool_calls", [])]
    heads = [part for part in parts if "id" in part]
    assert [(head["index"], head["function"]["name"]) for head in heads] == [
        (0, "weather"),
        (1, "weather"),
    ]
    assert len(parts) > 10, "arguments come in pieces"
    arguments = ["", ""]
    for part in parts:
        arguments[part["index"]] += part["function"]["arguments"]
    assert list(map(json.loads, arguments)) == [{"city": "Rome"}, {"city": "Oslo"}]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_one_call_is_the_most_where_several_are_not_wanted(open_desk: OpenDesk) -> None:
    desk = desk_of(open_desk, "hermes", WRITTEN["hermes"] + "\n" + WRITTEN["hermes"])
    answer = await desk.chat(tools=[WEATHER], temperature=0, parallel_tool_calls=False)
    assert len(made(answer)) == 1


async def test_a_whole_round_trip(open_desk: OpenDesk) -> None:
    desk = desk_of(open_desk, "hermes", WRITTEN["hermes"])
    first = await desk.chat("Weather?", tools=[WEATHER], temperature=0)
    message = first["choices"][0]["message"]
    result = {
        "role": "tool",
        "tool_call_id": message["tool_calls"][0]["id"],
        "content": "sunny",
    }
    messages = [{"role": "user", "content": "Weather?"}, message, result]
    desk = desk_of(open_desk, "hermes", "It is sunny.")
    second = await desk.chat(messages, tools=[WEATHER], temperature=0)
    assert second["choices"][0]["message"]["content"] == "It is sunny."
    rendered = '[user]Weather?[assistant]CALL weather {"city": "Rome"}[tool]sunny<a>'
    tools = f"[tools]{json.dumps([WEATHER])}"
    assert second["usage"]["prompt_tokens"] == len(tools + rendered)


async def test_tool_choice_none_shows_and_calls_nothing(open_desk: OpenDesk) -> None:
    desk = desk_of(open_desk, "hermes", "No.")
    answer = await desk.chat(tools=[WEATHER], tool_choice="none", temperature=0)
    assert answer["usage"]["prompt_tokens"] == len("[user]Hi<a>")
    assert answer["choices"][0]["message"]["content"] == "No."


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "retrieval"}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"tools": [WEATHER, WEATHER]}, "tools"),
        (
            {"tools": [{**WEATHER, "function": {"name": "f", "parameters": {"type": "array"}}}]},
            "tools[0].function.parameters",
        ),
        (
            {
                "tools": [
                    {
                        "type": "function",
                        "function": {"name": "f", "parameters": {"type": "object", "not": {}}},
                    }
                ]
            },
            "tools[0].function.parameters.not",
        ),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": "must"}, "tool_choice"),
        (
            {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "x"}}},
            "tool_choice",
        ),
        ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
        ({"tools": [WEATHER], "response_format": {"type": "json_object"}}, "response_format"),
    ],
)
async def test_what_is_refused_is_named(
    open_desk: OpenDesk, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(ModelpressError) as caught:
        await desk_of(open_desk, "hermes").chat(**fields)
    assert (caught.value.code, caught.value.details["param"]) == ("bad_request", param)


async def test_a_model_without_tools_says_so(open_desk: OpenDesk) -> None:
    with pytest.raises(ModelpressError, match="knows no tools"):
        await open_desk().chat(tools=[WEATHER])


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "tool", "content": "x"}],
        [{"role": "tool", "content": "x", "tool_call_id": "abc"}],
        [{"role": "assistant", "content": None, "tool_calls": []}],
        [
            {
                "role": "assistant",
                "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{"}}],
            }
        ],
        [{"role": "user", "content": "x", "tool_calls": [{"id": "a"}]}],
    ],
)
async def test_broken_calls_in_messages_are_refused(open_desk: OpenDesk, messages: Any) -> None:
    with pytest.raises(ModelpressError) as caught:
        await desk_of(open_desk, "hermes").chat(messages)
    assert caught.value.code == "bad_request"
    assert caught.value.details["param"].startswith("messages[0]")


@pytest.mark.parametrize("name", SHOWN)
@pytest.mark.parametrize("size", [1, 7])
def test_text_cut_anywhere_gives_the_same_calls(name: str, size: int) -> None:
    format_: ToolFormat = FORMATS[name]
    tricky = {"city": 'a "}" \\', "deep": {"x": [{}, "{"]}}
    text = WRITTEN[name].replace('{"city": "Rome"}', json.dumps(tricky))
    splitter, arguments, names = CallSplitter(format_), "", []
    for start in range(0, len(text), size):
        for part in splitter.push(text[start : start + size]):
            assert isinstance(part, CallDelta), part
            arguments += part.arguments
            names += [part.name] if part.name else []
    assert list(splitter.finish()) == []
    assert names == ["weather"] and json.loads(arguments) == tricky


async def test_calls_in_messages_need_a_template_that_reads_them(open_desk: OpenDesk) -> None:
    function = {"name": "f", "arguments": "{}"}
    calls = [{"id": "a", "type": "function", "function": function}]
    messages = [{"role": "assistant", "content": None, "tool_calls": calls}]
    with pytest.raises(ModelpressError, match="knows no tools"):
        await open_desk().chat(messages)


def test_marks_that_may_be_special_tokens_are_known() -> None:
    assert HERMES.marks == ("<tool_call>", "</tool_call>")
    assert MISTRAL_ARGS.marks == ("[TOOL_CALLS]", "[ARGS]")
    assert PHI.marks == ("<|tool_call|>", "<|/tool_call|>")
    assert LLAMA.marks == ()
