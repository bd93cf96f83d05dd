"""The engine's surface for hosts that speak JSON: what a browser worker or an HTTP bridge calls.

Strings in, strings out, so that one call costs one conversion wherever a boundary is crossed:

    api = Api(Host(executor, storage, tokenizer_factory), '{"weights": "synthetic"}')
    text = await api.models()                        # {"object": "list", "data": [...]}
    text = await api.load("press-guide", on_progress, signal)          # the text of info()
    text = await api.chat('{"messages": [...]}', signal)               # chat.completion
    async for text in api.chat_stream('{"messages": [...], "stream": true}', signal):
        ...      # chat.completion.chunk; no "data:" framing, no "[DONE]": those belong to HTTP
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
* A request naming a `model` other than the loaded one loads that one first. Requests queue: one
  sequence runs at a time, in order of arrival.
* After "device_lost" the next request prepares and uploads again by itself; the executor's
  `prepare` must therefore open a new device when the old one is lost.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from . import codec
from .abort import AbortSignal
from .bench import BenchRequest, bench
from .chat_completions import complete, stream
from .chat_request import ChatRequest, parse_chat_request
from .embedding_request import parse_embedding_request
from .embeddings import create_embeddings
from .engine import Engine
from .errors import FormatError, ModelpressError
from .facts import device_facts, model_facts
from .host import Host
from .options import EngineOptions
from .progress import OnProgress, Progress
from .responses import error_object, error_status
from .sampling import bad_param

__all__ = ["Api", "error_body", "error_status"]

OnProgressScalars = Callable[[str, int, int, str], object]
ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
MAX_REQUEST_CHARACTERS = 32_000_000


class Api:
    """One engine behind JSON text. Methods raise ModelpressError only."""

    def __init__(
        self, host: Host, options: str = "{}", on_progress: OnProgressScalars | None = None
    ) -> None:
        self._on_progress = _progress(on_progress)
        self.engine = Engine(host, EngineOptions.loads(options), on_progress=self._on_progress)

    async def models(self) -> str:
        """OpenAI's model list; each entry carries the registry's facts under `modelpress`."""
        registry = await self.engine.models()
        data = [
            {"id": m.id, "object": "model", "created": 0, "owned_by": "modelpress"}
            | {"modelpress": codec.encode(m)}
            for m in registry.models
        ]
        return _dumps({"object": "list", "data": data})

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
        return _dumps({"device": device_facts(device), "model": loaded and model_facts(loaded)})

    async def chat(self, request: str, signal: AbortSignal | None = None) -> str:
        """A `chat.completion` for a request without `stream`."""
        parsed = _parse(request)
        if parsed.stream:
            raise bad_param("stream", "this call returns one answer; use the streaming call")
        return _dumps(await complete(self.engine, parsed, signal))

    async def chat_stream(
        self, request: str, signal: AbortSignal | None = None
    ) -> AsyncGenerator[str]:
        """Each `chat.completion.chunk` of a request with `stream: true`.

        Read it to its end, or `aclose()` it: until then other requests wait.
        """
        parsed = _parse(request)
        if not parsed.stream:
            raise bad_param("stream", "this call streams; ask with stream: true")
        async with aclosing(stream(self.engine, parsed, signal)) as chunks:
            async for chunk in chunks:
                yield _dumps(chunk)

    async def embeddings(self, request: str, signal: AbortSignal | None = None) -> str:
        """OpenAI's list of vectors for a request as `embedding_request.py` reads it."""
        parsed = parse_embedding_request(_json(request))
        return _dumps(await create_embeddings(self.engine, parsed, signal))

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
        return _dumps(result)

    async def unload(self, model: str) -> None:
        """Free the device memory of `model`; "bad_request" when it is not the loaded one."""
        await self.engine.unload(model)

    async def close(self) -> None:
        """Free the device."""
        await self.engine.close()


def error_body(error: ModelpressError) -> str:
    """OpenAI's error object as JSON text."""
    return _dumps(error_object(error))


def _parse(text: str) -> ChatRequest:
    return parse_chat_request(_json(text))


def _json(text: str) -> Any:
    if len(text) > MAX_REQUEST_CHARACTERS:
        raise ModelpressError("bad_request", "the request is larger than 32 million characters")
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ModelpressError("bad_request", f"the request is not JSON: {error}") from error


def _bench_request(text: str) -> BenchRequest:
    try:
        return codec.loads(BenchRequest, text, "bench")
    except FormatError as error:
        raise ModelpressError("bad_request", str(error)) from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _progress(callback: OnProgressScalars | None) -> OnProgress:
    def report(progress: Progress) -> None:
        if callback is not None:
            callback(progress.stage, progress.done, progress.total, progress.unit)

    return report


def _dumps(value: Any) -> str:
    return ENCODER.encode(value)
