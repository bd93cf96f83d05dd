"""A session: one plan prepared on one executor, and the loop that makes tokens on it.

Knows positions, pages and symbols; not text, chats or models. Several answers may be in the making
at once. Whoever waits for a token drives the device until there is one, in turns (`turn.py`); what
steps are queued, for one sequence or for several together, is `decoding.py`'s.

The loop keeps a few steps queued on the device: each reads the token the step before it drew, so
nothing waits for the host. A result confirms the position its step wrote; queued steps beyond a
stop are never counted as cached, and whatever they wrote is overwritten before it is read.

The position that a draw is seeded with is that of the last token before it, whether a prefill or a
decode put it there, so the same seed gives the same answer at any depth and with any cached prefix.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from collections.abc import Sequence as Tokens
from dataclasses import dataclass
from functools import partial
from typing import Any

from .abort import AbortSignal, abortable
from .decoding import Decoding
from .errors import ModelpressError
from .executor import Executor
from .kv_cache import KvCache, PagePool, num_cached
from .pace import Company, Depth, Pace
from .plan import Plan
from .progress import OnProgress, Progress, ignore_progress
from .sampling import bad_param
from .sequence import Generation, Sequence, context_exceeded
from .turn import Turn

__all__ = ["DEPTHS", "Generation", "Session", "context_exceeded", "num_pages"]

DEPTHS: dict[str, int | None] = {"gpu": None, "cpu": 2}
"""Steps in flight by kind of device: a processor gains nothing from a longer queue, a GPU gets as
many as keep it busy."""
QUANTUM = 8
"""Tokens that a sequence draws before one that cannot be decoded with it has its turn."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Tokens [start, end) of a prompt on their way, and when they were submitted."""

    start: int
    end: int
    began: float


def _ignore_cached(count: int) -> None:
    return None


class Session:
    """Any number of sequences; one that is aborted or abandoned leaves the others to go on."""

    def __init__(
        self,
        plan: Plan,
        executor: Executor,
        *,
        context: int,
        depth: int | None,
        choices: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`depth` steps are kept in flight, for None as many as it takes; `choices` names the
        entries that compute "prefill" and "decode", where others than those; `clock` tells by
        which way of decoding several sequences the device draws more tokens."""
        assert 1 < context <= plan.context
        chosen = choices or {}
        self.prefill_entry = chosen.get("prefill", "prefill")
        self.decode_entry = chosen.get("decode", "decode")
        self.plan = plan
        self.context = context
        self.executor = executor
        self._pool = PagePool(num_pages(plan, context))
        self._turn = Turn()
        self._depth = Depth(depth)
        self._decoding = Decoding(
            plan, executor, self._depth, self.prefill_entry, self.decode_entry
        )
        self._running: list[Sequence] = []
        self._clock = clock
        self._companies: defaultdict[int, Company] = defaultdict(Company)
        """By how many others there are."""
        self._met = 0
        self._ended = asyncio.Event()
        self._pace = Pace(plan.prefill_chunk)
        self._spare: KvCache | None = None
        self._latest: tuple[int, ...] = ()
        self._retired = False

    @property
    def depth(self) -> int:
        """Steps kept in flight now."""
        return self._depth.value

    @property
    def running(self) -> int:
        """Answers in the making."""
        return len(self._running)

    def num_cached(self, prompt: Tokens[int]) -> int:
        """Leading tokens of `prompt` that a generation need not compute: all but the last at most.

        The last one is always computed, since its logits are what comes next.
        """
        cached = num_cached(self._pool, self.plan.page_size, prompt[:-1])
        return self._decoding.num_usable(prompt, cached)

    def retire(self) -> None:
        """The plan is prepared anew for another session: answers of this one are "device_lost"."""
        self._retired = True

    async def settle(self) -> None:
        """Wait for steps that an earlier generation left queued; "device_lost" shows up here."""
        async with self._turn:
            await self._decoding.settle()

    async def generate(
        self,
        generation: Generation,
        *,
        signal: AbortSignal,
        on_progress: OnProgress = ignore_progress,
        on_cached: Callable[[int], None] = _ignore_cached,
    ) -> AsyncGenerator[int]:
        """Token ids as they are drawn, ending with a stop id, at `max_tokens` or at the context.

        `on_cached` is told how many tokens of the prompt need not be computed. Raises
        ModelpressError "context_length_exceeded" before any work, "aborted" between steps.
        """
        sequence = Sequence(generation, self._budget(generation), self._new_cache())
        drawn, stop_ids = sequence.drawn, generation.stop_ids
        try:
            async with self._turn:
                on_cached(await self._start(sequence, signal, on_progress))
            while True:
                while not drawn:
                    await (self._next_alone(sequence) or self._draw(sequence, signal))
                token = drawn.popleft()
                yield token
                if token in stop_ids or (sequence.ended and not drawn):
                    return
                signal.check()
        finally:
            self._end(sequence)

    async def logits(self, tokens: Tokens[int]) -> AsyncGenerator[bytes]:
        """The bytes of f32[vocab] after each of `tokens`, computed one by one from position 0.

        Raises "bad_request" for an id outside the vocabulary, "context_length_exceeded" for more
        tokens than the context holds.
        """
        self._check_tokens(tokens)
        cache = self._new_cache()
        async with self._turn:
            await self._decoding.settle()
            try:
                for position, token in enumerate(tokens):
                    self._decoding.reach(cache, position + 1)
                    self.executor.write("token", _words([token]))
                    self.executor.submit((self.decode_entry,), {"pos": position})
                    yield await self.executor.read("logits", 4 * self.plan.vocab_size)
            finally:
                self._decoding.forget()
                cache.end()

    def _require_device(self) -> None:
        if self._retired:
            raise ModelpressError(
                "device_lost", "the device was lost; ask again, the model is loaded anew"
            )

    def _check_tokens(self, tokens: Tokens[int]) -> None:
        if len(tokens) > self.context:
            raise context_exceeded(len(tokens), self.context)
        for token in tokens:
            if not 0 <= token < self.plan.vocab_size:
                raise bad_param(
                    "tokens", f"token {token} is outside the vocabulary of {self.plan.vocab_size}"
                )

    async def spare_positions(self, count: int) -> list[int]:
        """`count` positions behind what the last answer has cached, for steps that only measure the
        device while no answer is in the making.

        What they write disturbs nothing. At the end of the context the last position repeats.
        """
        await self.settle()
        cache = self._new_cache()
        length = cache.begin(self._latest)
        positions = [min(length + i, self.context - 1) for i in range(count)]
        self._decoding.forget()
        self._decoding.reach(cache, positions[-1] + 1)
        self._spare = cache
        return positions

    def _new_cache(self) -> KvCache:
        if self._spare is not None:
            self._spare.end()
            self._spare = None
        return KvCache(self._pool, self.plan.page_size)

    def _budget(self, generation: Generation) -> int:
        """How many tokens may be drawn."""
        length = len(generation.prompt)
        assert length
        if length >= self.context:
            raise context_exceeded(length, self.context)
        room = self.context - length
        return room if generation.max_tokens is None else min(room, generation.max_tokens)

    def _next_alone(self, sequence: Sequence) -> Coroutine[Any, Any, None] | None:
        """The short way to the next token of a sequence that has the device to itself; None when
        it has not."""
        alone = len(self._running) == 1 and self._decoding.rows == (sequence,)
        if not alone or not sequence.plain or self._retired or not self._turn.take_now():
            return None
        return self._decode_alone(sequence)

    async def _decode_alone(self, sequence: Sequence) -> None:
        try:
            while not sequence.drawn and not sequence.starved:
                await self._decoding.decode_alone(sequence)
        finally:
            self._turn.give()

    async def _draw(self, sequence: Sequence, signal: AbortSignal) -> None:
        """Drive the device until `sequence` has a token that nobody has read."""
        async with self._turn:
            self._require_device()
            begun = sequence.arrived
            while not sequence.drawn or self._goes_on(sequence, begun):
                company = self._company(sequence)
                moved = await self._decoding.advance(sequence, company)
                if self._decoding.seats > 1:
                    self._watch(sequence)
                if not moved:
                    await self._give_way(sequence, signal)
                    await self._start(sequence, signal, ignore_progress)

    def _goes_on(self, sequence: Sequence, begun: int) -> bool:
        """Whether to keep the device a little longer: giving it to a stranger empties its queue."""
        if sequence.ended or not self._turn.wanted or sequence.arrived - begun >= QUANTUM:
            return False
        strangers = len(self._running) > len(self._company(sequence))
        return strangers and sequence.seated

    def _others(self, sequence: Sequence) -> list[Sequence]:
        """The sequences that could be decoded together with `sequence`."""
        return [s for s in self._running if s is not sequence and s.sociable and s.seated]

    def _watch(self, sequence: Sequence) -> None:
        """Have what the device drew meanwhile count for or against company."""
        count = len(self._others(sequence)) if sequence.sociable and sequence.can_ask else 0
        if count != self._met:
            self._companies[self._met].interrupt()
            self._met = count
        if count:
            self._companies[count].record(self._decoding.drawn, self._clock())

    def _company(self, sequence: Sequence) -> tuple[Sequence, ...]:
        """The sequences to decode together with `sequence`, itself among them, in a fixed order."""
        if self._decoding.seats == 1 or not sequence.sociable:
            return (sequence,)
        if not sequence.can_ask:
            return self._decoding.rows
        others = self._others(sequence)
        if not others or not self._companies[len(others)].pays:
            return (sequence,)
        chosen = (sequence, *others[: self._decoding.seats - 1])
        return tuple(s for s in self._running if s in chosen)

    async def _start(self, sequence: Sequence, signal: AbortSignal, on_progress: OnProgress) -> int:
        """`_prefill`, as soon as there are pages for it."""
        while True:
            try:
                return await self._prefill(sequence, signal, on_progress)
            except ModelpressError as error:
                if error.code != "out_of_memory" or self._running == [sequence]:
                    raise
            await self._give_way(sequence, signal)

    async def _give_way(self, sequence: Sequence, signal: AbortSignal) -> None:
        """All pages are held: give up those of `sequence` until another answer has ended.

        What it had computed stays in the pool as long as there is room; the rest is computed again.
        """
        await self._decoding.settle()
        self._running.remove(sequence)
        sequence.restart(self._new_cache())
        self._ended.clear()
        self._turn.give()
        try:
            await abortable(self._ended.wait(), signal)
        finally:
            await self._turn.take()

    async def _prefill(
        self, sequence: Sequence, signal: AbortSignal, on_progress: OnProgress
    ) -> int:
        """Queue what `sequence` has chunk by chunk and ask for its next token; the cached tokens.

        At most two chunks are ahead, so that abort and progress are true. Tokens are counted as
        cached once their chunk has run; those of the last chunk with the first drawn token.
        """
        self._require_device()
        await self._decoding.settle()
        tokens = sequence.tokens
        start = sequence.cache.begin(tokens[:-1])
        cached = start = self._decoding.take_up(sequence, start)
        mark = self._decoding.mark(start, len(tokens))
        self._running.append(sequence)
        flying: deque[_Chunk] = deque()
        while True:
            signal.check()
            if start > cached and self._turn.wanted and self._running != [sequence]:
                await self._confirm(flying, sequence, on_progress, keep=0)
                await self._turn.offer()
                await self._decoding.settle()
                start = self._decoding.take_up(sequence, start)
            end = min(start + self._pace.chunk, mark if start < mark else len(tokens))
            chunk = _Chunk(start, end, time.perf_counter())
            if end == len(tokens):
                self._decoding.begin(sequence, start, partial(self._done, chunk))
                await self._confirm(flying, sequence, on_progress, keep=0)
                return cached
            self._decoding.queue_chunk(sequence, start, end)
            if end == mark:
                self._decoding.keep(sequence, mark)
            flying.append(chunk)
            await self._confirm(flying, sequence, on_progress, keep=int(self._pace.known))
            start = end

    async def _confirm(
        self, flying: deque[_Chunk], sequence: Sequence, on_progress: OnProgress, *, keep: int
    ) -> None:
        """Wait for all but the newest `keep` chunks; those keep the device busy meanwhile."""
        while len(flying) > keep:
            chunk = flying[0]
            await self._decoding.arrive()
            flying.popleft()
            self._done(chunk)
            # Where a state was gone, more is computed than there was no page for.
            sequence.cache.append(sequence.tokens[len(sequence.cache.tokens) : chunk.end])
            on_progress(Progress("prefill", chunk.end, len(sequence.tokens), "tokens"))

    def _done(self, chunk: _Chunk) -> None:
        self._pace.record(chunk.end - chunk.start, chunk.began, time.perf_counter())

    def _end(self, sequence: Sequence) -> None:
        sequence.ended = True
        if sequence in self._running:
            self._running.remove(sequence)
        self._latest = tuple(sequence.cache.tokens)
        sequence.cache.end()
        self._ended.set()


def num_pages(plan: Plan, context: int) -> int:
    """Pages of KV cache that hold `context` tokens."""
    return -(-context // plan.page_size)


def _words(tokens: Tokens[int]) -> bytes:
    return array("i", tokens).tobytes()
