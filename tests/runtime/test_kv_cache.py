"""Pages, the page table, and what is known to be cached."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import ModelpressError
from runtime.kv_cache import KvCache, PagePool


def test_a_follow_up_shares_the_longest_common_prefix() -> None:
    cache = KvCache(PagePool(4), 4)
    cache.reserve(6)
    cache.append([1, 2, 3, 4, 5, 6])
    assert cache.common_prefix([1, 2, 3, 9, 5]) == 3
    assert cache.common_prefix([1, 2, 3, 4, 5, 6, 7]) == 6
    assert cache.common_prefix([9]) == 0


def test_truncation_frees_whole_pages_and_keeps_the_partial_one() -> None:
    pool = PagePool(3)
    cache = KvCache(pool, 4)
    cache.reserve(12)
    cache.append(range(12))
    cache.truncate(5)
    assert (len(cache.table), pool.num_free, cache.tokens) == (2, 1, [0, 1, 2, 3, 4])


def test_pages_reserved_ahead_are_freed_by_truncation_too() -> None:
    pool = PagePool(3)
    cache = KvCache(pool, 4)
    cache.reserve(9)
    cache.append([1])
    cache.truncate(1)
    assert pool.num_free == 2


def test_only_new_entries_of_the_table_are_written_and_once() -> None:
    cache = KvCache(PagePool(4), 2)
    cache.reserve(3)
    assert cache.unsynced() == (0, struct.pack("<2i", *cache.table))
    assert cache.unsynced() is None
    cache.reserve(5)
    assert cache.unsynced() == (8, struct.pack("<i", cache.table[2]))


def test_a_full_pool_is_out_of_memory_with_the_number_of_pages() -> None:
    cache = KvCache(PagePool(2), 2)
    with pytest.raises(ModelpressError) as caught:
        cache.reserve(5)
    assert (caught.value.code, caught.value.details["pages"]) == ("out_of_memory", 2)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=40))
def test_no_page_is_ever_held_twice_or_lost(moves: list[tuple[bool, int]]) -> None:
    pool = PagePool(10)
    cache, other = KvCache(pool, 4), KvCache(pool, 4)
    other.reserve(7)
    for grow, length in moves:
        if grow and length <= cache.capacity:
            cache.reserve(length)
        else:
            cache.truncate(length)
        held = cache.table + other.table
        assert len(set(held)) == len(held)
        assert len(held) + pool.num_free == 10
