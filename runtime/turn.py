"""A turn: whose it is to use the device, in order of arrival."""

from __future__ import annotations

import asyncio


class Turn:
    """A fair lock that knows whether anybody waits for it; use it as `async with turn:`."""

    __slots__ = ("_lock", "_waiting")

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._waiting = 0

    @property
    def wanted(self) -> bool:
        """Whether somebody waits."""
        return self._waiting > 0

    async def take(self) -> None:
        """Wait for the turn."""
        self._waiting += 1
        try:
            await self._lock.acquire()
        finally:
            self._waiting -= 1

    def give(self) -> None:
        """Let the next one have it."""
        self._lock.release()

    async def offer(self) -> None:
        """Let those who wait go first; the caller has the turn before and after."""
        self.give()
        await self.take()

    async def __aenter__(self) -> None:
        await self.take()

    async def __aexit__(self, *error: object) -> None:
        self.give()
