"""The self-test: does this device compute what the plan says?

A few tokens go through the model in one chunk, then again one by one. The two ways share hardly a
kernel, so that they agree says much: a kernel that a driver compiles wrongly writes fluent text
all the same, but not the same logits. Where tokens are cheap they lie across the end of a page, and
pages are never in order, so the cache is tested with them.

It knows entries and logits; neither variants nor what to do about a failure.
"""

from __future__ import annotations

import math
import operator
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from .candidates import Candidates
from .executor import Executor
from .plan import Plan
from .sampling import SamplingParams

BOUND = 2e-2
"""Largest |difference| of two logits over the largest |logit|. Rounding alone reaches about 1e-3
with f16 caches and packed activations; a broken kernel is above 1e-1."""
EXACT = "decode_f32"
"""The entry of plans for processors that rounds nothing. The others meet matrices with rows rounded
to int8 and share their products, so that only this one tells when those are wrong."""
ROUNDING_BOUND = 0.25
"""Largest difference from it: rounding reaches some hundredths, a wrong product is far above."""
TAIL = 4
"""Tokens computed both ways, at most."""
FEW = 5
"""Tokens in all where each may take a second."""


def is_right(difference: float | None) -> bool:
    """Whether an entry may be used. None means that it gave no logits at all."""
    return difference is not None and difference <= BOUND


async def find_differences(
    executor: Executor, plan: Plan, candidates: Candidates, *, pages: int, length: int
) -> dict[str, float | None]:
    """How far each candidate is from the first one of the other way, relative to the largest logit.

    `length` is the number of tokens, as far as there is room (see `probe_length`). `greedy` and
    `sample`, which must pick a largest logit, have 0.0; the entry that rounds nothing, where there
    is one, its difference from the others. None stands for logits that are not finite or all zero,
    and for a token that is not the best. What is prepared with `pages` pages is left with a page
    table and a cache of no further use.
    """
    probe = _Probe.lay_out(executor, plan, pages, length)
    probe.write_page_table()
    prefill, *other_prefills = candidates["prefill"]
    decode, *other_decodes = candidates["decode"]
    expected = await probe.prefill(prefill)
    drawn = {name: await probe.draw(name, expected) for name in ("greedy", "sample")}
    counterpart = await probe.decode(decode)
    difference = relative_difference(counterpart, expected)
    found: dict[str, float | None] = {prefill: difference, decode: difference}
    for entry in other_decodes:
        found[entry] = relative_difference(await probe.decode(entry), expected)
    for entry in other_prefills:
        found[entry] = relative_difference(await probe.prefill(entry), counterpart)
    if EXACT in plan.entries:
        rounding = relative_difference(await probe.decode(EXACT), counterpart)
        found[EXACT] = rounding
        if rounding is None or rounding > ROUNDING_BOUND:
            found |= {prefill: rounding, decode: rounding}
    return found | drawn


def probe_length(plan: Plan, kind: str) -> int:
    """Tokens to test with on a device of `kind`: a processor must not spend seconds on it."""
    return FEW if kind == "cpu" else plan.page_size + TAIL // 2


def relative_difference(values: Sequence[float], expected: Sequence[float]) -> float | None:
    """max |values - expected| / max |expected|; None unless both are finite and not all zero."""
    scale = max(map(abs, expected))
    # A sum tells what `max` may overlook: NaN compares with nothing.
    if not scale or not any(values) or not math.isfinite(sum(values) + sum(expected)):
        return None
    largest: float = max(map(abs, map(operator.sub, values, expected)))
    return largest / scale


@dataclass(slots=True)
class _Probe:
    """The tokens of the test and where they lie."""

    executor: Executor
    plan: Plan
    pages: int
    start: int
    """Position of the first token that is computed both ways."""
    tokens: tuple[int, ...]

    @classmethod
    def lay_out(cls, executor: Executor, plan: Plan, pages: int, length: int) -> _Probe:
        room = min(pages * plan.page_size, plan.context, 2 * plan.prefill_chunk)
        length = min(length, room)
        tail = min(TAIL, -(-length // 2))
        start = min(length - tail, plan.prefill_chunk)
        tokens = tuple((3 + 7919 * i) % plan.vocab_size for i in range(start + tail))
        return cls(executor, plan, pages, start, tokens)

    def write_page_table(self) -> None:
        used = -(-len(self.tokens) // self.plan.page_size)
        self.executor.write("page_table", _words([self.pages - 1 - i for i in range(used)]))

    async def prefill(self, entry: str) -> array[float]:
        """Logits after all tokens: what comes before the tail in one chunk, the tail in another."""
        for begin, end in ((0, self.start), (self.start, len(self.tokens))):
            if begin < end:
                self.executor.write("tokens", _words(self.tokens[begin:end]))
                self.executor.submit((entry,), {"n": end - begin, "pos": begin})
        return await self._logits()

    async def decode(self, entry: str) -> array[float]:
        """Logits after all tokens: the tail one by one, on the cache that a prefill has left."""
        for position in range(self.start, len(self.tokens)):
            self.executor.write("token", _words([self.tokens[position]]))
            self.executor.submit((entry,), {"pos": position})
        return await self._logits()

    async def draw(self, entry: str, logits: Sequence[float]) -> float | None:
        """0.0 when the entry draws a largest logit, as it must with a top-k of one."""
        best = SamplingParams(temperature=1.0, top_p=1.0, top_k=1, seed=0)
        self.executor.write("sampler", best.record())
        symbols = {"pos": len(self.tokens) - 1}
        token = await self.executor.step((entry,), symbols, "token")
        known = 0 <= token < len(logits)
        return 0.0 if known and logits[token] == max(logits) else None

    async def _logits(self) -> array[float]:
        return array("f", await self.executor.read("logits", 4 * self.plan.vocab_size))


def _words(values: Sequence[int]) -> bytes:
    return array("i", values).tobytes()
