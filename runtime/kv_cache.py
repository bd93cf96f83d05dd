"""The KV cache as the host sees it: pages, who holds them, and which tokens they are known to hold.

Position p of a sequence lives in slot `p % page_size` of page `table[p // page_size]`. The device
holds keys and values; this file only knows which tokens they were computed from.

A full page never changes again and is known by a chained hash of all tokens up to its end, so that
any sequence that begins with the same tokens can hold it too. A sequence that ends leaves its pages
in the pool, unheld; what is wanted again is found there, and the least recently used are taken
first when others are needed. The last page of an ended sequence, partly filled, is handed to the
next one that goes on from it; nobody else holds it, so nothing is copied.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from .errors import ModelpressError

ROOT = bytes(16)
"""The key of the empty sequence."""


def page_key(before: bytes, tokens: Sequence[int]) -> bytes:
    """What a page is known by: its tokens, and the key of the page before it."""
    return blake2b(before + array("i", tokens).tobytes(), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class _Tail:
    """A partly filled page that nobody holds: its tokens, which follow the page of key `before`."""

    before: bytes
    tokens: tuple[int, ...]


class PagePool:
    """The pages of one device buffer; blank ones are given out first, the lowest numbers first."""

    __slots__ = ("_blank", "_holders", "_idle", "_keys", "_pages", "_tails", "count")

    def __init__(self, count: int) -> None:
        self.count = count
        self._blank = list(range(count - 1, -1, -1))
        self._holders = [0] * count
        self._idle: OrderedDict[int, _Tail | None] = OrderedDict()
        self._keys: dict[int, bytes] = {}
        self._pages: dict[bytes, int] = {}
        self._tails: dict[bytes, int] = {}

    @property
    def num_free(self) -> int:
        """Pages nobody holds."""
        return len(self._blank) + len(self._idle)

    def find(self, key: bytes) -> int | None:
        """The full page of that key, held or not."""
        return self._pages.get(key)

    def tail(self, before: bytes, tokens: Sequence[int]) -> int:
        """How many of `tokens` the unheld partly filled page behind `before` begins with."""
        page = self._tails.get(before)
        tail = None if page is None else self._idle[page]
        return 0 if tail is None else _common(tail.tokens, tokens)

    def hold(self, page: int) -> None:
        """One more sequence has `page`, a full one."""
        self._idle.pop(page, None)
        self._holders[page] += 1

    def adopt(self, before: bytes) -> int:
        """The partly filled page behind `before`, from now on its caller's alone."""
        page = self._tails.pop(before)
        del self._idle[page]
        self._holders[page] = 1
        return page

    def take(self) -> int:
        """A page to fill; ModelpressError "out_of_memory" when every one is held."""
        if not self._blank and not self._idle:
            raise ModelpressError(
                "out_of_memory",
                f"all {self.count} pages of the KV cache are in use; "
                "start a new chat or load the model with a larger context",
                details={"pages": self.count},
            )
        page = self._blank.pop() if self._blank else self._evict()
        self._holders[page] = 1
        return page

    def keep(self, page: int, key: bytes) -> None:
        """`page` is full and known by `key`, unless another page is already."""
        if key not in self._pages:
            self._pages[key] = page
            self._keys[page] = key

    def give_back(self, pages: Sequence[int]) -> None:
        """A sequence has done with `pages`, in its order; the last are the first to be evicted."""
        for page in reversed(pages):
            self._holders[page] -= 1
            assert self._holders[page] >= 0
            if self._holders[page]:
                continue
            if page in self._keys:
                self._idle[page] = None
            else:
                self._blank.append(page)

    def give_back_tail(self, page: int, before: bytes, tokens: Sequence[int]) -> None:
        """A sequence has done with its last page, which holds `tokens` and is not full."""
        older = self._tails.pop(before, None)
        if older is not None:
            del self._idle[older]
            self._blank.append(older)
        self._holders[page] -= 1
        assert self._holders[page] == 0
        self._tails[before] = page
        self._idle[page] = _Tail(before, tuple(tokens))

    def _evict(self) -> int:
        page, tail = self._idle.popitem(last=False)
        if tail is not None:
            del self._tails[tail.before]
        else:
            del self._pages[self._keys.pop(page)]
        return page


class KvCache:
    """One sequence's pages and the tokens known to be cached in them.

    `tokens` are the positions whose keys and values are surely written. Pages may reach further:
    `reserve` runs ahead of the device, `append` follows what the device has confirmed.
    """

    __slots__ = ("_keys", "_pool", "page_size", "table", "tokens")

    def __init__(self, pool: PagePool, page_size: int) -> None:
        assert page_size > 0
        self._pool = pool
        self._keys: list[bytes] = []
        self.page_size = page_size
        self.table: list[int] = []
        self.tokens: list[int] = []

    def begin(self, tokens: Sequence[int]) -> int:
        """Hold what the pool has of the first tokens; how many those are."""
        assert not self.table
        size = self.page_size
        pages, keys, partial = _search(self._pool, tokens, size)
        for page in pages:
            self._pool.hold(page)
        if partial:
            pages.append(self._pool.adopt(keys[-1] if keys else ROOT))
        self.table, self._keys = pages, keys
        self.tokens = list(tokens[: len(keys) * size + partial])
        return len(self.tokens)

    def reserve(self, length: int) -> None:
        """Make sure positions 0..length-1 have pages; "out_of_memory" when they cannot."""
        while len(self.table) * self.page_size < length:
            self.table.append(self._pool.take())

    def append(self, tokens: Sequence[int]) -> None:
        """Record tokens whose positions the device has written, following those before."""
        assert len(self.tokens) + len(tokens) <= len(self.table) * self.page_size
        self.tokens.extend(tokens)
        while (len(self._keys) + 1) * self.page_size <= len(self.tokens):
            index = len(self._keys)
            content = self.tokens[index * self.page_size : (index + 1) * self.page_size]
            self._keys.append(page_key(self._keys[-1] if self._keys else ROOT, content))
            self._pool.keep(self.table[index], self._keys[-1])

    def end(self) -> None:
        """Give every page back, with what is known of them; nothing is held afterwards."""
        full = len(self._keys)
        rest = self.tokens[full * self.page_size :]
        pages = list(self.table)
        self._pool.give_back(pages[full + (1 if rest else 0) :])
        if rest:
            before = self._keys[-1] if self._keys else ROOT
            self._pool.give_back_tail(pages[full], before, rest)
        self._pool.give_back(pages[:full])
        self.table, self.tokens, self._keys = [], [], []


def num_cached(pool: PagePool, page_size: int, tokens: Sequence[int]) -> int:
    """Leading tokens of `tokens` that a sequence would find in the pool."""
    _, keys, partial = _search(pool, tokens, page_size)
    return len(keys) * page_size + partial


def _search(pool: PagePool, tokens: Sequence[int], size: int) -> tuple[list[int], list[bytes], int]:
    """The full pages that `tokens` begin with, their keys, and how far a tail goes on from them."""
    pages: list[int] = []
    keys: list[bytes] = []
    before = ROOT
    for start in range(0, len(tokens) - size + 1, size):
        key = page_key(before, tokens[start : start + size])
        page = pool.find(key)
        if page is None:
            break
        pages.append(page)
        keys.append(key)
        before = key
    start = len(keys) * size
    return pages, keys, pool.tail(before, tokens[start : start + size])


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    length = 0
    for ours, theirs in zip(left, right, strict=False):
        if ours != theirs:
            break
        length += 1
    return length


class TableCopy:
    """The device's copy of one page table: whose it is, and how much of it is there.

    A sequence's own table only ever grows while it runs.
    """

    __slots__ = ("_count", "_owner")

    def __init__(self) -> None:
        self._owner: KvCache | None = None
        self._count = 0

    def unsynced(self, cache: KvCache) -> tuple[int, array[int]] | None:
        """First entry and entries to write so that the copy is `cache`'s; None when it is."""
        start = self._count if self._owner is cache else 0
        self._owner, self._count = cache, len(cache.table)
        return None if start == self._count else (start, array("i", cache.table[start:]))

    def covers(self, cache: KvCache, position: int) -> bool:
        """Whether the copy is `cache`'s and has a page for `position`."""
        return self._owner is cache and position < self._count * cache.page_size

    def forget(self) -> None:
        """Something else was written there."""
        self._owner = None
