"""Abort: one object a caller keeps and any step of the engine looks at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from .errors import ModelpressError

T = TypeVar("T")


class AbortSignal:
    """Starts quiet; `abort()` is final. The counterpart of the web's AbortController and signal."""

    __slots__ = ("_callbacks", "_reason")

    def __init__(self) -> None:
        self._reason: str | None = None
        self._callbacks: list[Callable[[], object]] = []

    @property
    def aborted(self) -> bool:
        """Whether `abort` was called."""
        return self._reason is not None

    def abort(self, reason: str = "aborted by the caller") -> None:
        """Ask everything that holds this signal to stop. A second call changes nothing."""
        if self._reason is None:
            self._reason = reason
            callbacks, self._callbacks = self._callbacks, []
            for callback in callbacks:
                callback()

    def check(self) -> None:
        """Raise ModelpressError "aborted" when `abort` was called."""
        if self._reason is not None:
            raise ModelpressError("aborted", self._reason)

    def on_abort(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call back once on abort (at once when already aborted); returns how to unsubscribe."""
        if self.aborted:
            callback()
            return lambda: None
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback) if callback in self._callbacks else None


async def abortable(work: Coroutine[Any, Any, T], signal: AbortSignal) -> T:
    """Await `work`, cancelling it when the signal aborts; raises ModelpressError "aborted"."""
    task = asyncio.ensure_future(work)
    unsubscribe = signal.on_abort(task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        signal.check()
        raise
    finally:
        unsubscribe()
        task.cancel()
