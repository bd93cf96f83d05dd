"""Sampling in plain numpy: `argmax`, `sample`, `count`, `reset`, as `sampling.py` documents them.

`sample` follows the kernel's order of steps in float64; the kernel's token is the same except
where float32 rounding decides between two tokens, which `Draw.margin` and `Draw.edge` measure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .reference import mix

Array = NDArray[Any]

PROMPT_BIT = np.uint32(0x80000000)


@dataclass(frozen=True, slots=True)
class Sampler:
    """The sampler record; the defaults change nothing."""

    temperature: float = 1.0
    top_p: float = 1.0
    min_p: float = 0.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repetition_penalty: float = 1.0
    top_k: int = 0
    seed: int = 0

    def words(self) -> Array:
        """The record as u32[16]."""
        floats = (
            self.temperature,
            self.top_p,
            self.min_p,
            self.frequency_penalty,
            self.presence_penalty,
            self.repetition_penalty,
        )
        words = np.zeros(16, np.uint32)
        words[:6] = np.array(floats, np.float32).view(np.uint32)
        words[6:9] = self.top_k, self.seed & 0xFFFFFFFF, self.seed >> 32
        return words


@dataclass(frozen=True, slots=True)
class Draw:
    """A draw: the token, how far the runner-up's score is, how close a token was to a cut.

    `edge` is the least distance of a value to the top-k cut, of a cumulated mass to top_p or of
    a probability to min_p (the latter two relative): below float32's rounding the sets of a
    kernel and of this function may differ.
    """

    token: int
    margin: float
    edge: float


def argmax(logits: Array) -> int:
    """The lowest index among the largest; NaN counts as the smallest."""
    return int(np.argmax(np.where(np.isnan(logits), -np.inf, logits)))


def sample(logits: Array, sampler: Sampler, counts: Array, *, pos: int) -> Draw:
    """The draw for `logits` f32[vocab] and `counts` u32[vocab] at position `pos`."""
    values = _adjusted(logits, sampler, counts)
    weights = np.exp(values - values.max())
    kept, edge = _kept(values, weights, sampler)
    scores = np.where(kept, values + gumbel(len(logits), sampler.seed, pos), -np.inf)
    first, second = (*np.sort(scores)[::-1][:2], -np.inf)[:2]
    return Draw(int(np.argmax(scores)), float(first - second), edge)


def allowed(logits: Array, sampler: Sampler, counts: Array) -> Array:
    """bool[vocab]: the tokens that top-k, top-p and min-p leave to be drawn."""
    values = _adjusted(logits, sampler, counts)
    return _kept(values, np.exp(values - values.max()), sampler)[0]


def count(tokens: Array, counts: Array) -> Array:
    """`counts` with bit 31 set for every id in `tokens`."""
    result = counts.copy()
    result[tokens] |= PROMPT_BIT
    return result


def reset(counts: Array) -> Array:
    """Zeros."""
    return np.zeros_like(counts)


def gumbel(vocab: int, seed: int, pos: int) -> Array:
    """The noise of every token at `pos`, float64."""
    low, high = np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32)
    word = mix(np.array([low]) + np.uint32(0x9E3779B9)) ^ high
    stream = mix(mix(word) ^ np.uint32(pos))
    salt = mix(stream + np.uint32(0x85EBCA6B))
    hashed = mix(mix(stream ^ np.arange(vocab, dtype=np.uint32)) + salt)
    uniform = ((hashed >> np.uint32(9)) + 0.5) * 2.0**-23
    return np.asarray(-np.log(-np.log(uniform)))


def _adjusted(logits: Array, sampler: Sampler, counts: Array) -> Array:
    values = logits.astype(np.float64)
    generated = (counts & ~PROMPT_BIT).astype(np.float64)
    penalty = np.where(values > 0, 1 / sampler.repetition_penalty, sampler.repetition_penalty)
    values = np.where(counts != 0, values * penalty, values)
    values -= sampler.frequency_penalty * generated + sampler.presence_penalty * (generated > 0)
    return values / sampler.temperature


def _kept(values: Array, weights: Array, sampler: Sampler) -> tuple[Array, float]:
    kept = np.ones(len(values), bool)
    edge = np.inf
    if 0 < sampler.top_k < len(values):
        after, last_kept = np.sort(values)[-sampler.top_k - 1 :][:2]
        kept = values >= last_kept
        edge = float(last_kept - after) if last_kept > after else np.inf
    if sampler.top_p < 1:
        order = np.argsort(-values, kind="stable")
        mass = np.cumsum(np.where(kept, weights, 0)[order])
        goal = sampler.top_p * mass[-1]
        last = int(np.searchsorted(mass, goal))
        edge = min(edge, float(np.abs(mass - goal).min() / goal))
        kept &= values >= values[order[min(last, len(order) - 1)]]
    if sampler.min_p > 0:
        edge = min(edge, float(np.abs(weights - sampler.min_p).min() / sampler.min_p))
    return kept & (weights >= sampler.min_p), edge
