"""Sampling parameters and the record the device reads."""

from __future__ import annotations

import math
import struct

import pytest

from runtime.errors import ModelpressError
from runtime.sampling import RANGES, SamplingParams


def test_the_record_has_the_layout_the_kernels_read() -> None:
    params = SamplingParams(0.5, 0.9, 40, 0.05, 0.25, -0.5, 1.5, seed=(7 << 32) | 9)
    record = params.record()
    assert len(record) == 64
    reals = struct.unpack("<6f", record[:24])
    assert reals == pytest.approx((0.5, 0.9, 0.05, 0.25, -0.5, 1.5))
    assert struct.unpack("<3I", record[24:36]) == (40, 9, 7)
    assert record[36:] == bytes(28)


def test_without_a_seed_two_records_differ() -> None:
    params = SamplingParams()
    assert params.record()[28:36] != params.record()[28:36]


def test_a_negative_seed_is_a_seed() -> None:
    assert struct.unpack("<Q", SamplingParams(seed=-1).record()[28:36]) == (2**64 - 1,)


def test_temperature_zero_is_greedy_and_with_penalties_the_best_penalized_token() -> None:
    assert SamplingParams(temperature=0.0).entry == "greedy"
    penalized = SamplingParams(temperature=0.0, frequency_penalty=0.5)
    assert penalized.entry == "sample"
    temperature, *_, top_k, _, _ = struct.unpack("<6f3I", penalized.record()[:36])
    assert (temperature, top_k) == (1.0, 1)


@pytest.mark.parametrize("name", [*RANGES, "top_k", "seed"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -1e300, 10**400, "1", True, []])
def test_a_value_out_of_range_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ModelpressError) as caught:
        SamplingParams(**{name: value})  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.details["param"]) == ("bad_request", name)
