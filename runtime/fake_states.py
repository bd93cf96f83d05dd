"""The states of a recurrent model on the fake device: the tokens that each has read."""

from __future__ import annotations

from collections.abc import Sequence

from .plan import KEPT_STATES, STATE_RING

Read = tuple[int, ...]


class FakeStates:
    """A ring by position, and what was kept. A place that nothing was left in holds another state,
    so that whoever begins there computes nonsense, as on a real device."""

    def __init__(self) -> None:
        self._ring: dict[int, Read] = {}
        self._kept: dict[int, Read] = {}

    def read(self, tokens: Sequence[int], position: int) -> Read:
        """All that was read once these tokens are, from `position` on."""
        before = self._ring.get(position % STATE_RING, (0,)) if position else ()
        after = (*before, *tokens)
        self._ring[(position + len(tokens)) % STATE_RING] = after
        return after

    def save(self, position: int, slot: int) -> None:
        assert 0 <= slot < KEPT_STATES, f"there is no slot {slot}"
        self._kept[slot] = self._ring.get(position % STATE_RING, (0,))

    def restore(self, position: int, slot: int) -> None:
        assert 0 <= slot < KEPT_STATES, f"there is no slot {slot}"
        self._ring[position % STATE_RING] = self._kept.get(slot, (0,))
