"""`sample`: a draw under the sampler record, as `hub/kernels/sampling.py` documents it.

One item does it all: penalties and temperature once for each token, then the thresholds of top-k
and top-p by their digits on keys that order like the values (a radix selection, three passes each
over the tokens), then the token whose value plus noise is largest.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import tirx
from tvm.tirx.script.builder import ir as B

from ...kernels.kernel import Op
from .kernel import CpuProfile, CpuSequence
from .tokens import LOWEST, argmax, assign, count, kernel, mix, reset, symbol, total, variable
from .vectors import Body

__all__ = ["argmax", "count", "reset", "sample"]

DIGITS = ((21, 11), (10, 11), (0, 10))
"""(lowest bit, bits) of the digits of a key, from the highest."""
BINS = 1 << 11
FAR = -80.0
"""Below the peak by more than this, a token weighs nothing."""
FARTHEST = 3e38
MOST_NOISE = 16.7
"""Above -log of the smallest number that `_exponential` gives, 2^-24."""
SMALLEST = -(2**31)


def sample(op: Op, profile: CpuProfile) -> CpuSequence:
    """logits f32[vocab], sampler u32[16], counts u32[vocab], token i32[1]; uniform pos."""
    vocab = op.integer("vocab")

    def build(f: Body) -> None:
        logits, sampler, counts = f.buffer(), f.buffer("uint32"), f.buffer("uint32")
        token, values, weights = f.buffer("int32"), f.buffer(), f.buffer()
        bins, pos = f.buffer(), f.scalar("pos")
        with f.items():
            _adjust(logits, sampler, counts, values, vocab)
            peak = _peak(values, vocab)
            _weigh(values, weights, peak, sampler, vocab)
            floor = variable("int32", B.int32(SMALLEST))
            ways = _by_number(sampler, vocab), _by_mass(sampler)
            for wanted, goal, weight in ways:
                with B.If(wanted), B.Then():
                    _raise_floor(floor, values, weights, bins, weight, goal, vocab)
            best = _draw(values, weights, floor[0], peak, sampler, pos, vocab)
            B.buffer_store(token, best, [0])
            B.buffer_store(counts, counts[best] + B.uint32(1), [best])

    made = kernel("sample", build, (2, 3, 4, 5, 6), key=(vocab,), uniforms=(symbol("pos"),))
    return CpuSequence(((made, (0, 1, 2, 3, 4, 5, 6)),), (4 * vocab, 4 * vocab, 4 * BINS))


def _field(sampler: Any, index: int) -> Any:
    return B.reinterpret("float32", sampler[index])


def _adjust(logits: Any, sampler: Any, counts: Any, values: Any, vocab: int) -> None:
    """Penalties and temperature."""
    frequency, presence, repetition = (B.bind(_field(sampler, i)) for i in (3, 4, 5))
    inverse = B.bind(_field(sampler, 0))

    def held(value: Any) -> Any:
        return B.max(B.min(value / inverse, B.float32(FARTHEST)), B.float32(-FARTHEST))

    neutral = tirx.all(
        frequency == B.float32(0), presence == B.float32(0), repetition == B.float32(1)
    )
    with B.If(neutral):
        with B.Then(), B.serial(0, vocab) as i:
            B.buffer_store(values, held(logits[i]), [i])
        with B.Else(), B.serial(0, vocab) as i:
            value = variable("float32", logits[i])
            with B.If(counts[i] != B.uint32(0)), B.Then():
                less, more = value[0] / repetition, value[0] * repetition
                assign(value, B.Select(value[0] > B.float32(0), less, more))
            generated = B.bind(B.Cast("float32", counts[i] & B.uint32(0x7FFFFFFF)))
            once = B.Select(generated > B.float32(0), presence, B.float32(0))
            B.buffer_store(values, held(value[0] - (frequency * generated + once)), [i])


def _peak(values: Any, vocab: int) -> Any:
    peak = variable("float32", B.float32(LOWEST))
    with B.serial(0, vocab) as i:
        assign(peak, B.max(peak[0], values[i]))
    return B.bind(peak[0])


def _weigh(values: Any, weights: Any, peak: Any, sampler: Any, vocab: int) -> None:
    """Probabilities relative to the peak, where top-p or min-p asks for them."""
    needed = tirx.any(_field(sampler, 1) < B.float32(1), _field(sampler, 2) > B.float32(0))
    with B.If(needed), B.Then(), B.serial(0, vocab) as i:
        below = B.bind(values[i] - peak)
        weight = B.exp(B.max(below, B.float32(FAR)))
        B.buffer_store(weights, B.Select(below > B.float32(FAR), weight, B.float32(0)), [i])


def _key(value: Any) -> Any:
    """An i32 that orders like the float, both zeros equal."""
    # Adding 0 turns the negative zero into the other.
    bits = B.bind(B.reinterpret("int32", value + B.float32(0)))
    return bits ^ ((bits >> B.int32(31)) & B.int32(0x7FFFFFFF))


Way = tuple[Any, Callable[[Any], Any], Callable[[Any, Any], Any]]
"""Whether it is asked for; (the whole) -> how much to keep; (weights, i) -> what a token counts."""


def _by_number(sampler: Any, vocab: int) -> Way:
    top_k = sampler[6]
    wanted = tirx.all(top_k > B.uint32(0), top_k < B.uint32(vocab))
    return wanted, lambda whole: B.Cast("float32", top_k), lambda weights, i: B.float32(1)


def _by_mass(sampler: Any) -> Way:
    top_p = _field(sampler, 1)
    return top_p < B.float32(1), lambda whole: top_p * whole, lambda weights, i: weights[i]


def _raise_floor(
    floor: Any,
    values: Any,
    weights: Any,
    bins: Any,
    weight: Callable[[Any, Any], Any],
    goal: Callable[[Any], Any],
    vocab: int,
) -> None:
    """The largest key at or above which the tokens count as much as the goal."""
    least = B.bind(floor[0])
    # Digits are of the key with its sign turned round, so that they count from the smallest.
    found, above = variable("int32", B.int32(0)), variable("float32", B.float32(0))
    wanted = variable("float32", B.float32(0))
    for low, bits in DIGITS:
        with B.serial(0, 1 << bits) as i:
            B.buffer_store(bins, B.float32(0), [i])
        with B.serial(0, vocab) as i:
            key = B.bind(_key(values[i]))
            # Two steps: the highest digit would be shifted by all 32 bits.
            turned = B.bind(key ^ B.int32(SMALLEST))
            # The highest digit has nothing above it to agree with.
            highest = low + bits == 32
            same = B.int32(0) if highest else (turned ^ found[0]) >> B.int32(low + bits)
            with B.If(tirx.all(key >= least, same == B.int32(0))), B.Then():
                at = B.bind((turned >> B.int32(low)) & B.int32((1 << bits) - 1))
                B.buffer_store(bins, bins[at] + weight(weights, i), [at])
        if low == DIGITS[0][0]:
            with B.serial(0, 1 << bits) as i:
                assign(wanted, wanted[0] + bins[i])
            assign(wanted, goal(wanted[0]))
        place = variable("int32", B.int32((1 << bits) - 1))
        reached = above[0] + bins[place[0]] >= wanted[0]
        # The lowest bin is taken whatever rounding has made of the sums.
        with B.While(tirx.all(place[0] > 0, tirx.Not(reached))):
            assign(above, above[0] + bins[place[0]])
            assign(place, place[0] - 1)
        assign(found, found[0] | (place[0] << B.int32(low)))
    assign(floor, B.max(floor[0], found[0] ^ B.int32(SMALLEST)))


def _draw(
    values: Any, weights: Any, floor: Any, peak: Any, sampler: Any, pos: Any, vocab: int
) -> Any:
    """The token with the largest score among those that are left."""
    min_p = B.bind(_field(sampler, 2))
    least = B.bind(floor)
    stream = B.bind(mix(mix(total(sampler[7], B.uint32(0x9E3779B9))) ^ sampler[8]))
    stream = B.bind(mix(stream ^ B.Cast("uint32", pos)))
    salt = B.bind(mix(total(stream, B.uint32(0x85EBCA6B))))
    best, index = variable("float32", B.float32(LOWEST)), variable("int32", B.int32(0))
    with B.serial(0, vocab) as i:
        # Most tokens are too far below: no noise lifts them over the best so far.
        near = values[i] - peak + B.float32(MOST_NOISE) > best[0]
        likely = tirx.any(min_p <= B.float32(0), weights[i] >= min_p)
        with B.If(tirx.all(near, _key(values[i]) >= least, likely)), B.Then():
            word = B.bind(mix(total(mix(stream ^ B.Cast("uint32", i)), salt)))
            score = B.bind(values[i] - peak - B.log(_exponential(word)))
            with B.If(score > best[0]), B.Then():
                assign(best, score)
                assign(index, i)
    return B.bind(index[0])


def _exponential(word: Any) -> Any:
    """-log((word / 2^9 + 1/2) / 2^23), by the series of the inverse hyperbolic tangent near 1,
    where a logarithm loses its digits."""
    steps = B.bind(B.Cast("int32", word >> B.uint32(9)))
    unit = B.float32(2.0**-23)
    far = B.float32(0) - B.log((B.Cast("float32", steps) + B.float32(0.5)) * unit)
    rest = B.bind((B.Cast("float32", B.int32(0x7FFFFF) - steps) + B.float32(0.5)) * unit)
    y = B.bind(rest / (B.float32(2) - rest))
    z, total = B.bind(y * y), B.float32(1 / 13)
    for odd in (11, 9, 7, 5, 3, 1):
        total = total * z + B.float32(1 / odd)
    return B.bind(B.Select(steps < B.int32(0x400000), far, B.float32(2) * y * total))
