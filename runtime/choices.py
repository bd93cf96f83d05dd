"""Several answers at once: the choices of a request, their pieces in the order they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from .abort import AbortSignal
from .answer import Ask
from .engine import Answer, Engine
from .errors import ModelpressError
from .reader import Piece

AT_ONCE = 8
"""Answers of one request that are in the making at the same time."""


@dataclass(frozen=True, slots=True)
class Event:
    """A piece of the answer to the ask of that number."""

    index: int
    answer: Answer
    piece: Piece


async def answers(
    engine: Engine, asks: Sequence[Ask], signal: AbortSignal | None = None
) -> AsyncGenerator[Event]:
    """The pieces of all answers; close it to stop them. The first error ends them all."""
    if len(asks) == 1:
        async with aclosing(_one(engine, asks[0], 0, signal)) as events:
            async for event in events:
                yield event
        return
    queue: asyncio.Queue[Event | ModelpressError | None] = asyncio.Queue()
    at_once = asyncio.Semaphore(AT_ONCE)
    tasks = [
        asyncio.ensure_future(_collect(engine, ask, index, signal, queue, at_once))
        for index, ask in enumerate(asks)
    ]
    try:
        for _ in asks:
            while (item := await queue.get()) is not None:
                if isinstance(item, ModelpressError):
                    raise item
                yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _one(
    engine: Engine, ask: Ask, index: int, signal: AbortSignal | None
) -> AsyncGenerator[Event]:
    async with engine.answer(ask, signal) as answer, aclosing(answer.pieces):
        async for piece in answer.pieces:
            yield Event(index, answer, piece)


async def _collect(
    engine: Engine,
    ask: Ask,
    index: int,
    signal: AbortSignal | None,
    queue: asyncio.Queue[Event | ModelpressError | None],
    at_once: asyncio.Semaphore,
) -> None:
    """One answer into the queue, then None, or the error that ended it."""
    async with at_once:
        try:
            async with aclosing(_one(engine, ask, index, signal)) as events:
                async for event in events:
                    queue.put_nowait(event)
            queue.put_nowait(None)
        except ModelpressError as error:
            queue.put_nowait(error)
