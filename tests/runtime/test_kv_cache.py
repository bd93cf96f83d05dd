"""Pages, the page table, and what is known to be cached."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import ModelpressError
from runtime.kv_cache import KvCache, PagePool, TableCopy, num_cached


def filled(pool: PagePool, tokens: list[int], size: int = 4) -> KvCache:
    """A sequence that has computed `tokens`, but for those it found."""
    cache = KvCache(pool, size)
    found = cache.begin(tokens)
    cache.reserve(len(tokens))
    cache.append(tokens[found:])
    return cache


def test_an_ended_sequence_leaves_full_pages_and_its_tail_to_the_next() -> None:
    pool = PagePool(4)
    filled(pool, [1, 2, 3, 4, 5, 6]).end()
    assert pool.num_free == 4
    assert num_cached(pool, 4, [1, 2, 3, 4, 5, 6, 7]) == 6
    assert num_cached(pool, 4, [1, 2, 3, 4, 5, 9]) == 5
    assert num_cached(pool, 4, [1, 2, 3, 9, 5]) == 0  # a full page is held whole or not at all
    assert num_cached(pool, 4, [9]) == 0


def test_sequences_with_the_same_beginning_hold_the_same_pages() -> None:
    pool = PagePool(6)
    first = filled(pool, [1, 2, 3, 4, 5, 6, 7, 8, 9])
    second = filled(pool, [1, 2, 3, 4, 5, 6, 7, 8, 0])
    assert first.table[:2] == second.table[:2] and first.table[2] != second.table[2]
    assert pool.num_free == 2
    first.end()
    assert pool.num_free == 3
    assert KvCache(pool, 4).begin([1, 2, 3, 4, 5, 6, 7, 8, 9]) == 9


def test_a_page_depends_on_all_that_comes_before_it() -> None:
    pool = PagePool(4)
    filled(pool, [1, 1, 1, 1, 2, 2, 2, 2]).end()
    assert num_cached(pool, 4, [2, 2, 2, 2]) == 0
    assert num_cached(pool, 4, [3, 1, 1, 1, 2, 2, 2, 2]) == 0


def test_a_tail_is_taken_over_by_one_sequence_only() -> None:
    pool = PagePool(4)
    filled(pool, [1, 2, 3]).end()
    first, second = KvCache(pool, 4), KvCache(pool, 4)
    assert (first.begin([1, 2, 7]), second.begin([1, 2, 7])) == (2, 0)


def test_the_least_recently_used_pages_are_evicted_first() -> None:
    pool = PagePool(4)
    filled(pool, [1] * 8).end()
    filled(pool, [2] * 8).end()
    filled(pool, [1] * 8).end()
    new = filled(pool, [3] * 4)
    assert (num_cached(pool, 4, [1] * 8), num_cached(pool, 4, [2] * 8)) == (8, 4)
    new.reserve(16)
    assert (num_cached(pool, 4, [1] * 8), num_cached(pool, 4, [2] * 8)) == (0, 0)


def test_positions_reserved_ahead_are_not_cached() -> None:
    pool = PagePool(3)
    cache = KvCache(pool, 4)
    cache.reserve(9)
    cache.append([1])
    cache.end()
    assert (pool.num_free, num_cached(pool, 4, [1, 2])) == (3, 1)


def test_only_new_entries_of_the_table_are_written_and_once() -> None:
    pool = PagePool(4)
    cache, copy = KvCache(pool, 2), TableCopy()
    cache.reserve(3)
    assert copy.unsynced(cache) == (0, array("i", cache.table))
    assert copy.unsynced(cache) is None
    cache.reserve(5)
    assert copy.unsynced(cache) == (2, array("i", cache.table[2:]))
    other = KvCache(pool, 2)
    other.reserve(1)
    assert copy.unsynced(other) == (0, array("i", other.table))
    assert copy.unsynced(cache) == (0, array("i", cache.table))


def test_a_full_pool_is_out_of_memory_with_the_number_of_pages() -> None:
    cache = KvCache(PagePool(2), 2)
    with pytest.raises(ModelpressError) as caught:
        cache.reserve(5)
    assert (caught.value.code, caught.value.details["pages"]) == ("out_of_memory", 2)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(0, 14)), max_size=40))
def test_what_is_found_is_what_was_computed_and_no_page_is_lost(
    moves: list[tuple[int, int, int]],
) -> None:
    """Three sequences come and go over few pages; `written` is what the device would hold."""
    pool, size = PagePool(10), 4
    running: dict[int, KvCache] = {}
    written: dict[int, int] = {}
    for name, token, length in moves:
        if name in running:
            running.pop(name).end()
        tokens = [token if i < 6 else i for i in range(length)]
        cache = KvCache(pool, size)
        found = cache.begin(tokens)
        try:
            cache.reserve(length)
        except ModelpressError:
            cache.end()
            continue
        at = [cache.table[i // size] * size + i % size for i in range(length)]
        assert [written[slot] for slot in at[:found]] == tokens[:found]
        written |= dict(zip(at[found:], tokens[found:], strict=True))
        cache.append(tokens[found:])
        running[name] = cache
        held = {page for other in running.values() for page in other.table}
        assert pool.num_free + len(held) == pool.count
