"""The engine's surface for hosts that speak JSON: what a browser worker or an HTTP bridge calls.

Strings in, strings out, so that one call costs one conversion wherever a boundary is crossed:

    api = Api(Host(executor, storage, tokenizer_factory), '{"weights": "synthetic"}')
    text = await api.models()                        # {"object": "list", "data": [...]}
    text = await api.load("press-guide", on_progress, signal)          # the text of info()
    text = await api.chat('{"messages": [...]}', signal)               # chat.completion
    async for text in api.chat_stream('{"messages": [...], "stream": true}', signal):
        ...      # chat.completion.chunk; no "data:" framing, no "[DONE]": those belong to HTTP
    text = await api.completion('{"prompt": "Once"}', signal)          # text_completion
    async for text in api.completion_stream('{"prompt": "Once", "stream": true}', signal): ...
    async for text in api.http('{"method": "GET", "path": "/v1/models", "body": null}', signal): ...
    text = await api.embeddings('{"input": ["A text"]}', signal)       # {"object": "list", ...}
    text = await api.bench('{"id": "press-guide", "prompt": 512, "new": 128}', on_progress, signal)
    text = await api.info()
    await api.unload("press-guide"); await api.close()

* `options`: {"scheme": null | "q4"..., "variant": "auto" | name, "weights": "real" | "synthetic",
  "context": null | tokens, "depth": null | 1..8, "choices": {"decode": entry...},
  "retune": false | true}. Unknown options are refused.
* `on_progress(stage, done, total, unit)`: plain scalars. Stages in order of first appearance:
  "registry", "plan" (files), "compile" (kernels), "download" (bytes), "upload" (bytes), at the
  first load of a plan on a device "self-test" and "tune" (entries), "ready", and per request
  "prefill" or "embed" (tokens). "fallback" (variants) says that a variant computes wrongly here
  and that loading goes on with the next.
  "compile" and "download" interleave: they overlap. An executor emits "compile", "download" and
  "upload" itself; every other stage comes from the engine.
* `signal`: an `AbortSignal` (abort.py) or None; the host keeps it and calls `signal.abort()`.
  A stopped chat ends with finish_reason "stop" and the text so far when it had begun to answer;
  stopped during prefill or load it raises "aborted".
* Errors are ModelpressError; `error_body(error)` is the OpenAI error object as JSON text and
  `error_status(error)` the HTTP status that fits it.
* A request naming a `model` other than the loaded one loads that one first, once the requests
  before it are answered. Requests for one model are answered at the same time, up to eight.
* After "device_lost" the engine prepares and uploads again by itself, and answers go on from their
  tokens; the executor's `prepare` must therefore open a new device when the old one is lost.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from . import codec
from .abort import AbortSignal
from .bench import BenchRequest, bench
from .chat_completions import complete, stream
from .chat_request import ChatRequest, parse_chat_request
from .completion_request import parse_completion_request
from .completions import complete_text, stream_text
from .embedding_request import parse_embedding_request
from .embeddings import create_embeddings
from .engine import Engine
from .errors import FormatError, ModelpressError
from .facts import device_facts, model_facts
from .host import Host
from .http_api import HttpRequest, respond
from .json_text import read_json, write_json
from .models_list import list_models
from .options import EngineOptions
from .progress import OnProgress, Progress
from .responses import error_object, error_status
from .sampling import bad_param

__all__ = ["Api", "error_body", "error_status"]

OnProgressScalars = Callable[[str, int, int, str], object]


class Api:
    """One engine behind JSON text. Methods raise ModelpressError only."""

    def __init__(
        self, host: Host, options: str = "{}", on_progress: OnProgressScalars | None = None
    ) -> None:
        self._on_progress = _progress(on_progress)
        self.engine = Engine(host, EngineOptions.loads(options), on_progress=self._on_progress)

    async def models(self) -> str:
        """OpenAI's model list; each entry carries the registry's facts under `modelpress`."""
        return write_json(list_models(await self.engine.models()))

    async def load(
        self,
        model: str,
        on_progress: OnProgressScalars | None = None,
        signal: AbortSignal | None = None,
    ) -> str:
        """Make `model` ready; the text of `info()`."""
        report = _progress(on_progress) if on_progress else None
        await self.engine.load(model, on_progress=report, signal=signal)
        return await self.info()

    async def info(self) -> str:
        """{"device": {...}, "model": null | {id, scheme, variant, context, memory, ...}}."""
        device = await self.engine.device()
        loaded = self.engine.loaded
        return write_json({"device": device_facts(device), "model": loaded and model_facts(loaded)})

    async def chat(self, request: str, signal: AbortSignal | None = None) -> str:
        """A `chat.completion` for a request without `stream`."""
        parsed = _parse(request)
        if parsed.stream:
            raise bad_param("stream", "this call returns one answer; use the streaming call")
        return write_json(await complete(self.engine, parsed, signal))

    async def chat_stream(
        self, request: str, signal: AbortSignal | None = None
    ) -> AsyncGenerator[str]:
        """Each `chat.completion.chunk` of a request with `stream: true`.

        Read it to its end, or `aclose()` it: until then it holds its place and its model.
        """
        parsed = _parse(request)
        if not parsed.stream:
            raise bad_param("stream", "this call streams; ask with stream: true")
        async with aclosing(stream(self.engine, parsed, signal)) as chunks:
            async for chunk in chunks:
                yield write_json(chunk)

    async def completion(self, request: str, signal: AbortSignal | None = None) -> str:
        """A `text_completion` for a request without `stream`."""
        parsed = parse_completion_request(read_json(request))
        if parsed.stream:
            raise bad_param("stream", "this call returns one answer; use the streaming call")
        return write_json(await complete_text(self.engine, parsed, signal))

    async def completion_stream(
        self, request: str, signal: AbortSignal | None = None
    ) -> AsyncGenerator[str]:
        """As `chat_stream`, of a `text_completion`."""
        parsed = parse_completion_request(read_json(request))
        if not parsed.stream:
            raise bad_param("stream", "this call streams; ask with stream: true")
        async with aclosing(stream_text(self.engine, parsed, signal)) as chunks:
            async for chunk in chunks:
                yield write_json(chunk)

    async def http(self, request: str, signal: AbortSignal | None = None) -> AsyncGenerator[str]:
        """A request to the HTTP protocol: {"method", "path", "body": null | text} in; out comes
        {"status", "headers"}, then each piece of the body as a JSON string.

        `path` begins with "/v1/". Read it to its end, or `aclose()` it.
        """
        asked = read_json(request)
        wanted = HttpRequest(asked["method"], asked["path"], asked["body"] or "")
        response = await respond(self.engine, wanted, signal or AbortSignal())
        async with aclosing(response.body) as body:
            yield write_json({"status": response.status, "headers": dict(response.headers)})
            async for text in body:
                yield write_json(text)

    async def embeddings(self, request: str, signal: AbortSignal | None = None) -> str:
        """OpenAI's list of vectors for a request as `embedding_request.py` reads it."""
        parsed = parse_embedding_request(read_json(request))
        return write_json(await create_embeddings(self.engine, parsed, signal))

    async def bench(
        self,
        request: str,
        on_progress: OnProgressScalars | None = None,
        signal: AbortSignal | None = None,
    ) -> str:
        """Numbers of one model; `request` is {"id", "prompt", "new", "runs"}."""
        result = await bench(
            self.engine,
            _bench_request(request),
            signal=signal or AbortSignal(),
            on_progress=_progress(on_progress) if on_progress else self._on_progress,
        )
        return write_json(result)

    async def unload(self, model: str) -> None:
        """Free the device memory of `model`; "bad_request" when it is not the loaded one."""
        await self.engine.unload(model)

    async def close(self) -> None:
        """Free the device."""
        await self.engine.close()


def error_body(error: ModelpressError) -> str:
    """OpenAI's error object as JSON text."""
    return write_json(error_object(error))


def _parse(text: str) -> ChatRequest:
    return parse_chat_request(read_json(text))


def _bench_request(text: str) -> BenchRequest:
    try:
        return codec.loads(BenchRequest, text, "bench")
    except FormatError as error:
        raise ModelpressError("bad_request", str(error)) from error


def _progress(callback: OnProgressScalars | None) -> OnProgress:
    def report(progress: Progress) -> None:
        if callback is not None:
            callback(progress.stage, progress.done, progress.total, progress.unit)

    return report
