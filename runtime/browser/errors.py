"""JavaScript errors as ours: the one place that looks inside a JsException."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Generator
from typing import Any

from pyodide.ffi import JsException

from ..errors import CODES, ModelpressError

ErrorText = Callable[[Any], str]
"""host.ts `errorText`: any JavaScript error as the JSON of an error record."""


class Translator:
    """Turns JsException into ModelpressError with the same code, message and details."""

    __slots__ = ("_text",)

    def __init__(self, text: ErrorText) -> None:
        self._text = text

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, JsException):
            raise self.translate(error) from None

    def translate(self, error: JsException) -> ModelpressError:
        """The error of the TypeScript side."""
        return self.record(self._text(error.js_error))

    def record(self, text: str) -> ModelpressError:
        """The error of a record's JSON text; what is not ours has the code "internal"."""
        record = json.loads(text)
        code = record["code"] if record["code"] in CODES else "internal"
        return ModelpressError(code, record["message"], details=record["details"])


class Answer:
    """A step's result, awaited once or never."""

    __slots__ = ("_arrived", "_error", "_waiter", "_word")

    def __init__(self) -> None:
        self._arrived = False
        self._word = 0
        self._error: ModelpressError | None = None
        self._waiter: asyncio.Future[None] | None = None

    def arrive(self, word: int, error: ModelpressError | None) -> None:
        """The result is there."""
        self._arrived, self._word, self._error = True, word, error
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __await__(self) -> Generator[Any, None, int]:
        if not self._arrived:
            # Not the loop's own kind of future: those are made for JavaScript, and cost more.
            self._waiter = asyncio.Future()
            yield from self._waiter
        if self._error is not None:
            raise self._error
        return self._word
