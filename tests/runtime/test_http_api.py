"""The protocol as HTTP: routes, statuses, streams of events."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from runtime.abort import AbortSignal
from runtime.fake import reply
from runtime.fake_executor import FakeExecutor
from runtime.http_api import HttpRequest, respond

from .conftest import Desk, OpenDesk, request


async def ask(
    desk: Desk, method: str, path: str, body: str | None = "", signal: AbortSignal | None = None
) -> tuple[int, dict[str, str], str]:
    response = await respond(
        desk.api.engine, HttpRequest(method, path, body), signal or AbortSignal()
    )
    return response.status, dict(response.headers), "".join([text async for text in response.body])


def events(text: str) -> list[Any]:
    lines = text.removesuffix("\n\n").split("\n\n")
    assert all(line.startswith("data: ") for line in lines)
    return [line[6:] if line == "data: [DONE]" else json.loads(line[6:]) for line in lines]


async def test_a_chat_is_json(open_desk: OpenDesk) -> None:
    status, headers, text = await ask(
        open_desk(reply("ok")), "POST", "/v1/chat/completions", request()
    )
    assert status == 200 and headers["content-type"].startswith("application/json")
    assert json.loads(text)["choices"][0]["message"]["content"] == "ok"


async def test_a_stream_is_events_that_end_with_done(open_desk: OpenDesk) -> None:
    status, headers, text = await ask(
        open_desk(reply("ok")), "POST", "/v1/chat/completions", request(stream=True)
    )
    assert status == 200 and headers["content-type"].startswith("text/event-stream")
    *chunks, last = events(text)
    assert last == "[DONE]"
    said = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks)
    assert said == "ok" and chunks[-1]["choices"][0]["finish_reason"] == "stop"


async def test_what_goes_wrong_in_a_stream_is_its_last_event(open_desk: OpenDesk) -> None:
    def fail(sequence: tuple[int, ...]) -> int:
        if len(sequence) > 14:
            desk.executor.lose()
        return 120

    desk = open_desk(executor=FakeExecutor(fail))
    status, _, text = await ask(desk, "POST", "/v1/chat/completions", request(stream=True))
    assert status == 200
    assert events(text)[-1]["error"]["code"] == "device_lost"


async def test_models_are_listed_and_found(open_desk: OpenDesk) -> None:
    desk = open_desk()
    status, _, text = await ask(desk, "GET", "/v1/models")
    assert status == 200 and [m["id"] for m in json.loads(text)["data"]] == ["fake"]
    status, _, text = await ask(desk, "GET", "/v1/models/fake")
    assert status == 200 and json.loads(text)["object"] == "model"
    status, _, text = await ask(desk, "GET", "/v1/models/none")
    assert status == 404 and json.loads(text)["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "check"),
    [
        ("POST", "/v1/chats", "{}", 404, lambda e: "/v1/chats" in e["message"]),
        ("GET", "/v1/chat/completions", "", 405, lambda e: "POST" in e["message"]),
        ("DELETE", "/v1/models/fake", "", 405, lambda e: "GET" in e["message"]),
        ("POST", "/v1/chat/completions", None, 400, lambda e: "UTF-8" in e["message"]),
        ("POST", "/v1/completions", "{", 400, lambda e: "JSON" in e["message"]),
        ("POST", "/v1/completions", '{"temprature": 1}', 400, lambda e: e["param"] == "temprature"),
        ("POST", "/v1/embeddings", '{"input": ""}', 400, lambda e: e["param"] == "input"),
    ],
)
async def test_what_is_wrong_has_its_status(
    open_desk: OpenDesk,
    method: str,
    path: str,
    body: str | None,
    status: int,
    check: Callable[[dict[str, Any]], bool],
) -> None:
    found, headers, text = await ask(open_desk(), method, path, body)
    error = json.loads(text)["error"]
    assert found == status and check(error) and set(error) >= {"message", "type", "param", "code"}
    assert ("allow" in headers) == (status == 405)


async def test_an_abort_ends_a_stream(open_desk: OpenDesk) -> None:
    desk, signal = open_desk(reply("x" * 200)), AbortSignal()
    response = await respond(
        desk.api.engine,
        HttpRequest("POST", "/v1/chat/completions", request(stream=True)),
        signal,
    )
    seen = []
    async for text in response.body:
        seen.append(text)
        signal.abort()
    assert seen[-1] == "data: [DONE]\n\n" and len(seen) < 12


async def test_a_bridge_is_given_the_head_then_the_body(open_desk: OpenDesk) -> None:
    asked = json.dumps({"method": "GET", "path": "/v1/models", "body": None})
    texts = [json.loads(text) async for text in open_desk().api.http(asked)]
    assert texts[0]["status"] == 200
    assert json.loads("".join(texts[1:]))["object"] == "list"
