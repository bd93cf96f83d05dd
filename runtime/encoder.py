"""The encoder: one plan prepared on one executor, and texts made into vectors on it.

Knows rows and runs; not text, prompts or models. Several texts share a run, one behind the other in
its rows: a list of unequal texts costs what its tokens cost, whatever their lengths.

Entry point of such a plan: `encode(n, texts)` reads `tokens`, `types` and `positions` i32[n],
`spans` i32[n, 2] (the first row of each row's text and the one behind its last) and `texts`
i32[texts, 2] (the same for each text), and leaves `embeddings` f32[texts, width].
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .abort import AbortSignal
from .errors import ModelpressError
from .executor import Executor
from .manifest import Embedding
from .pace import Pace
from .plan import Plan
from .progress import OnProgress, Progress, ignore_progress

ENCODE = "encode"
Vector: TypeAlias = "array[float]"
"""32-bit floats."""


@dataclass(frozen=True, slots=True)
class Run:
    """Texts [start, end) of a list, to be computed at once, and their tokens in all."""

    start: int
    end: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Layout:
    """What a run writes: the I/O buffers by name, as bytes."""

    buffers: tuple[tuple[str, bytes], ...]
    symbols: dict[str, int]

    @classmethod
    def of(cls, texts: Sequence[Sequence[int]]) -> Layout:
        """`texts` as token ids, each of at least one."""
        tokens, positions = array("i"), array("i")
        spans, bounds = array("i"), array("i")
        for text in texts:
            begin, end = len(tokens), len(tokens) + len(text)
            tokens.extend(text)
            positions.extend(range(len(text)))
            spans.extend((begin, end) * len(text))
            bounds.extend((begin, end))
        rows = len(tokens)
        parts = {"tokens": tokens, "positions": positions, "spans": spans, "texts": bounds}
        written = [("types", bytes(4 * rows)), *((k, v.tobytes()) for k, v in parts.items())]
        return cls(tuple(written), {"n": rows, "texts": len(texts)})


def split_runs(lengths: Sequence[int], most_tokens: int, most_texts: int) -> Iterator[Run]:
    """Texts of these lengths in order, as many a run as fit; one text always does."""
    start = tokens = 0
    for index, length in enumerate(lengths):
        if index > start and (tokens + length > most_tokens or index - start == most_texts):
            yield Run(start, index, tokens)
            start, tokens = index, 0
        tokens += length
    if start < len(lengths):
        yield Run(start, len(lengths), tokens)


class Encoder:
    """A model of embeddings on a device. An aborted request leaves nothing to repair."""

    def __init__(
        self, plan: Plan, executor: Executor, embedding: Embedding, *, context: int
    ) -> None:
        """`context` is the longest text in tokens."""
        assert ENCODE in plan.entries and context <= plan.prefill_chunk
        self.plan, self.executor, self.embedding, self.context = plan, executor, embedding, context
        self._most_texts = _most_texts(plan)
        self._pace = Pace(plan.prefill_chunk)

    @property
    def depth(self) -> int:
        """Runs kept in flight."""
        return 1

    async def settle(self) -> None:
        """Nothing is ever left queued."""

    async def embed(
        self,
        texts: Sequence[Sequence[int]],
        *,
        signal: AbortSignal,
        on_progress: OnProgress = ignore_progress,
    ) -> list[Vector]:
        """One vector a text, in order; token ids, special ones included.

        Raises ModelpressError "aborted" between runs. Progress: stage "embed", unit "tokens".
        """
        lengths = [len(text) for text in texts]
        assert all(0 < length <= self.context for length in lengths)
        self._check_ids(texts)
        vectors: list[Vector] = []
        total, done = sum(lengths), 0
        while len(vectors) < len(texts):
            signal.check()
            left = lengths[len(vectors) :]
            # The first run is small, and tells how much this device computes at once.
            run = next(split_runs(left, self._pace.chunk, self._most_texts))
            first = len(vectors)
            began = time.perf_counter()
            vectors += await self.run(texts[first : first + run.end])
            self._pace.record(run.tokens, began, time.perf_counter())
            done += run.tokens
            on_progress(Progress("embed", done, total, "tokens"))
        return vectors

    async def run(self, texts: Sequence[Sequence[int]]) -> list[Vector]:
        """The vectors of texts that fit one run."""
        return await encode(self.executor, texts, self.embedding.width)

    def _check_ids(self, texts: Sequence[Sequence[int]]) -> None:
        """The device would take the nearest token for one that is not there."""
        size = self.plan.vocab_size
        for text in texts:
            if min(text) < 0 or max(text) >= size:
                raise ModelpressError(
                    "bad_request",
                    f"a token is outside the vocabulary of {size}",
                    details={"param": "input"},
                )


async def encode(executor: Executor, texts: Sequence[Sequence[int]], width: int) -> list[Vector]:
    """One run of the prepared plan."""
    layout = Layout.of(texts)
    for name, data in layout.buffers:
        executor.write(name, data)
    executor.submit((ENCODE,), layout.symbols)
    data = await executor.read("embeddings", 4 * width * len(texts))
    values = array("f", data)
    return [values[i * width : (i + 1) * width] for i in range(len(texts))]


def _most_texts(plan: Plan) -> int:
    """As many as the plan has room for."""
    sizes = {buffer.name: buffer.nbytes for buffer in plan.buffers}
    return sizes["texts"].evaluate({}) // 8
