"""`logprobs`, `chosen` and `bias` against numpy, and the record as the engine reads it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hub.kernels import PROFILES, Op, dispatches, kernel_for
from hub.kernels import reference_logprobs as reference
from runtime.logprobs import BIAS_NBYTES, LEAST, TOP, bias_bytes, read_record
from tests.hub.kernels.trial import Trial, normal

Array = NDArray[Any]
WORDS = 2 + 2 * TOP
DEVICES = [
    pytest.param(("lavapipe", "software"), id="lavapipe-software", marks=pytest.mark.gpu),
    pytest.param(("lavapipe", "base"), id="lavapipe-base", marks=pytest.mark.gpu),
    pytest.param(("swiftshader", "base"), id="swiftshader-base", marks=pytest.mark.gpu),
]


def forms(rng: np.random.Generator, vocab: int) -> dict[str, Array]:
    usual = normal(rng, vocab) * 4
    equal = np.full(vocab, -2.5, np.float32)
    odd = usual.copy()
    odd[rng.random(vocab) < 0.5] = np.nan
    odd[rng.random(vocab) < 0.3] = -np.inf
    lifted = usual * 0.01
    lifted[vocab // 2] = 300
    zeros = np.where(rng.random(vocab) < 0.5, 0, -0.0).astype(np.float32)
    return {"usual": usual, "equal": equal, "odd": odd, "lifted": lifted, "zeros": zeros}


@pytest.mark.parametrize("trial", DEVICES, indirect=True)
@pytest.mark.parametrize("vocab", [5, 70001])
def test_the_record_is_that_of_the_reference(trial: Trial, vocab: int) -> None:
    rng = np.random.default_rng(vocab)
    for name, logits in forms(rng, vocab).items():
        before = np.full(WORDS, 7, np.uint32)
        (record,) = trial.run("logprobs", [logits, before], attrs={"vocab": vocab})
        want = reference.logprobs(logits)
        assert record[1] == 7, "the chosen token is another kernel's"
        assert (record[2 + TOP :] == want[2 + TOP :]).all(), name
        values, wanted = record[2 : 2 + TOP].view(np.float32), want[2 : 2 + TOP].view(np.float32)
        assert (values == wanted).all(), name
        total, expected = record[:1].view(np.float32)[0], want[:1].view(np.float32)[0]
        assert abs(total - expected) <= 2e-5 * max(1, abs(expected)), name


def test_no_number_at_all_gives_an_empty_record(base_trial: Trial) -> None:
    logits, record = np.full(1000, np.nan, np.float32), np.zeros(WORDS, np.uint32)
    (found,) = base_trial.run("logprobs", [logits, record], attrs={"vocab": 1000})
    assert (found[2 + TOP :] == 0xFFFFFFFF).all()
    read = read_record(found.tobytes(), top=TOP)
    assert read.top == () and read.chosen <= 0


def test_chosen_puts_the_drawn_tokens_logit_into_the_record(base_trial: Trial) -> None:
    logits = normal(np.random.default_rng(1), 100)
    before = np.arange(WORDS, dtype=np.uint32)
    for token in (0, 42, 99):
        arrays = [logits, np.array([token], np.int32), before]
        (record,) = base_trial.run("chosen", arrays, attrs={"vocab": 100})
        assert (record == reference.chosen(logits, token, before)).all()


def test_bias_is_added_to_its_tokens_and_no_others(base_trial: Trial) -> None:
    logits = normal(np.random.default_rng(2), 3000)
    given = {0: 5.0, 2999: -100.0, 17: 0.25, 3000: 1.0} | {100 + i: i / 8 for i in range(1000)}
    pairs = np.frombuffer(bias_bytes(given), np.uint32)
    assert pairs.nbytes == BIAS_NBYTES
    (changed,) = base_trial.run("bias", [pairs, logits], attrs={"vocab": 3000})
    assert (changed == reference.bias(pairs.reshape(-1, 2), logits)).all()
    assert changed[0] == logits[0] + np.float32(5) and changed[99] == logits[99]


def test_probabilities_read_from_a_record_are_those_of_the_logits() -> None:
    logits = normal(np.random.default_rng(3), 500)
    record = reference.chosen(logits + np.float32(2), 11, reference.logprobs(logits))
    read = read_record(record.tobytes(), top=5, bias=2.0)
    probabilities = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum()
    assert math.isclose(math.exp(read.chosen), probabilities[11], rel_tol=1e-5)
    best = np.argsort(-probabilities)[:5]
    assert [token for token, _ in read.top] == best.tolist()
    assert np.allclose([math.exp(value) for _, value in read.top], probabilities[best], rtol=1e-5)


def test_a_token_that_cannot_be_has_the_least_logarithm() -> None:
    logits = np.array([1, -np.inf], np.float32)
    record = reference.chosen(logits, 1, reference.logprobs(logits))
    read = read_record(record.tobytes(), top=2)
    assert read.chosen == LEAST and read.top == ((0, 0.0), (1, LEAST))


def test_all_profiles_of_a_gpu_share_the_text() -> None:
    """So that those tried stand for all."""
    for name in ("logprobs", "chosen", "bias"):
        texts = set()
        for profile in PROFILES.values():
            kernel = kernel_for(Op(name, {"vocab": 50000}), profile)
            assert kernel is not None
            if name != "logprobs" or not profile.software:
                texts.add(tuple(part.wgsl.split("\n", 1)[1] for part in dispatches(kernel)))
        assert len(texts) == 1, name
