"""Access to what is loaded: several may use it at once, or one alone who may change it.

In order of arrival: who wants it alone waits for those before, and holds up those behind.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .abort import AbortSignal, abortable


class Access:
    """At most `most` at once."""

    __slots__ = ("_alone", "_most", "_queue", "_sharing")

    def __init__(self, most: int) -> None:
        self._most = most
        self._queue: deque[tuple[bool, asyncio.Future[None]]] = deque()
        self._sharing = 0
        self._alone = False

    @property
    def sharing(self) -> int:
        """How many use it together now."""
        return self._sharing

    @asynccontextmanager
    async def shared(self, signal: AbortSignal) -> AsyncIterator[None]:
        """Use it with others; ModelpressError "aborted" while waiting."""
        await abortable(self._wait(alone=False), signal)
        try:
            yield
        finally:
            self._sharing -= 1
            self._admit()

    @asynccontextmanager
    async def alone(self, signal: AbortSignal) -> AsyncIterator[None]:
        """Use it without others; ModelpressError "aborted" while waiting."""
        await abortable(self._wait(alone=True), signal)
        try:
            yield
        finally:
            if self._alone:
                self._alone = False
            else:
                self._sharing -= 1
            self._admit()

    def share(self) -> None:
        """Who has it alone lets others in, before anybody can have it alone in between."""
        assert self._alone
        self._alone = False
        self._sharing += 1
        self._admit()

    async def _wait(self, *, alone: bool) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((alone, turn))
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._alone, self._sharing = False, self._sharing - int(not alone)
            elif (alone, turn) in self._queue:
                self._queue.remove((alone, turn))
            self._admit()
            raise

    def _admit(self) -> None:
        """Let in who is first, as long as there is room."""
        while self._queue and not self._alone:
            alone, turn = self._queue[0]
            if turn.done():  # one that is cancelled has not left yet
                self._queue.popleft()
                continue
            if self._sharing >= (1 if alone else self._most):
                return
            self._queue.popleft()
            if alone:
                self._alone = True
            else:
                self._sharing += 1
            turn.set_result(None)
