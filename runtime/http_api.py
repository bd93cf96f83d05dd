"""The OpenAI protocol as HTTP, without a network: a request in, a status and a stream of text out.

Whoever has a socket, or is a service worker, calls `respond` and sends what it gives. Routes begin
with "/v1/"; whatever lies before that in a site's addresses is the caller's to take off.

    POST /v1/chat/completions   POST /v1/completions   POST /v1/embeddings
    GET  /v1/models             GET  /v1/models/{id}

A stream is server-sent events: "data: {chunk}" and at last "data: [DONE]". It starts once the first
chunk is there, so that what is wrong with a request has a status; what goes wrong later is an
event of its own, "data: {"error": ...}", and ends the stream without "[DONE]".
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from .abort import AbortSignal
from .chat_completions import complete, stream
from .chat_request import ChatRequest, parse_chat_request
from .completion_request import CompletionRequest, parse_completion_request
from .completions import complete_text, stream_text
from .embedding_request import EmbeddingRequest, parse_embedding_request
from .embeddings import create_embeddings
from .engine import Engine
from .errors import ModelpressError
from .json_text import read_json, write_json
from .models_list import list_models, model_object
from .responses import error_object, error_status

JSON = {"content-type": "application/json; charset=utf-8", "cache-control": "no-store"}
EVENTS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store"}
MODELS = "/v1/models"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request, its body decoded: None for a body that is no UTF-8."""

    method: str
    path: str
    body: str | None = ""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """Status and headers (names in lower case), then the text of the body: read it, or close it."""

    status: int
    headers: Mapping[str, str]
    body: AsyncGenerator[str]


Chunks = AsyncGenerator[dict[str, Any]]
AnyRequest = ChatRequest | CompletionRequest | EmbeddingRequest


@dataclass(frozen=True, slots=True)
class _Route:
    """What a POST to a path does."""

    parse: Callable[[Any], Any]
    whole: Callable[[Engine, Any, AbortSignal], Any]
    stream: Callable[[Engine, Any, AbortSignal], Chunks] | None = None


ROUTES: Mapping[str, _Route] = {
    "/v1/chat/completions": _Route(parse_chat_request, complete, stream),
    "/v1/completions": _Route(parse_completion_request, complete_text, stream_text),
    "/v1/embeddings": _Route(parse_embedding_request, create_embeddings),
}


async def respond(engine: Engine, request: HttpRequest, signal: AbortSignal) -> HttpResponse:
    """The answer to a request; never raises ModelpressError. Abort the signal to stop the work."""
    try:
        return await _respond(engine, request, signal)
    except ModelpressError as error:
        return error_response(error)


def error_response(error: ModelpressError, status: int | None = None) -> HttpResponse:
    """OpenAI's error object, with the status that fits it or the one given."""
    return _json(error_object(error), status or error_status(error))


async def _respond(engine: Engine, request: HttpRequest, signal: AbortSignal) -> HttpResponse:
    path = request.path.rstrip("/")
    if path == MODELS or path.startswith(f"{MODELS}/"):
        if request.method not in ("GET", "HEAD"):
            return _wrong_method(request, "GET")
        registry = await engine.models()
        name = unquote(path[len(MODELS) + 1 :])
        return _json(model_object(registry.find(name)) if name else list_models(registry), 200)
    route = ROUTES.get(path)
    if route is None:
        known = ", ".join([*ROUTES, MODELS])
        message = f"there is no {request.path[:200]!r}; there are: {known}"
        return error_response(ModelpressError("bad_request", message), 404)
    if request.method != "POST":
        return _wrong_method(request, "POST")
    if request.body is None:
        raise ModelpressError("bad_request", "the request is not UTF-8")
    parsed = route.parse(read_json(request.body))
    if route.stream is not None and parsed.stream:
        return await _events(route.stream(engine, parsed, signal))
    return _json(await route.whole(engine, parsed, signal), 200)


def _wrong_method(request: HttpRequest, right: str) -> HttpResponse:
    message = f"{request.path[:200]} is asked by {right}, not by {request.method[:20]}"
    response = error_response(ModelpressError("bad_request", message), 405)
    return HttpResponse(response.status, {**response.headers, "allow": right}, response.body)


def _json(value: Any, status: int) -> HttpResponse:
    return HttpResponse(status, JSON, _once(write_json(value)))


async def _once(text: str) -> AsyncGenerator[str]:
    yield text


async def _events(chunks: Chunks) -> HttpResponse:
    """The head of a stream whose first chunk is there."""
    try:
        first = await anext(chunks)
    except BaseException:
        await chunks.aclose()
        raise
    return HttpResponse(200, EVENTS, _event_texts(first, chunks))


async def _event_texts(first: dict[str, Any], chunks: Chunks) -> AsyncGenerator[str]:
    async with aclosing(chunks):
        yield _event(first)
        try:
            async for chunk in chunks:
                yield _event(chunk)
        except ModelpressError as error:
            yield _event(error_object(error))
            return
    yield "data: [DONE]\n\n"


def _event(value: dict[str, Any]) -> str:
    return f"data: {write_json(value)}\n\n"
