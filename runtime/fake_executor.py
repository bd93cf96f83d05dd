"""A fake device: a small real implementation of the executor, for tests and for trying things out.

Its "model" is a function of the cached tokens. It keeps what a real one keeps (pages, page table,
I/O buffers, an ordered queue) and refuses what a real one would answer with nonsense: positions
read before they are written, pages outside the table, tokens outside the vocabulary, entries that
were not prepared, more than eight steps in flight.
"""

from __future__ import annotations

import asyncio
import hashlib
import struct
from collections.abc import Awaitable, Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import ModelpressError
from .executor import DeviceInfo
from .fake import NextToken, fake_vector, hashed_token
from .fake_batch import FakeBatch
from .fake_draw import FakeLogits
from .fake_states import FakeStates
from .plan import Plan
from .progress import OnProgress, Progress
from .storage import Storage
from .weights import WeightIndex

LIMITS = {"maxStorageBufferBindingSize": 2**27, "maxBufferSize": 2**28}
FAKE_DEVICE = DeviceInfo("gpu", "fake", "", "fake device", frozenset(), LIMITS)
MAX_IN_FLIGHT = 8


@dataclass(slots=True)
class _Memory:
    """What a prepared plan has on the fake device."""

    plan: Plan
    page_table: list[int]
    slots: list[tuple[int, int] | None]
    tokens: list[int]
    logits: FakeLogits
    batch: FakeBatch
    token: int = 0
    counts: dict[int, int] = field(default_factory=dict)
    sampler: bytes = bytes(64)
    rows: dict[str, list[int]] = field(default_factory=dict)
    """Inputs of an encoder: "types", "positions", "spans", "texts"."""
    states: FakeStates = field(default_factory=FakeStates)
    vectors: list[float] = field(default_factory=list)

    def spoil(self) -> None:
        """Make what was computed last wrong."""
        self.logits.compute((self.logits.likeliest + 1) % self.plan.vocab_size)
        self.token = (self.token + 1) % self.plan.vocab_size
        self.vectors = [-value for value in self.vectors]


@dataclass(frozen=True, slots=True)
class Flaws:
    """Entries that a device computes wrongly or cannot compile, by variant of the plan."""

    computed_wrongly: Mapping[str, Collection[str]] = field(default_factory=dict)
    not_compiled: Mapping[str, Collection[str]] = field(default_factory=dict)

    def wrong(self, variant: str) -> frozenset[str]:
        """Entries whose logits are wrong."""
        return frozenset(self.computed_wrongly.get(variant, ()))

    def broken(self, variant: str) -> frozenset[str]:
        """Entries with a kernel that does not compile."""
        return frozenset(self.not_compiled.get(variant, ()))


class FakeExecutor:
    """See the module. `next_token` maps the tokens of the whole sequence to the one that follows.

    Entries of the plan named "decode.x" or "decode_f32" compute what "decode" does. `flaws` says
    what is wrong with the device: the entries it computes wrongly, and those it cannot compile. A
    step of an entry takes its `costs` in seconds on `clock`.

    Tests look at `submits`, `most_in_flight`, `prepared`, `entries` and `uploaded`; `lose()` breaks
    the device until the next `prepare`.
    """

    def __init__(
        self,
        next_token: NextToken | None = None,
        *,
        device: DeviceInfo = FAKE_DEVICE,
        flaws: Flaws | None = None,
        costs: Mapping[str, float] | None = None,
    ) -> None:
        self._next_token = next_token or hashed_token
        self._device = device
        self._flaws = flaws or Flaws()
        self._costs = dict(costs or {})
        self._now = 0.0
        self.entries: tuple[str, ...] = ()
        self._memory: _Memory | None = None
        self._lost = False
        self._in_flight = 0
        self.most_in_flight = 0
        self.prepared = 0
        self.uploaded: dict[str, int] = {}
        self.submits: list[tuple[tuple[str, ...], dict[str, int]]] = []
        self.released = 0

    async def device(self) -> DeviceInfo:
        """The device given."""
        return self._device

    def clock(self) -> float:
        """Seconds that the device has worked."""
        return self._now

    async def prepare(
        self,
        plan: Plan,
        text: str,
        *,
        pages: int,
        on_progress: OnProgress,
        entries: Sequence[str] | None = None,
        spare: Collection[str] = (),
    ) -> frozenset[str]:
        """Make empty memory for `plan`, and a new device when the old one is lost."""
        assert Plan.loads(text) == plan
        wanted = tuple(plan.entries) if entries is None else tuple(entries)
        broken = self._flaws.broken(plan.variant).intersection(wanted)
        if broken - set(spare):
            raise ModelpressError("unsupported_device", f"{min(broken)} does not compile")
        self.entries = tuple(name for name in wanted if name not in broken)
        self._lost = False
        self._in_flight = 0
        self.prepared += 1
        slots: list[tuple[int, int] | None] = [None] * (pages * plan.page_size)
        logits, batch = FakeLogits(plan.vocab_size), FakeBatch.of(plan)
        tokens = [0] * plan.prefill_chunk
        self._memory = _Memory(plan, [-1] * pages, slots, tokens, logits, batch)
        for index in range(len(plan.kernels)):
            await asyncio.sleep(0)
            on_progress(Progress("compile", index + 1, len(plan.kernels), "kernels"))
        return broken

    async def upload(
        self, index: WeightIndex, text: str, storage: Storage, *, on_progress: OnProgress
    ) -> None:
        """Read every chunk; remember its size."""
        assert self._memory is not None, "upload before prepare"
        for chunk in index.chunks:
            data = await storage.chunk(chunk)
            self.uploaded[chunk.sha256] = len(data)
            end = chunk.offset + chunk.nbytes
            on_progress(Progress("download", end, index.nbytes, "bytes"))
            on_progress(Progress("upload", end, index.nbytes, "bytes"))

    def write(self, buffer: str, data: bytes, *, offset: int = 0) -> None:
        """Write an I/O buffer."""
        memory = self._alive()
        assert len(data) % 4 == 0 and offset % 4 == 0
        words = list(struct.unpack(f"<{len(data) // 4}i", data))
        first = offset // 4
        if buffer == "sampler":
            assert len(data) == 64 and offset == 0
            memory.sampler = bytes(data)
        elif buffer == "bias":
            assert offset == 0
            memory.logits.write_bias(data)
        elif buffer == "token_mask":
            assert offset == 0
            memory.logits.write_mask(data)
        elif buffer == "token":
            memory.token = words[0]
        elif buffer == "counts":
            memory.counts = {t: w & 0xFFFFFFFF for t, w in enumerate(words) if w}
        elif buffer in ("types", "positions", "spans", "texts"):
            assert offset == 0
            memory.rows[buffer] = words
        else:
            target = {
                "tokens": memory.tokens,
                "page_table": memory.page_table,
                "batch_table": memory.batch.table,
                "batch_tokens": memory.batch.tokens,
            }[buffer]
            assert first + len(words) <= len(target), f"write past the end of {buffer}"
            target[first : first + len(words)] = words

    def submit(self, entries: Sequence[str], symbols: Mapping[str, int]) -> None:
        """Run entries now: the queue is ordered, so later is the same."""
        memory = self._alive()
        self.submits.append((tuple(entries), dict(symbols)))
        for name in entries:
            assert name in self.entries, f"{name} is not prepared"
            needed = memory.plan.entries[name].symbols
            assert set(needed) <= set(symbols), f"{name} needs {needed}, got {sorted(symbols)}"
            self._run(memory, name.split(".")[0].removesuffix("_f32"), symbols)
            self._now += self._costs.get(name, 0.0)
            if name in self._flaws.wrong(memory.plan.variant):
                memory.spoil()

    def step(self, entries: Sequence[str], symbols: Mapping[str, int], read: str) -> Awaitable[int]:
        """Run entries; the result arrives a few turns of the loop later, in order."""
        self.submit(entries, symbols)
        assert read == "token"
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        assert self._in_flight <= MAX_IN_FLIGHT, "too many steps in flight"
        return _Result(asyncio.ensure_future(self._result(self._alive().token)))

    async def profile(
        self, entries: Sequence[str], symbols: Mapping[str, int]
    ) -> list[tuple[str, float]]:
        """An entry is a kernel of its name."""
        self.submit(entries, symbols)
        return [(name, 1e6 * self._costs.get(name, 0.0)) for name in entries]

    async def read(self, buffer: str, nbytes: int, *, offset: int = 0) -> bytes:
        """Bytes of `token` or `page_table`; `logits` is one-hot at the most likely token."""
        memory = self._alive()
        logits = memory.logits.values()
        data = {
            "token": struct.pack("<i", memory.token),
            "logprobs": memory.logits.record,
            "page_table": struct.pack(f"<{len(memory.page_table)}i", *memory.page_table),
            "logits": struct.pack(f"<{len(logits)}f", *logits),
            "embeddings": struct.pack(f"<{len(memory.vectors)}f", *memory.vectors),
        }[buffer]
        return data[offset : offset + nbytes]

    async def synchronize(self) -> None:
        """Let every queued result arrive."""
        self._alive()
        await asyncio.sleep(0)

    async def release(self) -> None:
        """Forget the plan."""
        self._memory = None
        self.released += 1

    async def close(self) -> None:
        """Forget everything."""
        await self.release()

    def lose(self) -> None:
        """From now on nothing works until the next `prepare`."""
        self._lost = True

    def sampled_with(self) -> tuple[float, ...]:
        """The sampler record last written: six reals, top_k, seed low, seed high."""
        return struct.unpack("<6f3I", self._alive().sampler[:36])

    @property
    def counts(self) -> Mapping[int, int]:
        """What the device counted since the last reset: bit 31 marks prompt tokens."""
        return self._alive().counts

    def _alive(self) -> _Memory:
        if self._lost:
            raise ModelpressError("device_lost", "the fake device is lost; ask again")
        assert self._memory is not None, "no plan is prepared"
        return self._memory

    async def _result(self, token: int) -> int:
        await asyncio.sleep(0)
        self._in_flight -= 1
        self._alive()
        return token

    def _run(self, memory: _Memory, name: str, symbols: Mapping[str, int]) -> None:
        if name == "prefill":
            n = symbols["n"]
            assert 1 <= n <= memory.plan.prefill_chunk
            logits = self._append(memory, memory.tokens[:n], symbols["pos"])
            memory.logits.compute(logits)
        elif name == "decode":
            memory.logits.compute(self._append(memory, [memory.token], symbols["pos"]))
        elif name == "decode_batch":
            memory.batch.decode(
                symbols["n"], lambda table, t, pos: self._append(memory, [t], pos, table)
            )
        elif name == "greedy":
            memory.token = memory.logits.best()
        elif name == "sample":
            memory.token = self._sample(memory, symbols["pos"])
            memory.counts[memory.token] = memory.counts.get(memory.token, 0) + 1
        elif name == "count":
            for token in memory.tokens[: symbols["n"]]:
                memory.counts[token] = memory.counts.get(token, 0) | 1 << 31
        elif name == "reset":
            memory.counts.clear()
        elif name == "encode":
            memory.vectors = _encoded(memory, symbols["n"], symbols["texts"])
        else:
            _run_beside(memory, name, symbols)

    def _append(
        self,
        memory: _Memory,
        tokens: Iterable[int],
        position: int,
        table: Sequence[int] | None = None,
    ) -> int:
        """The token that follows when these are written at `position`."""
        table = memory.page_table if table is None else table
        for offset, token in enumerate(tokens):
            assert 0 <= token < memory.plan.vocab_size, f"token {token} is not in the vocabulary"
            memory.slots[_slot(memory, table, position + offset)] = (position + offset, token)
            end = position + offset + 1
        cached = tuple(_cached(memory, table, i) for i in range(end))
        if memory.plan.recurrent and memory.states.read(cached[position:], position) != cached:
            return (self._next_token(cached) + 1) % memory.plan.vocab_size
        return self._next_token(cached)

    def _sample(self, memory: _Memory, position: int) -> int:
        """At top_k 1 the most likely token, else any allowed: a hash of seed and position."""
        *_, top_k, low, high = struct.unpack("<6f3I", memory.sampler[:36])
        if top_k == 1:
            return memory.logits.best()
        words = low, high, position, memory.logits.best()
        digest = hashlib.sha256(struct.pack("<3Ii", *words)).digest()
        allowed = memory.logits.allowed()
        return allowed[int.from_bytes(digest[:4], "little") % len(allowed)]


class _Result:
    """A step's result: cancelling whoever awaits it leaves the step running."""

    __slots__ = ("_future",)

    def __init__(self, future: asyncio.Future[int]) -> None:
        self._future = future
        # A result nobody waits for may fail in peace.
        future.add_done_callback(lambda f: f.cancelled() or f.exception())

    def __await__(self) -> Generator[Any, None, int]:
        return asyncio.shield(self._future).__await__()


def _run_beside(memory: _Memory, name: str, symbols: Mapping[str, int]) -> None:
    """Entries between a decode and a draw, or after one."""
    if name == "save":
        memory.states.save(symbols["pos"], symbols["slot"])
    elif name == "restore":
        memory.states.restore(symbols["pos"], symbols["slot"])
    elif name == "logprobs":
        memory.logits.logprobs()
    elif name == "bias":
        memory.logits.bias()
    elif name == "mask":
        memory.logits.mask()
    elif name == "chosen":
        memory.logits.chosen(memory.token)
    elif name == "row_logits":
        memory.logits.compute(memory.batch.likeliest[symbols["row"]])
    elif name == "row_token":
        memory.batch.tokens[symbols["row"]] = memory.token


def _encoded(memory: _Memory, n: int, texts: int) -> list[float]:
    """Vectors of length 1 that depend on every token of a text and on its place."""
    assert 1 <= n <= memory.plan.prefill_chunk and len(memory.rows["types"]) == n
    bounds, spans = _pairs(memory, "texts"), _pairs(memory, "spans")
    vectors: list[float] = []
    assert len(bounds) == texts and len(spans) == n
    for start, end in bounds:
        assert spans[start:end] == [(start, end)] * (end - start)
        assert memory.rows["positions"][start:end] == list(range(end - start))
        vectors += fake_vector(memory.tokens[start:end])
    return vectors


def _pairs(memory: _Memory, name: str) -> list[tuple[int, int]]:
    words = memory.rows[name]
    return list(zip(words[::2], words[1::2], strict=True))


def _cached(memory: _Memory, table: Sequence[int], position: int) -> int:
    entry = memory.slots[_slot(memory, table, position)]
    assert entry is not None, f"position {position} is read before it is written"
    assert entry[0] == position, f"position {position} reads what {entry[0]} wrote"
    return entry[1]


def _slot(memory: _Memory, table: Sequence[int], position: int) -> int:
    page = table[position // memory.plan.page_size]
    assert 0 <= page < len(memory.page_table), f"position {position} has no page"
    return page * memory.plan.page_size + position % memory.plan.page_size
