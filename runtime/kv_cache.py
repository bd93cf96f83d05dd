"""The KV cache as the host sees it: pages, the page table, and which tokens they hold.

Position p of the sequence lives in slot `p % page_size` of page `table[p // page_size]`. The device
holds keys and values; this file only knows which token each position was computed from, so that a
follow-up turn computes nothing twice.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from .errors import ModelpressError


class PagePool:
    """The free pages of one device buffer; the lowest numbers are given out first."""

    __slots__ = ("_free", "count")

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = list(range(count - 1, -1, -1))

    @property
    def num_free(self) -> int:
        """Pages nobody holds."""
        return len(self._free)

    def take(self) -> int:
        """A free page; ModelpressError "out_of_memory" when there is none."""
        if not self._free:
            raise ModelpressError(
                "out_of_memory",
                f"all {self.count} pages of the KV cache are in use; "
                "start a new chat or load the model with a larger context",
                details={"pages": self.count},
            )
        return self._free.pop()

    def give_back(self, pages: Sequence[int]) -> None:
        """Return pages, last taken first out again."""
        self._free.extend(reversed(pages))


class KvCache:
    """One sequence's pages and the tokens known to be cached in them.

    `tokens` are the positions whose keys and values are surely written. Pages may reach further:
    `reserve` runs ahead of the device, `append` follows what the device has confirmed.
    """

    __slots__ = ("_pool", "_synced", "page_size", "table", "tokens")

    def __init__(self, pool: PagePool, page_size: int) -> None:
        assert page_size > 0
        self._pool = pool
        self._synced = 0
        self.page_size = page_size
        self.table: list[int] = []
        self.tokens: list[int] = []

    @property
    def capacity(self) -> int:
        """Largest number of positions this sequence can hold, counting free pages."""
        return (len(self.table) + self._pool.num_free) * self.page_size

    def common_prefix(self, tokens: Sequence[int]) -> int:
        """How many leading tokens of `tokens` are already cached."""
        length = 0
        for ours, theirs in zip(self.tokens, tokens, strict=False):
            if ours != theirs:
                break
            length += 1
        return length

    def truncate(self, length: int) -> None:
        """Forget every position from `length` on, cached or reserved, and free whole pages."""
        del self.tokens[length:]
        keep = -(-length // self.page_size)
        self._pool.give_back(self.table[keep:])
        del self.table[keep:]
        self._synced = min(self._synced, keep)

    def reserve(self, length: int) -> None:
        """Make sure positions 0..length-1 have pages; "out_of_memory" when they cannot."""
        while len(self.table) * self.page_size < length:
            self.table.append(self._pool.take())

    def append(self, tokens: Sequence[int]) -> None:
        """Record tokens whose positions the device has written, following those before."""
        assert len(self.tokens) + len(tokens) <= len(self.table) * self.page_size
        self.tokens.extend(tokens)

    def unsynced(self) -> tuple[int, bytes] | None:
        """Byte offset and bytes of the page table's new entries, once; None when there are none."""
        if self._synced == len(self.table):
            return None
        start, self._synced = self._synced, len(self.table)
        return 4 * start, array("i", self.table[start:]).tobytes()
