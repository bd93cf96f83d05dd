"""The states of recurrent models as the host sees them: what each has read, and where it is.

Keys and values of a position stay what they are, so pages can be taken up anywhere; a state goes on
with every token, and can be taken up only where one was left (see `plan.py`). The newest ones lie
in a ring by position, whatever steps were queued beyond a stop. A few are kept, by copying: of each
prompt one shortly before its end, which the same prompt again or the next turn begins with.

It knows entries and tokens; neither pages nor what comes next.
"""

from __future__ import annotations

from collections.abc import Sequence as Tokens
from typing import NamedTuple, Protocol

from .executor import Executor
from .plan import KEPT_STATES, STATE_RING, Plan

BEHIND = 8
"""Tokens that a template may write at the end of a prompt and not again in the next turn."""


class _State(NamedTuple):
    """What has read the first `length` of `tokens`, as far as those are known by now."""

    tokens: Tokens[int]
    length: int

    def begins(self, tokens: Tokens[int], limit: int) -> bool:
        """Whether `tokens` begin with what it has read, which is not more than `limit`."""
        length = self.length
        if not 0 < length <= min(limit, len(self.tokens)):
            return False
        return list(self.tokens[:length]) == list(tokens[:length])


class States(Protocol):
    """What a model has besides pages."""

    def usable(self, tokens: Tokens[int], cached: int) -> int:
        """How many of the `cached` first tokens need not be computed again."""
        ...

    def take_up(self, tokens: Tokens[int], cached: int) -> int:
        """The same, and have the device go on from there."""
        ...

    def leave(self, tokens: Tokens[int], length: int) -> None:
        """A step is queued that will have read the first `length` of `tokens`, a list that grows
        as they become known."""
        ...

    def mark(self, start: int, length: int) -> int:
        """Where to keep a state while the tokens from `start` to `length` are read; 0 for
        nowhere."""
        ...

    def keep(self, tokens: Tokens[int], length: int) -> None:
        """Keep the state that has read the first `length` of `tokens`, the newest one queued."""
        ...

    def put_aside(self, tokens: Tokens[int]) -> None:
        """Keep the newest state that has read a part of `tokens`: others' steps come next."""
        ...

    def forget(self) -> None:
        """Somebody else has queued steps."""
        ...


class NoStates:
    """Of a model that has none."""

    def usable(self, tokens: Tokens[int], cached: int) -> int:
        return cached

    def take_up(self, tokens: Tokens[int], cached: int) -> int:
        return cached

    def leave(self, tokens: Tokens[int], length: int) -> None:
        return None

    def mark(self, start: int, length: int) -> int:
        return 0

    def keep(self, tokens: Tokens[int], length: int) -> None:
        return None

    def put_aside(self, tokens: Tokens[int]) -> None:
        return None

    def forget(self) -> None:
        return None


class DeviceStates:
    """Those of one device. Steps are queued in order, so what is said of a queued step is true for
    all that are queued after it."""

    def __init__(self, plan: Plan, executor: Executor) -> None:
        self._executor, self._page_size = executor, plan.page_size
        self._ring: dict[int, _State] = {}
        self._kept: dict[int, _State] = {}
        """By slot, the one used least recently first."""

    def usable(self, tokens: Tokens[int], cached: int) -> int:
        states = (*self._ring.values(), *self._kept.values())
        return max((s.length for s in states if s.begins(tokens, cached)), default=0)

    def take_up(self, tokens: Tokens[int], cached: int) -> int:
        length = self.usable(tokens, cached)
        if not length:
            return 0
        place = length % STATE_RING
        newest = self._ring.get(place)
        if newest is not None and newest.length == length and newest.begins(tokens, cached):
            # Kept ones end with a page, so that another turn in the place of this finds pages too.
            self._use([s for s, kept in self._kept.items() if kept.begins(tokens, cached)])
            return length
        slot = self._slot(tokens, length)
        assert slot is not None
        self._executor.submit(("restore",), {"pos": length, "slot": slot})
        self._use([slot])
        self._ring[place] = self._kept[slot]
        return length

    def _use(self, slots: Tokens[int]) -> None:
        """Those were used just now, the one that has read most last."""
        for slot in sorted(slots, key=lambda slot: self._kept[slot].length):
            self._kept[slot] = self._kept.pop(slot)

    def _slot(self, tokens: Tokens[int], length: int) -> int | None:
        """Where the state that has read the first `length` of `tokens` is kept."""
        for slot, state in self._kept.items():
            if state.length == length and state.begins(tokens, length):
                return slot
        return None

    def leave(self, tokens: Tokens[int], length: int) -> None:
        self._ring[length % STATE_RING] = _State(tokens, length)

    def mark(self, start: int, length: int) -> int:
        place = (length - BEHIND) // self._page_size * self._page_size
        return place if place > start else 0

    def keep(self, tokens: Tokens[int], length: int) -> None:
        slot = self._slot(tokens, length)
        if slot is not None:
            self._use([slot])
            return
        free = [slot for slot in range(KEPT_STATES) if slot not in self._kept]
        slot = free[0] if free else next(iter(self._kept))
        self._executor.submit(("save",), {"pos": length, "slot": slot})
        self._kept.pop(slot, None)
        self._kept[slot] = _State(tuple(tokens[:length]), length)

    def put_aside(self, tokens: Tokens[int]) -> None:
        found = [s.length for s in self._ring.values() if s.begins(tokens, len(tokens))]
        if found:
            self.keep(tokens, max(found))

    def forget(self) -> None:
        self._ring.clear()


def states_of(plan: Plan, executor: Executor) -> States:
    """What the host has to know of a plan's states."""
    return DeviceStates(plan, executor) if plan.recurrent else NoStates()
