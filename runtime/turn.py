"""A turn: whose it is to use the device, in order of arrival."""

from __future__ import annotations

import asyncio
from collections import deque


class Turn:
    """A fair lock that knows whether anybody waits for it; use it as `async with turn:`.

    Who finds it free takes it without a turn of the loop: that happens for every token.
    """

    __slots__ = ("_queue", "_taken")

    def __init__(self) -> None:
        self._taken = False
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def wanted(self) -> bool:
        """Whether somebody waits."""
        return bool(self._queue)

    def take_now(self) -> bool:
        """Take it if it is free; whether it was."""
        if self._taken:
            return False
        self._taken = True
        return True

    async def take(self) -> None:
        """Wait for the turn."""
        if self.take_now():
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self.give()
            elif mine in self._queue:
                self._queue.remove(mine)
            raise

    def give(self) -> None:
        """Let the next one have it: it is never free while somebody waits."""
        while self._queue:
            following = self._queue.popleft()
            if not following.done():  # one that is cancelled has not left yet
                following.set_result(None)
                return
        self._taken = False

    async def offer(self) -> None:
        """Let those who wait go first; the caller has the turn before and after."""
        self.give()
        await self.take()

    async def __aenter__(self) -> None:
        await self.take()

    async def __aexit__(self, *error: object) -> None:
        self.give()
