"""Decoding: which steps are queued on the device, for one sequence or for several together.

Alone, a sequence is decoded by the plan's `decode`, as many steps ahead as the device takes. In
company, `decode_batch` computes one token of every row at once; then each row's logits are drawn
from as a lone sequence's are. Rows change only when nothing is queued, so that the host knows every
token it writes.

It knows entries, rows and what the device's buffers hold; not whose turn it is.
"""

from __future__ import annotations

import time
from array import array
from collections import deque
from collections.abc import Awaitable, Callable
from collections.abc import Sequence as Tokens
from typing import NamedTuple

from .errors import ModelpressError
from .executor import Executor
from .kv_cache import KvCache, TableCopy
from .logprobs import RECORD_NBYTES, bias_bytes
from .pace import MAX_DEPTH, Depth
from .plan import Plan
from .sequence import Sequence
from .states import states_of

DECODE_BATCH = "decode_batch"


class _Flight(NamedTuple):
    """A step on its way, the sequence it draws for, and whom to tell when it is done."""

    result: Awaitable[int]
    sequence: Sequence | None = None
    done: Callable[[], None] | None = None


class Decoding:
    """The queue of one device. Every call but `seats` and `rows` needs the turn."""

    def __init__(
        self, plan: Plan, executor: Executor, depth: Depth, prefill_entry: str, decode_entry: str
    ) -> None:
        self._plan, self._executor, self._depth = plan, executor, depth
        self._prefill_entry, self._decode_entry = prefill_entry, decode_entry
        self._flying: deque[_Flight] = deque()
        self._table = TableCopy()
        self.seats = _seats(plan)
        """Sequences that can be decoded together."""
        self._tables = [TableCopy() for _ in range(self.seats)]
        self._stride = -(-plan.context // plan.page_size)
        self.rows: tuple[Sequence, ...] = ()
        """Whose tokens the device has at hand."""
        self.drawn = 0
        """Tokens that arrived so far, for any sequence."""
        self._record = b""
        self._counted: Sequence | None = None
        self._biased: Sequence | None = None
        self._states = states_of(plan, executor)
        self._reader: Sequence | None = None
        """Whose tokens the newest state has read."""

    async def settle(self) -> None:
        """Wait for everything queued."""
        while self._flying:
            await self.arrive()

    def forget(self) -> None:
        """Somebody else uses the device's buffers."""
        self.rows, self._record, self._counted, self._biased = (), b"", None, None
        self._table.forget()
        self._states.forget()

    def num_usable(self, tokens: Tokens[int], cached: int) -> int:
        """How many of the first `cached` tokens, whose pages are there, need not be computed."""
        return self._states.usable(tokens, cached)

    def take_up(self, sequence: Sequence, cached: int) -> int:
        """Have the device go on after the first `cached` tokens of `sequence`, or after fewer where
        their state is gone: after how many. Nothing may be queued."""
        reader, self._reader = self._reader, sequence
        if reader is not None and reader is not sequence and not reader.ended:
            self._states.put_aside(reader.tokens)
        return self._states.take_up(sequence.tokens, cached)

    def mark(self, start: int, length: int) -> int:
        """Where a prompt that is computed from `start` to `length` is best cut in two; 0 for
        nowhere."""
        return self._states.mark(start, length)

    def keep(self, sequence: Sequence, length: int) -> None:
        """Keep what the step queued last has read: the first `length` tokens."""
        self._states.keep(sequence.tokens, length)

    def reach(self, cache: KvCache, length: int) -> None:
        """Pages for positions 0..length-1, in the page table; "out_of_memory" when there are not
        enough."""
        cache.reserve(length)
        update = self._table.unsynced(cache)
        if update is not None:
            start, entries = update
            self._executor.write("page_table", entries.tobytes(), offset=4 * start)

    def queue_chunk(self, sequence: Sequence, start: int, end: int) -> None:
        """Compute tokens [start, end) of a prompt; `arrive` tells when that is done."""
        self._write_chunk(sequence, start, end)
        symbols = {"n": end - start, "pos": start}
        result = self._executor.step((self._prefill_entry,), symbols, "token")
        self._states.leave(sequence.tokens, end)
        self.rows = ()
        self._flying.append(_Flight(result))

    def begin(self, sequence: Sequence, start: int, done: Callable[[], None]) -> None:
        """Compute the last tokens of a prompt, from `start` on, and draw the first of the answer;
        `done` is called when that has happened."""
        self._load(sequence)
        end = len(sequence.tokens)
        self._submit_chunk(sequence, start, end)
        self.rows = (sequence,)
        self._depth.begin()
        if sequence.hooks.waits:
            sequence.computed = end
        else:
            self._ask(sequence, sequence.draw, {"pos": sequence.position}, done)

    async def advance(self, sequence: Sequence, company: tuple[Sequence, ...]) -> bool:
        """Bring tokens of `sequence` nearer, decoding it in `company`, which it is a part of.

        False when there is no page for its next token; nothing is queued then.
        """
        if company != self.rows:
            if self._flying:
                await self.settle()
                return True  # what arrived may change who is in company
            self._regroup(company)
        if sequence.hooks.waits:
            return await self._wait_for_token(sequence)
        if len(company) == 1:
            self._fill(sequence)
        else:
            self._fill_rows(company)
        if self._flying:
            await self.arrive()
        return bool(self._flying or sequence.drawn or not sequence.starved)

    async def decode_alone(self, sequence: Sequence) -> None:
        """`advance` of a sequence that the device has at hand, and no other."""
        self._fill(sequence)
        if self._flying:
            await self.arrive()

    async def arrive(self) -> int:
        """Wait for the oldest step that is queued: its word."""
        flight = self._flying[0]
        try:
            token = await flight.result
        except ModelpressError:
            self._flying.clear()
            self.forget()
            raise
        self._flying.popleft()
        if flight.done is not None:
            flight.done()
        if flight.sequence is not None:
            if len(self.rows) == 1:
                self._depth.record(time.perf_counter())
            flight.sequence.arrive(self._checked(token))
            self.drawn += 1
        return token

    def _regroup(self, company: tuple[Sequence, ...]) -> None:
        """Put the newest tokens of `company` where the next step reads them."""
        self.rows = company
        self._depth.begin()
        newest = [sequence.tokens[-1] for sequence in company]
        if len(company) == 1:
            sequence = company[0]
            self._load(sequence)
            # Its logits are gone with those who came between.
            sequence.computed = min(sequence.computed, len(sequence.tokens) - 1)
            self._catch_up(sequence)
            self._executor.write("token", _words(newest))
        else:
            self._executor.write("batch_tokens", _words(newest))

    def _catch_up(self, sequence: Sequence) -> None:
        """Compute again what the state has not read of the tokens before those to come next."""
        tokens = sequence.tokens
        known = sequence.computed if sequence.hooks.waits else len(tokens) - 1
        start = self.take_up(sequence, known)
        while start < known:
            end = min(start + self._plan.prefill_chunk, known)
            self._submit_chunk(sequence, start, end)
            start = end

    def _fill(self, sequence: Sequence) -> None:
        """Keep as many steps of a lone sequence queued as the device takes."""
        entries = (self._decode_entry, *sequence.draw)
        while len(self._flying) < self._depth.value and sequence.can_ask:
            position = sequence.position
            covered = self._table.covers(sequence.cache, position)
            if not covered and not self._reaches(sequence, position + 1):
                return
            self._states.leave(sequence.tokens, position + 1)
            self._ask(sequence, entries, {"pos": position})

    def _fill_rows(self, company: tuple[Sequence, ...]) -> None:
        """The same for rows: a step of all of them is queued, or none."""
        count = len(company)
        ahead = count * max(1, min(self._depth.value, MAX_DEPTH // count))
        while len(self._flying) + count <= ahead and all(s.can_ask for s in company):
            if not all([self._has_page(s) for s in company]):
                return
            self._ask_rows(company)

    def _ask_rows(self, company: tuple[Sequence, ...]) -> None:
        executor = self._executor
        executor.write("batch_table", _words([s.position for s in company]))
        for row, sequence in enumerate(company):
            self._sync_row(row, sequence)
        self._counted = None
        before: tuple[str, ...] = (DECODE_BATCH,)
        for row, sequence in enumerate(company):
            self._load_record(sequence)
            entries = (*before, "row_logits", *sequence.draw, "row_token")
            symbols = {"n": len(company), "row": row, "pos": sequence.position}
            self._ask(sequence, entries, symbols)
            before = ()

    def _ask(
        self,
        sequence: Sequence,
        entries: tuple[str, ...],
        symbols: dict[str, int],
        done: Callable[[], None] | None = None,
    ) -> None:
        result = self._executor.step(entries, symbols, "token")
        self._flying.append(_Flight(result, sequence, done))
        sequence.asked += 1

    def _sync_row(self, row: int, sequence: Sequence) -> None:
        update = self._tables[row].unsynced(sequence.cache)
        if update is not None:
            start, entries = update
            offset = 4 * (self.seats + row * self._stride + start)
            self._executor.write("batch_table", entries.tobytes(), offset=offset)

    def _has_page(self, sequence: Sequence) -> bool:
        """Reserve a page for its next token, if one is needed; `starved` when there is none."""
        sequence.starved = False
        try:
            sequence.cache.reserve(sequence.position + 1)
        except ModelpressError as error:
            if error.code != "out_of_memory":
                raise
            sequence.starved = True
        return not sequence.starved

    def _reaches(self, sequence: Sequence, length: int) -> bool:
        if not self._has_page(sequence):
            return False
        self.reach(sequence.cache, length)
        return True

    async def _wait_for_token(self, sequence: Sequence) -> bool:
        """One token of a sequence that the host looks at, or the tokens it is forced to."""
        constraint, logprobs = sequence.hooks.constraint, sequence.hooks.logprobs
        forced = constraint.forced() if constraint is not None else ()
        if forced:
            self._force(sequence, forced)
            return True
        if not self._compute(sequence):
            return False
        if logprobs is not None:
            self._executor.submit(("logprobs",), {})
        entries = list(sequence.draw)
        mask = await constraint.mask() if constraint is not None else None
        if mask is not None:
            self._executor.write("token_mask", mask)
            entries.insert(-1, "mask")
        if logprobs is not None:
            entries.append("chosen")
        symbols = {"pos": len(sequence.tokens) - 1}
        self._flying.append(_Flight(self._executor.step(entries, symbols, "token")))
        token = self._checked(await self.arrive())
        sequence.cache.append(sequence.tokens[len(sequence.cache.tokens) :])
        if constraint is not None:
            constraint.accept(token)
        if logprobs is not None:
            logprobs.arrived(token, await self._executor.read("logprobs", RECORD_NBYTES))
        self._push(sequence, token)
        return True

    def _force(self, sequence: Sequence, tokens: Tokens[int]) -> None:
        constraint, logprobs = sequence.hooks.constraint, sequence.hooks.logprobs
        assert constraint is not None
        for token in tokens:
            if sequence.ended:
                return
            constraint.accept(token)
            if logprobs is not None:
                logprobs.arrived(token, None)
            self._push(sequence, token)

    def _push(self, sequence: Sequence, token: int) -> None:
        sequence.push(token)
        sequence.asked = sequence.arrived

    def _compute(self, sequence: Sequence) -> bool:
        """Queue what the logits behind the newest token still need; False without pages for it."""
        tokens, chunk = sequence.tokens, self._plan.prefill_chunk
        if not self._reaches(sequence, len(tokens)):
            return False
        while sequence.computed < len(tokens):
            start = sequence.computed
            end = min(start + chunk, len(tokens))
            if end - start == 1:
                self._executor.write("token", _words(tokens[start:end]))
                self._executor.submit((self._decode_entry,), {"pos": start})
                self._states.leave(tokens, end)
            else:
                self._submit_chunk(sequence, start, end)
            sequence.computed = end
        return True

    def _submit_chunk(self, sequence: Sequence, start: int, end: int) -> None:
        self._write_chunk(sequence, start, end)
        self._executor.submit((self._prefill_entry,), {"n": end - start, "pos": start})
        self._states.leave(sequence.tokens, end)

    def _write_chunk(self, sequence: Sequence, start: int, end: int) -> None:
        self.reach(sequence.cache, end)
        self._executor.write("tokens", _words(sequence.tokens[start:end]))

    def _load(self, sequence: Sequence) -> None:
        """Have the device know how this sequence draws."""
        self._load_record(sequence)
        if sequence.generation.params.penalized:
            if self._counted is not sequence:
                self._load_counts(sequence)
            self._counted = sequence
        elif sequence.generation.params.entry == "sample":
            self._counted = None  # a draw counts, whoever it is for
        if sequence.hooks.bias and self._biased is not sequence:
            self._executor.write("bias", bias_bytes(sequence.hooks.bias))
            self._biased = sequence

    def _load_record(self, sequence: Sequence) -> None:
        if sequence.generation.params.entry == "sample" and sequence.record != self._record:
            self._executor.write("sampler", sequence.record)
            self._record = sequence.record

    def _load_counts(self, sequence: Sequence) -> None:
        """The device counts a prompt faster than the host could send the counts."""
        if sequence.arrived or sequence.generation.given:
            self._executor.write("counts", sequence.counts(self._plan.vocab_size))
            return
        self._executor.submit(("reset",), {})
        for start in range(0, len(sequence.tokens), self._plan.prefill_chunk):
            chunk = sequence.tokens[start : start + self._plan.prefill_chunk]
            self._executor.write("tokens", _words(chunk))
            self._executor.submit(("count",), {"n": len(chunk)})

    def _checked(self, token: int) -> int:
        if not 0 <= token < self._plan.vocab_size:
            raise ModelpressError(
                "internal",
                f"the device drew token {token}, outside the vocabulary of "
                f"{self._plan.vocab_size}; try another variant of the model",
                details={"token": token, "variant": self._plan.variant},
            )
        return token


def _seats(plan: Plan) -> int:
    """Rows that the plan decodes at once."""
    if DECODE_BATCH not in plan.entries:
        return 1
    (nbytes,) = [b.nbytes for b in plan.buffers if b.name == "batch_tokens"]
    return nbytes.evaluate({}) // 4


def _words(tokens: Tokens[int]) -> bytes:
    return array("i", tokens).tobytes()
