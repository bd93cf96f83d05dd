"""The bridge: requests from the worker's TypeScript in, answers pushed out as JSON texts.

Every request is a task of its own. Answers go through `post(kind, id, text)`, progress through
`report`; each request ends with exactly one "result" or "error".
"""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from typing import Any

from ..abort import AbortSignal
from ..api import Api
from ..errors import ModelpressError
from ..host import Host
from .errors import Translator
from .executor import BrowserExecutor
from .grammar import OpenGrammars, grammar_factory
from .storage import BrowserStorage
from .tokenizer import tokenizer_factory

Post = Callable[[str, int, str], None]
Report = Callable[[int, str, int, int, str], None]
"""A request's id, then stage, done, total and unit."""


class Bridge:
    """One Api, spoken to by request ids."""

    def __init__(self, api: Api, post: Post, report: Report) -> None:
        self._api = api
        self._post = post
        self._report = report
        self._signals: dict[int, AbortSignal] = {}
        # The event loop keeps only weak references to tasks.
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, id: int, method: str, argument: str) -> None:
        """Begin a request: `method` as in messages.ts, its argument a model id or JSON text."""
        self._signals[id] = AbortSignal()
        task = asyncio.ensure_future(self._run(id, method, argument))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cancel(self, id: int) -> None:
        """Ask a request to stop; one that is over is left alone."""
        if id in self._signals:
            self._signals[id].abort()

    async def _run(self, id: int, method: str, argument: str) -> None:
        try:
            text = await self._answer(id, method, argument, self._signals[id])
            self._post("result", id, text)
        except ModelpressError as error:
            self._post("error", id, _record(error))
        except Exception as error:
            # Nobody awaits this task: an unknown error must reach the page as the answer.
            details = {"traceback": traceback.format_exc()}
            unknown = ModelpressError("internal", repr(error), details=details)
            self._post("error", id, _record(unknown))
        finally:
            del self._signals[id]

    async def _answer(self, id: int, method: str, argument: str, signal: AbortSignal) -> str:
        api = self._api
        match method:
            case "models":
                return await api.models()
            case "load":
                return await api.load(argument, self._reporter(id), signal)
            case "info":
                return await api.info()
            case "chat" | "completion" | "embeddings":
                wholes = {"chat": api.chat, "completion": api.completion}
                return await wholes.get(method, api.embeddings)(argument, signal)
            case "chat_stream" | "completion_stream" | "http":
                streams = {"chat_stream": api.chat_stream, "http": api.http}
                stream = streams.get(method, api.completion_stream)
                async with aclosing(stream(argument, signal)) as chunks:
                    async for text in chunks:
                        self._post("chunk", id, text)
                return "null"
            case "bench":
                return await api.bench(argument, self._reporter(id), signal)
            case "unload":
                await api.unload(argument)
                return "null"
            case "close":
                await api.close()
                return "null"
        raise AssertionError(method)

    def _reporter(self, id: int) -> Callable[[str, int, int, str], None]:
        return partial(self._report, id)


def make_bridge(
    graphics: Any,
    processor: Any,
    storage: Any,
    make_tokenizer: Callable[[str, str], Any],
    open_grammars: OpenGrammars,
    error_text: Callable[[Any], str],
    post: Post,
    report: Report,
    options: str,
) -> Bridge:
    """The engine over the objects of host.ts; `options` as runtime/api.py reads them."""
    translator = Translator(error_text)
    files = BrowserStorage(storage, translator)
    host = Host(
        executor=BrowserExecutor(graphics, translator),
        processor=BrowserExecutor(processor, translator),
        storage=files,
        tokenizer=tokenizer_factory(make_tokenizer, translator),
        notes=files,
        grammars=grammar_factory(open_grammars, translator),
    )
    return Bridge(Api(host, options), post, report)


def _record(error: ModelpressError) -> str:
    record = {"code": error.code, "message": error.message, "details": error.details}
    return json.dumps(record, default=str)
