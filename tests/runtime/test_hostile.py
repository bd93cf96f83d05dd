"""More than 200 malformed and hostile requests: each is a typed error, and the engine lives on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from runtime.abort import AbortSignal
from runtime.errors import CODES
from runtime.fake import reply
from runtime.http_api import HttpRequest, respond

from .conftest import Desk, OpenDesk, request

CHAT, TEXT, VECTORS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
VALID: dict[str, dict[str, Any]] = {
    CHAT: {"model": "fake", "messages": [{"role": "user", "content": "Hi"}]},
    TEXT: {"model": "fake", "prompt": "Hi"},
    VECTORS: {"model": "fake", "input": "Hi"},
}
HUGE, DEEP = 10**400, 5_000
NO_OBJECTS = ("", "null", "[]", "5", '"x"', "{", "{]", "{'a': 1}", "\ufeff{}", "\x00", "NaN")
ODD: dict[str, list[Any]] = {
    "integer": ["1", 1.5, True, [], {}, HUGE, -HUGE, -1],
    "number": ["1", True, [1], {}, HUGE, -HUGE, 1e308],
    "flag": ["true", 1, [], {}],
    "text": [1, True, [], {}],
    "object": ["{}", 1, [1], True],
}
FIELDS: dict[str, dict[str, str]] = {
    CHAT: {
        "n": "integer",
        "max_tokens": "integer",
        "max_completion_tokens": "integer",
        "top_logprobs": "integer",
        "top_k": "integer",
        "seed": "integer",
        "temperature": "number",
        "top_p": "number",
        "frequency_penalty": "number",
        "repetition_penalty": "number",
        "stream": "flag",
        "logprobs": "flag",
        "model": "text",
        "reasoning_effort": "text",
        "user": "text",
        "logit_bias": "object",
        "stream_options": "object",
        "metadata": "object",
        "chat_template_kwargs": "object",
    },
    TEXT: {
        "n": "integer",
        "best_of": "integer",
        "max_tokens": "integer",
        "logprobs": "integer",
        "min_p": "number",
        "presence_penalty": "number",
        "echo": "flag",
        "stream": "flag",
        "suffix": "text",
        "logit_bias": "object",
    },
    VECTORS: {"dimensions": "integer", "truncate": "flag", "encoding_format": "text"},
}
HARMLESS = (("seed", -1),)


def nested(opening: str, closing: str, depth: int = DEEP) -> str:
    return opening * depth + closing * depth


def wrong_types() -> Iterator[tuple[str, str]]:
    for path, fields in FIELDS.items():
        for name, kind in fields.items():
            for value in ODD[kind]:
                if (name, value) not in HARMLESS:
                    yield path, json.dumps(VALID[path] | {name: value})


def wrong_messages() -> Iterator[tuple[str, str]]:
    user = {"role": "user"}
    contents: list[Any] = [None, 1, {}, [], [None], ["x"], [{"type": "text"}], [{"text": "x"}]]
    contents += [[{"type": "image_url", "image_url": {"url": "x"}}], [{"type": "text", "text": 1}]]
    contents += [[[]], "\ud800", [{"type": "text", "text": "x", "cache": True}]]
    messages: list[Any] = [[], {}, "Hi", 5, [None], [[]], ["Hi"], [{}], [{"content": "Hi"}]]
    roles: list[Any] = ["robot", 1, None, [], {"a": 1}]
    messages += [[{"role": role, "content": "Hi"}] for role in roles]
    messages += [[user | {"content": content}] for content in contents]
    messages += [[user | {"content": "Hi", "name": name}] for name in ("Bo", 1, "\udfff")]
    messages += [[user | {"content": "Hi", "\x00": 1}], [{"role": "user", "content": "x"}] * 10_001]
    for value in messages:
        yield CHAT, json.dumps({"model": "fake", "messages": value})


def wrong_inputs() -> Iterator[tuple[str, str]]:
    odd: list[Any] = [[], {}, 5, True, [None], [[]], [{}], [1, "a"], [1.5], [-1], [2**31], "\udc00"]
    odd += [[[1], []], [["a"]], [HUGE], ["a"] * 3000]
    for value in odd:
        yield TEXT, json.dumps({"model": "fake", "prompt": value})
        yield VECTORS, json.dumps({"model": "fake", "input": value})


def wrong_biases() -> Iterator[tuple[str, str]]:
    odd: list[Any] = [{"a": 1}, {"": 1}, {"-1": 1}, {"1.0": 1}, {" 1": 1}, {"٣": 1}, {"1": 101}]
    odd += [{"1": "1"}, {"1": None}, {"1": HUGE}, {"999999999": 1}, {"9" * 400: 1}]
    odd += [{str(i): 1 for i in range(5000)}]
    for path in (CHAT, TEXT):
        for value in odd:
            yield path, json.dumps(VALID[path] | {"logit_bias": value})


def no_json() -> Iterator[tuple[str, str | None]]:
    for path in VALID:
        for text in (
            "",
            "null",
            "[]",
            "5",
            '"x"',
            "{",
            "{]",
            "{'a': 1}",
            "\ufeff{}",
            "\x00",
            "NaN",
        ):
            yield path, text
        yield path, None
        yield path, nested("[", "]")
        yield path, nested('{"a":', "}")
        yield path, '{"model": Infinity}'
        yield path, json.dumps(VALID[path])[:-1] + ', "x": 1}'
        yield path, json.dumps(VALID[path])[:-1] + ', "seed": ' + "9" * 10_000 + "}"


def deep_fields() -> Iterator[tuple[str, str]]:
    """Depth that JSON's reader takes, in fields of their own."""
    deep = nested("[", "]", 400)
    objects = nested('{"a":', "}", 400).replace(":}", ":1}")
    for name in ("tools", "response_format", "tool_choice", "functions", "audio", "prediction"):
        for value in (deep, objects, '"x"', "7"):
            yield CHAT, json.dumps(VALID[CHAT])[:-1] + f', "{name}": {value}}}'


def hostile() -> list[tuple[str, str | None]]:
    return [
        *wrong_types(),
        *wrong_messages(),
        *wrong_inputs(),
        *wrong_biases(),
        *no_json(),
        *deep_fields(),
        (TEXT, json.dumps({"prompt": ["a"] * 128, "n": 2})),
        (CHAT, json.dumps(VALID[CHAT] | {"n": 10**9})),
        (CHAT, json.dumps(VALID[CHAT] | {"stop": ["x"] * 1000})),
        (CHAT, json.dumps(VALID[CHAT] | {"stop": [""]})),
        (CHAT, request("x" * 4_000_001)),
        (CHAT, json.dumps(VALID[CHAT] | {"model": "../../etc/passwd"})),
    ]


async def refusal(desk: Desk, path: str, body: str | None) -> dict[str, Any]:
    response = await respond(desk.api.engine, HttpRequest("POST", path, body), AbortSignal())
    text = "".join([part async for part in response.body])
    assert 400 <= response.status < 500, (path, body and body[:300], response.status, text[:300])
    error: dict[str, Any] = json.loads(text)["error"]
    return error


async def test_every_hostile_request_is_a_typed_error_and_the_engine_lives(
    open_desk: OpenDesk,
) -> None:
    desk = open_desk(reply("ok"))
    cases = hostile()
    assert len(cases) > 200
    for path, body in cases:
        error = await refusal(desk, path, body)
        assert error["code"] in CODES and error["message"] and len(error["message"]) < 2000
    answer = await desk.chat()
    assert answer["choices"][0]["message"]["content"] == "ok"
    print(f"{len(cases)} requests")


async def test_escapes_of_half_a_character_are_refused(open_desk: OpenDesk) -> None:
    error = await refusal(
        open_desk(), CHAT, '{"messages": [{"role": "user", "content": "\\ud83d"}]}'
    )
    assert error["param"] == "messages[0].content"
