"""JavaScript errors as ours: the one place that looks inside a JsException."""

from __future__ import annotations

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
        """The error of the TypeScript side; what is not ours has the code "internal"."""
        record = json.loads(self._text(error.js_error))
        code = record["code"] if record["code"] in CODES else "internal"
        return ModelpressError(code, record["message"], details=record["details"])


class Answer:
    """An awaitable over a JavaScript promise. May be dropped without being awaited."""

    __slots__ = ("_promise", "_translator")

    def __init__(self, promise: Any, translator: Translator) -> None:
        self._promise = promise
        self._translator = translator

    def __await__(self) -> Generator[Any, None, Any]:
        with self._translator:
            return (yield from self._promise.__await__())
