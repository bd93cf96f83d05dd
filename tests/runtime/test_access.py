"""Who may use the device and what is loaded, in order of arrival, whoever gives up meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from runtime.abort import AbortSignal
from runtime.access import Access
from runtime.errors import ModelpressError
from runtime.turn import Turn


async def test_a_turn_goes_round_in_order_and_over_those_who_gave_up() -> None:
    turn, seen = Turn(), list[int]()

    async def use(name: int) -> None:
        async with turn:
            seen.append(name)
            await asyncio.sleep(0)

    assert turn.take_now() and not turn.take_now()
    users = [asyncio.ensure_future(use(name)) for name in range(4)]
    await asyncio.sleep(0)
    assert turn.wanted
    users[0].cancel()
    turn.give()  # the first in the queue is cancelled and does not know it yet
    users[2].cancel()
    await asyncio.gather(*users, return_exceptions=True)
    assert seen == [1, 3] and turn.take_now()


async def test_who_is_cancelled_with_the_turn_just_given_hands_it_on() -> None:
    turn = Turn()
    assert turn.take_now()
    first = asyncio.ensure_future(turn.take())
    await asyncio.sleep(0)
    turn.give()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert turn.take_now()


async def test_one_alone_waits_for_those_before_and_holds_up_those_behind() -> None:
    access, seen = Access(2), list[str]()

    async def share(name: str) -> None:
        async with access.shared(AbortSignal()):
            seen.append(name)
            await asyncio.sleep(0.001)

    async def alone() -> None:
        async with access.alone(AbortSignal()):
            seen.append("alone")
            assert access.sharing == 0
            access.share()
            await asyncio.sleep(0.001)

    await asyncio.gather(share("a"), share("b"), share("c"), alone(), share("d"))
    assert seen == ["a", "b", "c", "alone", "d"] and access.sharing == 0


async def test_waiting_can_be_aborted_and_leaves_the_way_free() -> None:
    access, signal = Access(1), AbortSignal()
    async with access.shared(AbortSignal()):
        waiting = asyncio.ensure_future(access.alone(signal).__aenter__())
        behind = asyncio.ensure_future(access.shared(AbortSignal()).__aenter__())
        await asyncio.sleep(0)
        signal.abort()
        with pytest.raises(ModelpressError, match="abort"):
            await waiting
    await behind
    assert access.sharing == 1
