"""How long code runs itself, without what it waits for: the host's share of a token."""

from __future__ import annotations

import time
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")


class BusyTime:
    """Adds up the seconds that coroutines run between their waits.

    Calls into a device or out to JavaScript count, since they run meanwhile; the event loop's own
    turns do not.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    async def of(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`."""
        result: T = await _Timed(work, self)
        return result


class _Timed:
    """An awaitable that times every step of a coroutine."""

    __slots__ = ("_time", "_work")

    def __init__(self, work: Coroutine[Any, Any, Any], time_: BusyTime) -> None:
        self._work = work
        self._time = time_

    def __await__(self) -> Generator[Any, Any, Any]:
        value: Any = None
        error: BaseException | None = None
        while True:
            started = time.perf_counter()
            try:
                waits_for = self._work.send(value) if error is None else self._work.throw(error)
            except StopIteration as done:
                return done.value
            finally:
                self._time.seconds += time.perf_counter() - started
            try:
                value, error = (yield waits_for), None
            except BaseException as thrown:
                value, error = None, thrown
