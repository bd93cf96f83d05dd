"""`argmax`, `sample`, `count` and `reset` against numpy; the generator's own statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hub.kernels import PROFILES, KernelSequence, Op, dispatches, kernel_for
from hub.kernels import reference_sampling as reference
from hub.kernels.reference_sampling import PROMPT_BIT, Sampler
from tests.hub.kernels.adapter_process import AdapterProcess
from tests.hub.kernels.trial import Trial, normal

Array = NDArray[Any]

SAMPLERS = {
    "plain": Sampler(seed=5),
    "cold": Sampler(temperature=0.05, seed=6),
    "hot": Sampler(temperature=3.0, seed=2**63 + 12345),
    "top-k": Sampler(temperature=0.8, top_k=40, seed=7),
    "top-k-1": Sampler(top_k=1, seed=8),
    "top-p": Sampler(temperature=1.4, top_p=0.9, seed=9),
    "top-p-tiny": Sampler(top_p=1e-4, seed=10),
    "min-p": Sampler(temperature=2.0, min_p=0.1, seed=11),
    "penalties": Sampler(
        frequency_penalty=0.3, presence_penalty=-0.4, repetition_penalty=1.3, seed=12
    ),
    "everything": Sampler(
        temperature=0.9,
        top_p=0.8,
        min_p=0.02,
        frequency_penalty=0.2,
        presence_penalty=0.1,
        repetition_penalty=1.1,
        top_k=100,
        seed=2**40 + 3,
    ),
}
VOCABS = (5, 1000, 70001)
TIE = 2e-5
"""Differences of scores, and of masses, that float32 may decide either way."""


def random_counts(rng: np.random.Generator, vocab: int) -> Array:
    generated = np.where(rng.random(vocab) < 0.1, rng.integers(1, 5, vocab), 0).astype(np.uint32)
    prompt = (rng.random(vocab) < 0.1).astype(np.uint32) * PROMPT_BIT
    return np.asarray(generated | prompt)


@pytest.mark.parametrize("vocab", VOCABS)
def test_argmax_is_the_lowest_index_among_equals(trial: Trial, vocab: int) -> None:
    rng = np.random.default_rng(vocab)
    for trick in range(6):
        logits = normal(rng, vocab)
        if trick == 1:
            logits[rng.integers(0, vocab, 3)] = logits.max() + 1
        elif trick == 2:
            logits[:] = -np.abs(logits) - 1e30
        elif trick == 3:
            logits[rng.random(vocab) < 0.5] = np.nan
        elif trick == 4:
            logits[:] = 0
            logits[: vocab // 2] = -0.0
        elif trick == 5:
            logits[:] = -np.inf
        (token,) = trial.run("argmax", [logits, np.zeros(1, np.int32)], attrs={"vocab": vocab})
        assert token[0] == reference.argmax(logits), trick


@pytest.mark.parametrize("vocab", [1, 1023, 1024, 1025, 128256, 262144, 300001])
def test_argmax_of_equals_in_other_workgroups_is_the_first(trial: Trial, vocab: int) -> None:
    """Workgroups take 1024 tokens or more: neighbours of these bounds meet in the second step."""
    rng = np.random.default_rng(vocab)
    bounds = [0, 255, 256, 1023, 1024, 1279, 1280, vocab // 2, vocab - 1025, vocab - 2, vocab - 1]
    places = sorted({place for place in bounds if 0 <= place < vocab})
    for skip in range(0, len(places), 3):
        logits = normal(rng, vocab)
        logits[places[skip:]] = 9
        (token,) = trial.run("argmax", [logits, np.zeros(1, np.int32)], attrs={"vocab": vocab})
        assert token[0] == places[skip]
    logits[:] = np.nan
    (token,) = trial.run("argmax", [logits, np.zeros(1, np.int32)], attrs={"vocab": vocab})
    assert token[0] == 0


@pytest.mark.parametrize("vocab", VOCABS)
def test_sample_draws_the_reference_token(trial: Trial, vocab: int) -> None:
    """A different token is allowed only where the reference says that rounding may decide."""
    rng = np.random.default_rng(vocab)
    drawn = ties = 0
    for name, sampler in SAMPLERS.items():
        for pos in range(2 if vocab > 5000 else 6):
            logits = normal(rng, vocab) * 4
            counts = random_counts(rng, vocab)
            draw = reference.sample(logits, sampler, counts, pos=pos)
            left, token = trial.run(
                "sample",
                [logits, sampler.words(), counts, np.zeros(1, np.int32)],
                attrs={"vocab": vocab},
                pos=pos,
            )
            drawn += 1
            if token[0] != draw.token:
                ties += 1
                assert min(draw.margin, draw.edge) < TIE, (name, pos, int(token[0]), draw)
            counts[token[0]] += 1
            assert (left == counts).all(), (name, pos)
    print(f"{ties} of {drawn} draws decided by rounding")
    assert ties <= max(1, drawn // 25)


CUTS = {
    "none": Sampler(temperature=0.7, seed=21),
    "usual": Sampler(temperature=0.7, top_p=0.95, seed=22),
    "narrow": Sampler(temperature=0.7, top_p=0.1, seed=23),
    "almost-all": Sampler(top_p=0.9999999, seed=24),
    "top-k-1": Sampler(top_k=1, seed=25),
    "top-k-40": Sampler(temperature=0.7, top_k=40, top_p=0.95, seed=26),
    "top-k-3000": Sampler(top_k=3000, top_p=0.95, min_p=1e-4, seed=27),
    "min-p": Sampler(temperature=0.7, min_p=0.05, seed=28),
    "min-p-in-nucleus": Sampler(temperature=1.5, top_p=0.95, min_p=0.02, seed=29),
    "penalties": Sampler(
        top_p=0.95, frequency_penalty=0.3, presence_penalty=-0.4, repetition_penalty=1.3, seed=30
    ),
    "more-than-all": Sampler(top_k=2**20, top_p=0.999999, min_p=1e-6, seed=31),
    "sliver": Sampler(temperature=0.7, top_p=1e-4, min_p=0.5, seed=32),
}
FORMS = ("flat", "equal", "zipf", "peaked", "certain")
LARGE = [
    pytest.param(("lavapipe", name), id=name, marks=pytest.mark.gpu)
    for name in ("software", "base")
]
ODD_FORMS = ("two-valued", "lifted", "masked", "huge")
"""Bins of equal width part these badly, or logits are no usual numbers."""


def shaped(rng: np.random.Generator, form: str, vocab: int) -> Array:
    """Logits of a form: how much of the mass a few tokens have."""
    if form == "flat":
        return normal(rng, vocab) * 0.01
    if form == "equal":
        return np.full(vocab, -2.5, np.float32)
    if form == "zipf":
        return np.asarray(-1.3 * np.log(1 + rng.permutation(vocab)), np.float32)
    if form == "two-valued":
        return np.where(rng.random(vocab) < 0.2, 0.01, 0).astype(np.float32)
    if form == "lifted":
        return np.where(np.arange(vocab) == 77, 3, normal(rng, vocab) * 0.01).astype(np.float32)
    if form == "masked":
        return np.where(rng.random(vocab) < 0.9, -np.inf, normal(rng, vocab)).astype(np.float32)
    if form == "huge":
        large = normal(rng, vocab) * 1e37
        return np.where(rng.random(vocab) < 0.5, -1e38, large).astype(np.float32)
    logits = normal(rng, vocab) * 2
    logits[rng.integers(0, vocab, 6)] += 14 if form == "peaked" else 200
    return logits


def test_all_profiles_of_a_gpu_share_the_texts() -> None:
    """So that one of them stands for all where trying is slow."""
    names = [name for name, profile in PROFILES.items() if not profile.software]
    bodies = set()
    for name in names:
        kernel = kernel_for(Op("sample", {"vocab": 50000}), PROFILES[name])
        assert kernel is not None
        bodies.add(tuple(part.wgsl.split("\n", 1)[1] for part in dispatches(kernel)))
    assert len(names) > 1 and len(bodies) == 1


@pytest.mark.parametrize("trial", LARGE, indirect=True)
@pytest.mark.parametrize(("form", "vocab"), [*((f, 151936) for f in FORMS), ("peaked", 262144)])
def test_a_large_vocabulary_is_cut_where_the_reference_cuts_it(
    trial: Trial, form: str, vocab: int
) -> None:
    check_cuts(trial, form, vocab)


@pytest.mark.parametrize("form", ODD_FORMS)
def test_odd_logits_are_cut_where_the_reference_cuts_them(base_trial: Trial, form: str) -> None:
    check_cuts(base_trial, form, 50000)


def check_cuts(trial: Trial, form: str, vocab: int) -> None:
    rng = np.random.default_rng(vocab + len(form))
    counts = random_counts(rng, vocab)
    ties = 0
    for name, sampler in CUTS.items():
        logits = shaped(rng, form, vocab)
        draw = reference.sample(logits, sampler, counts, pos=7)
        arrays = [logits, sampler.words(), counts, np.zeros(1, np.int32)]
        left, token = trial.run("sample", arrays, attrs={"vocab": vocab}, pos=7)
        if token[0] != draw.token:
            ties += 1
            assert min(draw.margin, draw.edge) < TIE, (name, int(token[0]), draw)
        counts[token[0]] += 1
        assert (left == counts).all(), name
    assert ties <= 1


@pytest.mark.parametrize("filling", [-np.inf, np.nan])
def test_where_nothing_can_be_drawn_the_token_is_one_of_the_vocabulary(
    base_trial: Trial, filling: float
) -> None:
    for sampler in (CUTS["none"], CUTS["usual"], CUTS["top-k-40"]):
        arrays = [np.full(1000, filling, np.float32), sampler.words()]
        arrays += [np.zeros(1000, np.uint32), np.zeros(1, np.int32)]
        left, token = base_trial.run("sample", arrays, attrs={"vocab": 1000}, pos=7)
        assert 0 <= token[0] < 1000 and left[token[0]] == 1 == left.sum()


@pytest.mark.gpu
@pytest.mark.parametrize("form", FORMS)
def test_bins_hold_all_that_may_be_drawn(adapters: dict[str, AdapterProcess], form: str) -> None:
    """In the order of the values, with what the last step wants to know of them."""
    vocab, lavapipe = 50000, adapters["lavapipe"]
    rng = np.random.default_rng(len(form))
    logits, counts = shaped(rng, form, vocab), random_counts(rng, vocab)
    kernel = kernel_for(Op("sample", {"vocab": vocab}), PROFILES["base"])
    assert isinstance(kernel, KernelSequence)
    (adjust, _), (sort, _), _ = kernel.kernels
    sizes = kernel.scratch_nbytes({})
    scratch = [np.full(nbytes // 4, 0xA5A5A5A5, np.uint32) for nbytes in sizes]
    for name, sampler in CUTS.items():
        words = sampler.words()
        made = lavapipe.run(adjust, [logits, words, counts, *scratch[:2], scratch[4]], {"pos": 7})
        operands = [words, *made[:2], *scratch[2:4], made[2]]
        found = [lavapipe.run(sort, operands, {"pos": 7}) for _ in range(2)]
        bins = Bins.read(*found[0])
        assert (found[0][1] == found[1][1]).all() and (found[0][2] == found[1][2]).all()
        assert len(set(bins.tokens)) == len(bins.tokens), name
        lost = np.setdiff1d(np.flatnonzero(reference.allowed(logits, sampler, counts)), bins.tokens)
        # What is 80 below the peak is never drawn, even where there are fewer than k others.
        assert not len(lost) or made[0].view(np.float32)[lost].max() < bins.peak - 80, name
        bins.check(made[0].view(np.float32)[:vocab], reference.gumbel(vocab, sampler.seed, 7))


@dataclass(frozen=True, slots=True)
class Bins:
    """What the second step found: tokens of all workgroups with the numbers of their bins."""

    tokens: Array
    numbers: Array
    table: Array
    tally: Array

    @classmethod
    def read(cls, sorted_: Array, table: Array, tally: Array) -> Bins:
        rows = table.reshape(-1, 256, 4)
        places = sorted_.reshape(len(rows), -1, 2)[:, :, 1]
        assert (rows[:, 0, 0] == 0).all() and (rows[:, 1:, 0] == rows[:, :-1, 1]).all()
        tokens = np.concatenate([p[:n] for p, n in zip(places, rows[:, -1, 1], strict=True)])
        each = [np.repeat(np.arange(256), row[:, 1] - row[:, 0]) for row in rows]
        return cls(tokens, np.concatenate(each), rows, tally)

    @property
    def peak(self) -> float:
        return float(self.tally[512:513].view(np.float32)[0])

    def check(self, values: Array, noise: Array) -> None:
        """Against the adjusted values and the noise of all tokens."""
        mine, weights = values[self.tokens], np.exp(values[self.tokens].astype(float) - self.peak)
        assert (np.diff(mine[np.lexsort((-mine, self.numbers))]) <= 0).all()
        assert (self.tally[:256] == np.bincount(self.numbers, minlength=256)).all()
        mass = np.exp(values.astype(float) - self.peak).sum()
        masses = np.bincount(self.numbers, weights / mass, 256)
        assert np.abs(self.tally[256:512] / 4.29e9 - masses).max() < 1e-6
        for bin_ in (1, 100, 255):
            before = self.numbers < bin_
            best = self.table[:, bin_, 2].argmax()
            assert before.any() == (self.table[best, bin_, 2] > 0)
            scores = mine[before] + noise[self.tokens[before]]
            token = self.table[best, bin_, 3]
            assert not before.any() or scores.max() - (values[token] + noise[token]) < TIE


def test_a_draw_depends_on_seed_and_position_alone(trial: Trial) -> None:
    logits, counts = np.zeros(1000, np.float32), np.zeros(1000, np.uint32)

    def draw(seed: int, pos: int) -> int:
        arrays = [logits, Sampler(seed=seed).words(), counts, np.zeros(1, np.int32)]
        return int(trial.run("sample", arrays, attrs={"vocab": 1000}, pos=pos)[1][0])

    tokens = {(seed, pos): draw(seed, pos) for seed in (1, 1 + 2**32) for pos in range(4)}
    assert all(draw(*key) == token for key, token in tokens.items())
    assert len(set(tokens.values())) >= 7


def test_penalties_tell_prompt_tokens_from_generated_ones(trial: Trial) -> None:
    """A prompt token is penalized for repetition only, a generated one for all three."""
    logits = np.array([10.0, 9.0, 8.0, -20.0], np.float32)
    counts = np.array([PROMPT_BIT, 3, 0, 0], np.uint32)
    cases = {
        Sampler(temperature=0.01): 0,
        Sampler(temperature=0.01, repetition_penalty=1.2): 0,
        Sampler(temperature=0.01, repetition_penalty=2.0): 2,
        Sampler(temperature=0.01, frequency_penalty=5.0, presence_penalty=5.0): 0,
        Sampler(temperature=0.01, frequency_penalty=-0.5): 1,
    }
    for sampler, want in cases.items():
        arrays = [logits, sampler.words(), counts, np.zeros(1, np.int32)]
        assert trial.run("sample", arrays, attrs={"vocab": 4})[1][0] == want, sampler


@pytest.mark.parametrize("n", [1, 64, 100])
def test_count_marks_prompt_tokens_and_keeps_what_was_generated(trial: Trial, n: int) -> None:
    rng = np.random.default_rng(n)
    tokens = rng.integers(0, 300, 128).astype(np.int32)
    counts = random_counts(rng, 300)
    (got,) = trial.run("count", [tokens, counts], attrs={"vocab": 300}, dynamic=True, n=n)
    assert (got == reference.count(tokens[:n], counts)).all()


def test_reset_zeroes_every_count(trial: Trial) -> None:
    (got,) = trial.run("reset", [np.arange(1000, dtype=np.uint32)], attrs={"vocab": 1000})
    assert not got.any()


def test_the_generator_draws_by_the_probabilities() -> None:
    """20,000 positions of an 8-token vocabulary, within five standard deviations each."""
    logits = np.log(np.array([0.4, 0.2, 0.15, 0.1, 0.08, 0.04, 0.02, 0.01]))
    draws = [int(np.argmax(logits + reference.gumbel(8, 99, pos))) for pos in range(20_000)]
    shares = np.bincount(draws, minlength=8) / len(draws)
    deviation = np.sqrt(np.exp(logits) * (1 - np.exp(logits)) / len(draws))
    assert (np.abs(shares - np.exp(logits)) < 5 * deviation).all(), shares


def test_noise_of_neighbouring_tokens_and_positions_is_unrelated() -> None:
    noise = np.stack([reference.gumbel(256, 1, pos) for pos in range(256)])
    assert abs(np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1]) < 0.02
