"""Weights on their way to the device: checked against the plan, read ahead, cut by tensor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

from ..errors import FormatError
from ..plan import Plan
from ..storage import Storage
from ..weights import Chunk, WeightIndex

FETCH_AHEAD = 3
"""Chunks read and checked at once while others are written to the device."""


def check_weights(plan: Plan, index: WeightIndex) -> None:
    """Index and plan speak of the same weights; FormatError naming the first that differ."""
    expected = {b.name: b.nbytes.evaluate({}) for b in plan.buffers if b.role == "weight"}
    found = {t.name: t.nbytes for t in index.tensors}
    for name in expected.keys() | found.keys():
        if expected.get(name) != found.get(name):
            raise FormatError(
                "weights.json",
                f"tensor {name!r} has {found.get(name)} bytes and the plan wants "
                f"{expected.get(name)}; build the model again with `modelpress build`",
            )


async def fetch_ahead(
    chunks: Sequence[Chunk], storage: Storage
) -> AsyncIterator[tuple[Chunk, bytes]]:
    """Chunks in order, the next few already on their way."""
    tasks: list[asyncio.Task[bytes]] = []
    try:
        for i, chunk in enumerate(chunks):
            ahead = chunks[i + len(tasks) : i + FETCH_AHEAD]
            tasks.extend(asyncio.ensure_future(storage.chunk(c)) for c in ahead)
            yield chunk, await tasks.pop(0)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def pieces(index: WeightIndex, chunk: Chunk, data: bytes) -> Iterator[tuple[str, int, memoryview]]:
    """The parts of a chunk: the tensor each belongs to, where in it, and the bytes."""
    end = chunk.offset + chunk.nbytes
    for tensor in index.tensors:
        first = max(tensor.offset, chunk.offset)
        last = min(tensor.offset + tensor.nbytes, end)
        if first < last:
            part = memoryview(data)[first - chunk.offset : last - chunk.offset]
            yield tensor.name, first - tensor.offset, part
