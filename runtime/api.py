"""The engine's surface for hosts that speak JSON: what a browser worker or an HTTP bridge calls.

Strings in, strings out, so that one call costs one conversion wherever a boundary is crossed:

    api = Api(Host(executor, storage, tokenizer_factory), '{"weights": "synthetic"}')
    text = await api.models()                        # {"object": "list", "data": [...]}
    text = await api.load("press-guide", on_progress, signal)          # the text of info()
    text = await api.chat('{"messages": [...]}', signal)               # chat.completion
    async for text in api.chat_stream('{"messages": [...]}', signal):  # chat.completion.chunk
        ...                                          # no "data:" framing, no "[DONE]": that is HTTP
    text = await api.bench('{"prompt": 512, "new": 128, "runs": 3}', on_progress, signal)
    text = await api.info()
    await api.unload("press-guide"); await api.close()

* `options`: {"scheme": null | "q4"..., "variant": "auto" | name, "weights": "real" | "synthetic",
  "context": null | tokens, "depth": null | 1..8}. Unknown options are refused.
* `on_progress(stage, done, total, unit)`: plain scalars. Stages in order of first appearance:
  "registry", "plan" (files), "compile" (kernels), "download" (bytes), "upload" (bytes), "ready".
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

from collections.abc import AsyncIterator, Callable

from .abort import AbortSignal
from .errors import ModelpressError
from .host import Host

OnProgressScalars = Callable[[str, int, int, str], None]


class Api:
    """One engine behind JSON text."""

    def __init__(self, host: Host, options: str = "{}") -> None: ...

    async def models(self) -> str: ...

    async def load(
        self,
        model: str,
        on_progress: OnProgressScalars | None = None,
        signal: AbortSignal | None = None,
    ) -> str: ...

    async def info(self) -> str: ...

    async def chat(self, request: str, signal: AbortSignal | None = None) -> str: ...

    def chat_stream(
        self, request: str, signal: AbortSignal | None = None
    ) -> AsyncIterator[str]: ...

    async def bench(
        self,
        request: str,
        on_progress: OnProgressScalars | None = None,
        signal: AbortSignal | None = None,
    ) -> str: ...

    async def unload(self, model: str) -> None: ...

    async def close(self) -> None: ...


def error_body(error: ModelpressError) -> str: ...


def error_status(error: ModelpressError) -> int: ...
