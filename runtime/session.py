"""A session: one plan prepared on one executor, and the loop that makes tokens on it.

Knows positions, pages and symbols; not text, chats or models. The loop keeps a few steps queued on
the device: each reads the token the step before it drew, so nothing waits for the host. A result
confirms the position its step wrote; queued steps beyond a stop are never counted as cached, and
whatever they wrote is overwritten before it is read.

The position that a draw is seeded with is that of the last token before it, whether a prefill or a
decode put it there, so the same seed gives the same answer at any depth and with any cached prefix.
"""

from __future__ import annotations

import time
from array import array
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from dataclasses import dataclass

from .abort import AbortSignal
from .constraint import NO_HOOKS, Hooks
from .errors import ModelpressError
from .executor import Executor
from .kv_cache import KvCache, PagePool
from .pace import Depth, Pace
from .plan import Plan
from .progress import OnProgress, Progress, ignore_progress
from .sampling import SamplingParams, bad_param

DEPTHS: dict[str, int | None] = {"gpu": None, "cpu": 2}
"""Steps in flight by kind of device: a processor gains nothing from a longer queue, a GPU gets as
many as keep it busy."""


@dataclass(frozen=True, slots=True)
class Generation:
    """What to continue and until when. `max_tokens` None means the end of the context."""

    prompt: tuple[int, ...]
    params: SamplingParams
    stop_ids: frozenset[int] = frozenset()
    max_tokens: int | None = None
    hooks: Hooks = NO_HOOKS


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Tokens [start, end) of a prompt on their way, and when they were submitted."""

    start: int
    end: int
    began: float


class Session:
    """One sequence at a time; an aborted or abandoned generation leaves the cache valid."""

    def __init__(
        self,
        plan: Plan,
        executor: Executor,
        *,
        context: int,
        depth: int | None,
        choices: Mapping[str, str] | None = None,
    ) -> None:
        """`depth` steps are kept in flight, for None as many as it takes; `choices` names the
        entries that compute "prefill" and "decode", where others than those."""
        assert 1 < context <= plan.context
        chosen = choices or {}
        self.prefill_entry = chosen.get("prefill", "prefill")
        self.decode_entry = chosen.get("decode", "decode")
        self.plan = plan
        self.context = context
        self._depth = Depth(depth)
        self.executor = executor
        self._cache = KvCache(PagePool(num_pages(plan, context)), plan.page_size)
        self._pending: deque[Awaitable[int]] = deque()
        self._pace = Pace(plan.prefill_chunk)

    @property
    def depth(self) -> int:
        """Steps kept in flight now."""
        return self._depth.value

    def num_cached(self, prompt: Sequence[int]) -> int:
        """Leading tokens of `prompt` that a generation need not compute: all but the last at most.

        The last one is always computed, since its logits are what comes next.
        """
        return min(self._cache.common_prefix(prompt), len(prompt) - 1)

    async def settle(self) -> None:
        """Wait for steps that an earlier generation left queued; "device_lost" shows up here."""
        while self._pending:
            await self._pending.popleft()

    async def generate(
        self,
        generation: Generation,
        *,
        signal: AbortSignal,
        on_progress: OnProgress = ignore_progress,
    ) -> AsyncGenerator[int]:
        """Token ids as they are drawn, ending with a stop id, at `max_tokens` or at the context.

        Raises ModelpressError "context_length_exceeded" before any work, "aborted" between steps.
        """
        if generation.hooks != NO_HOOKS:
            raise ModelpressError("internal", "sequences with hooks do not run yet")
        prompt = generation.prompt
        budget = self._budget(generation)
        await self.settle()
        last = await self._prefill(generation, signal, on_progress)
        entry = generation.params.entry
        queue = self._pending
        queue.append(self.executor.step((entry,), {"pos": len(prompt) - 1}, "token"))
        submitted, previous = 1, None
        self._depth.begin()
        while queue or submitted < budget:
            while len(queue) < self.depth and submitted < budget:
                queue.append(self._decode(entry, len(prompt) + submitted - 1))
                submitted += 1
            token = self._checked(await queue.popleft())
            self._depth.record(time.perf_counter())
            if previous is None:
                self._done(last)
            self._cache.append(
                prompt[len(self._cache.tokens) :] if previous is None else [previous]
            )
            yield token
            if token in generation.stop_ids:
                return
            previous = token
            signal.check()

    async def logits(self, tokens: Sequence[int]) -> AsyncGenerator[bytes]:
        """The bytes of f32[vocab] after each of `tokens`, computed one by one from position 0.

        Raises "bad_request" for an id outside the vocabulary, "context_length_exceeded" for more
        tokens than the context holds.
        """
        self._check_tokens(tokens)
        await self.settle()
        self._cache.truncate(0)
        for position, token in enumerate(tokens):
            self._reserve(position + 1)
            self.executor.write("token", _words([token]))
            self.executor.submit((self.decode_entry,), {"pos": position})
            row = await self.executor.read("logits", 4 * self.plan.vocab_size)
            self._cache.append([token])
            yield row

    def _check_tokens(self, tokens: Sequence[int]) -> None:
        if len(tokens) > self.context:
            raise context_exceeded(len(tokens), self.context)
        for token in tokens:
            if not 0 <= token < self.plan.vocab_size:
                raise bad_param(
                    "tokens", f"token {token} is outside the vocabulary of {self.plan.vocab_size}"
                )

    async def spare_positions(self, count: int) -> list[int]:
        """`count` positions behind what is cached, for steps that only measure the device.

        What they write disturbs nothing. At the end of the context the last position repeats.
        """
        await self.settle()
        length = len(self._cache.tokens)
        positions = [min(length + i, self.context - 1) for i in range(count)]
        self._reserve(positions[-1] + 1)
        return positions

    def _budget(self, generation: Generation) -> int:
        """How many tokens may be drawn."""
        length = len(generation.prompt)
        assert length
        if length >= self.context:
            raise context_exceeded(length, self.context)
        room = self.context - length
        return room if generation.max_tokens is None else min(room, generation.max_tokens)

    async def _prefill(
        self, generation: Generation, signal: AbortSignal, on_progress: OnProgress
    ) -> _Chunk:
        """Queue the prompt chunk by chunk, at most two ahead, so that abort and progress are true.

        Tokens are counted as cached once their chunk has run; those of the last chunk, which is
        returned, with the first drawn token.
        """
        prompt, penalized = generation.prompt, generation.params.penalized
        start = self.num_cached(prompt)
        self._cache.truncate(start)
        self._prepare_sampling(generation, start)
        entries = ("count", self.prefill_entry) if penalized else (self.prefill_entry,)
        flying: deque[_Chunk] = deque()
        while True:
            signal.check()
            end = min(start + self._pace.chunk, len(prompt))
            self._reserve(end)
            self.executor.write("tokens", _words(prompt[start:end]))
            symbols = {"n": end - start, "pos": start}
            chunk = _Chunk(start, end, time.perf_counter())
            if end == len(prompt):
                self.executor.submit(entries, symbols)
                await self._confirm(flying, prompt, on_progress, keep=0)
                return chunk
            self._pending.append(self.executor.step(entries, symbols, "token"))
            flying.append(chunk)
            await self._confirm(flying, prompt, on_progress, keep=int(self._pace.known))
            start = end

    async def _confirm(
        self, flying: deque[_Chunk], prompt: Sequence[int], on_progress: OnProgress, *, keep: int
    ) -> None:
        """Wait for all but the newest `keep` chunks; those keep the device busy meanwhile."""
        while len(flying) > keep:
            chunk = flying.popleft()
            await self._pending.popleft()
            self._done(chunk)
            self._cache.append(prompt[chunk.start : chunk.end])
            on_progress(Progress("prefill", chunk.end, len(prompt), "tokens"))

    def _done(self, chunk: _Chunk) -> None:
        self._pace.record(chunk.end - chunk.start, chunk.began, time.perf_counter())

    def _prepare_sampling(self, generation: Generation, cached: int) -> None:
        """Write the sampler record, and count the cached part of the prompt when that matters."""
        if generation.params.entry == "sample":
            self.executor.write("sampler", generation.params.record())
        if not generation.params.penalized:
            return
        self.executor.submit(("reset",), {})
        for start in range(0, cached, self.plan.prefill_chunk):
            chunk = generation.prompt[start : min(start + self.plan.prefill_chunk, cached)]
            self.executor.write("tokens", _words(chunk))
            self.executor.submit(("count",), {"n": len(chunk)})

    def _decode(self, entry: str, position: int) -> Awaitable[int]:
        self._reserve(position + 1)
        return self.executor.step((self.decode_entry, entry), {"pos": position}, "token")

    def _reserve(self, length: int) -> None:
        self._cache.reserve(length)
        update = self._cache.unsynced()
        if update is not None:
            offset, data = update
            self.executor.write("page_table", data, offset=offset)

    def _checked(self, token: int) -> int:
        if not 0 <= token < self.plan.vocab_size:
            raise ModelpressError(
                "internal",
                f"the device drew token {token}, outside the vocabulary of "
                f"{self.plan.vocab_size}; try another variant of the model",
                details={"token": token, "variant": self.plan.variant},
            )
        return token


def context_exceeded(length: int, context: int) -> ModelpressError:
    """A prompt that leaves no room for an answer."""
    return ModelpressError(
        "context_length_exceeded",
        f"the prompt has {length} tokens and the context holds {context}, answer included; "
        "shorten the conversation or load the model with a larger context",
        details={"prompt_tokens": length, "context": context, "param": "messages"},
    )


def num_pages(plan: Plan, context: int) -> int:
    """Pages of KV cache that hold `context` tokens."""
    return -(-context // plan.page_size)


def _words(tokens: Sequence[int]) -> bytes:
    return array("i", tokens).tobytes()
