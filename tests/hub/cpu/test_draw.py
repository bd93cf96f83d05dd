"""Draws, counts and fills on the processor against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hub.cpu.kernels import CpuProfile
from hub.kernels import Op, reference
from hub.kernels import reference_sampling as sampling
from hub.kernels.reference_logprobs import logprobs
from runtime.logprobs import read_record
from tests.hub.cpu.kernel_trial import Trial

VOCAB = 331
SIZE = {"vocab": VOCAB}
SAMPLE, ARGMAX, COUNT = (
    Op("sample", SIZE),
    Op("argmax", SIZE),
    Op("count", {**SIZE, "n": "n"}),
)
LOGPROBS = Op("logprobs", SIZE)
FILLS: dict[str, dict[str, Any]] = {
    kind: {"kind": kind, "count": 320} | ({"half": 8} if kind == "rope" else {})
    for kind in ("bits", "scales", "halves", "uniform", "ones", "rope")
}


@pytest.fixture(scope="module")
def trial() -> Trial:
    ops = [SAMPLE, ARGMAX, COUNT, LOGPROBS, *(Op("fill", attrs) for attrs in FILLS.values())]
    return Trial(ops, CpuProfile())


def test_draws_are_those_of_the_reference(trial: Trial) -> None:
    random = np.random.default_rng(3)
    compared = 0
    for pos in range(24):
        sampler = sampling.Sampler(
            temperature=float(random.choice([1.0, 0.7, 1.3])),
            top_p=float(random.choice([1.0, 0.9, 0.5])),
            min_p=float(random.choice([0.0, 0.05])),
            top_k=int(random.choice([0, 1, 20])),
            frequency_penalty=float(random.choice([0.0, 0.5])),
            repetition_penalty=float(random.choice([1.0, 1.2])),
            seed=int(random.integers(2**63)),
        )
        logits = random.normal(0, 2, VOCAB).astype(np.float32)
        counts = np.where(random.random(VOCAB) < 0.1, 3, 0).astype(np.uint32)
        wanted = sampling.sample(logits, sampler, counts, pos=pos)
        arrays = [logits, sampler.words(), counts, np.zeros(1, np.int32)]
        _, _, after, token = trial.run(SAMPLE, arrays, pos=pos, parts=1)
        if wanted.margin > 1e-4 and wanted.edge > 1e-5:
            compared += 1
            assert token[0] == wanted.token, (pos, sampler)
        assert after[token[0]] == counts[token[0]] + 1
    assert compared > 15


def test_the_lowest_of_the_largest_is_taken(trial: Trial) -> None:
    logits = np.sin(np.arange(VOCAB)).astype(np.float32)
    logits[[7, 90]] = 2.0
    logits[3] = np.nan
    _, token = trial.run(ARGMAX, [logits, np.zeros(1, np.int32)], parts=1)
    assert token[0] == 7


def test_prompt_tokens_are_marked(trial: Trial) -> None:
    tokens, counts = np.array([5, VOCAB - 1, 5, 8], np.int32), np.ones(VOCAB, np.uint32)
    _, found = trial.run(COUNT, [tokens, counts], n=3, parts=1)
    assert np.array_equal(found, sampling.count(tokens[:3], counts))


def test_the_likeliest_tokens_are_recorded(trial: Trial) -> None:
    logits = np.random.default_rng(5).normal(0, 3, VOCAB).astype(np.float32)
    logits[40] = logits[9]
    _, record = trial.run(LOGPROBS, [logits, np.zeros(42, np.uint32)], parts=1)
    found, wanted = (read_record(r.tobytes(), top=20) for r in (record, logprobs(logits)))
    assert [token for token, _ in found.top] == [token for token, _ in wanted.top]
    assert found.top[0][1] == pytest.approx(wanted.top[0][1], abs=1e-5)


@pytest.mark.parametrize("kind", FILLS)
def test_synthetic_weights_are_the_same_numbers(trial: Trial, kind: str) -> None:
    attrs = FILLS[kind]
    wanted = reference.fill(attrs["count"], kind=kind, seed=9, half=attrs.get("half", 1))
    (found,) = trial.run(Op("fill", attrs), [np.zeros_like(wanted)], seed=9, parts=1)
    if wanted.dtype == np.float32:
        assert np.abs(found - wanted).max() < 1e-6
    else:
        assert np.array_equal(found, wanted)
