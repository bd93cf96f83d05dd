"""The site's engine for Python in a page: Pyodide, PyScript or JupyterLite on the same site.

    from runtime.browser import connect

    engine = await connect()
    reply = await engine.chat.completions.create(messages=[{"role": "user", "content": "Hi"}])
    print(reply["choices"][0]["message"]["content"])
    async for chunk in await engine.chat.completions.create(messages=[...], stream=True):
        print(chunk["choices"][0]["delta"].get("content", ""), end="")

It speaks HTTP to the endpoint that the site's service worker offers, so the engine is the one that
the site's pages share, and nothing of it is loaded here. Requests and answers are OpenAI's, as
keyword arguments in and dictionaries out.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from js import URL, AbortController, Headers, TextDecoder, fetch, location
from pyodide.ffi import JsException

from ..errors import CODES, ModelpressError

ROUTE = "v1/"


async def connect(base_url: str | None = None) -> Engine:
    """The engine behind `base_url`, which ends in "/v1"; without one the site is looked for in the
    page's own folder and those above it.

    Raises "no_engine" where no endpoint answers, with the remedy.
    """
    for candidate in _candidates() if base_url is None else [base_url.rstrip("/") + "/"]:
        engine = Engine(candidate)
        if await engine.answers():
            return engine
    raise ModelpressError(
        "no_engine",
        "no endpoint answers here: open a page of the site in this browser, or call "
        "`serveEndpoint()` of engine/client.js in this one, and connect from a page under the site",
    )


def _candidates() -> list[str]:
    """The endpoint's address, were the site's root this page's folder or one above it."""
    parts = str(location.pathname).split("/")[1:-1]
    folders = ["/".join(("", *parts[:count], "")) for count in range(len(parts), -1, -1)]
    return [str(URL.new(folder + ROUTE, location.href).href) for folder in folders]


class Engine:
    """OpenAI's client, as far as the site answers it."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.chat = Chat(self)
        self.completions = Route(self, "completions")
        self.embeddings = Route(self, "embeddings")

    async def models(self) -> list[dict[str, Any]]:
        """The models of the hub, first the one that visitors meet first."""
        listed = await self.whole("models", None)
        data: list[dict[str, Any]] = listed["data"]
        return data

    async def answers(self) -> bool:
        """Whether there is an endpoint at this address."""
        try:
            await self.models()
        except ModelpressError as error:
            if error.code in ("network", "no_engine"):
                return False
            raise
        return True

    async def whole(self, path: str, request: Mapping[str, Any] | None) -> dict[str, Any]:
        """The JSON answer to a request; ModelpressError for OpenAI's error object."""
        response = await self._fetch(path, request)
        answer: dict[str, Any] = _decoded(await response.text(), response)
        return answer

    async def events(self, path: str, request: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        """The chunks of a streamed answer; closing it stops the answer."""
        controller = AbortController.new()
        response = await self._fetch(path, request, controller.signal)
        if not response.ok:
            _decoded(await response.text(), response)
        try:
            async for line in _lines(response.body.getReader()):
                if line == "data: [DONE]":
                    return
                if line.startswith("data: "):
                    chunk: dict[str, Any] = json.loads(line.removeprefix("data: "))
                    if "error" in chunk:
                        raise _error(chunk["error"])
                    yield chunk
        finally:
            controller.abort()

    async def _fetch(self, path: str, request: Mapping[str, Any] | None, signal: Any = None) -> Any:
        options: dict[str, Any] = {} if signal is None else {"signal": signal}
        if request is not None:
            headers = Headers.new()
            headers.set("content-type", "application/json")
            options |= {"method": "POST", "headers": headers, "body": json.dumps(request)}
        try:
            return await fetch(self.base_url + path, **options)
        except JsException as error:
            raise ModelpressError("network", f"{self.base_url} does not answer: {error}") from None


class Chat:
    """What OpenAI's client has under `chat`."""

    def __init__(self, engine: Engine) -> None:
        self.completions = Route(engine, "chat/completions")


class Route:
    """One route: `create` posts its keyword arguments."""

    def __init__(self, engine: Engine, path: str) -> None:
        self._engine, self._path = engine, path

    async def create(self, **request: Any) -> Any:
        """The answer as a dictionary; with `stream=True` an async generator of its chunks."""
        if not request.get("stream"):
            return await self._engine.whole(self._path, request)
        return self._engine.events(self._path, request)


async def _lines(reader: Any) -> AsyncGenerator[str]:
    """The lines of a body, as they arrive."""
    decoder, rest = TextDecoder.new(), ""
    while True:
        part = await reader.read()
        if part.done:
            return
        *lines, rest = (rest + str(decoder.decode(part.value, stream=True))).split("\n")
        for line in lines:
            yield line.rstrip("\r")


def _decoded(text: str, response: Any) -> Any:
    try:
        answer = json.loads(text)
    except ValueError:
        where = f"{response.url} (HTTP {response.status})"
        raise ModelpressError("network", f"{where} answers no JSON: there is no endpoint") from None
    if not response.ok:
        raise _error(answer.get("error") if isinstance(answer, dict) else None)
    return answer


def _error(found: Any) -> ModelpressError:
    """OpenAI's error object as ours."""
    if not isinstance(found, dict):
        return ModelpressError("network", "the endpoint answers with an error that is not OpenAI's")
    code = found.get("code")
    details = found.get("details")
    return ModelpressError(
        code if code in CODES else "internal",
        str(found.get("message")),
        details=details if isinstance(details, dict) else {},
    )
