"""The weight stream: every buffer of a model, pressed tensor by tensor in stream order.

Row blocks are read, quantized and packed a little ahead of the consumer, by a pool of processes
when the model is large, so neither a whole model nor a whole source tensor is ever in memory.
Results do not depend on the number of workers.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtime.plan import Dtype

from .errors import HubError
from .quantize import Array, Halves, Packed, assemble, dequantize, pack_rows
from .rounding import Floats
from .schemes import SCHEMES, Scheme, Schemes
from .source_rows import BLOCK_ELEMENTS, TensorRows, as_stored, names_of, read_rows
from .taken_rows import take_rows
from .weight_specs import Part, RopeTable, WeightSpec

AHEAD_NBYTES = 256 * 1024 * 1024
POOL_ELEMENTS = 1 << 26
"""Smaller models are pressed in this process: workers would take longer to start."""


@dataclass(frozen=True, slots=True)
class PressedBuffer:
    """One weight buffer of the plan, ready to store; `error` and `norm` as in `Packed`."""

    name: str
    dtype: Dtype
    data: Array
    error: float = 0.0
    norm: float = 0.0


def press(
    specs: Sequence[WeightSpec],
    schemes: Schemes,
    source: TensorRows,
    importance: Mapping[str, Floats] | None = None,
) -> Iterator[PressedBuffer]:
    """Every buffer in the order of `WeightSpec.tensors`; CheckpointError names a bad tensor.

    `source` must survive pickling: it travels to the workers. `importance` f32[cols] of a matrix,
    by its name, is what rounding counts errors by.
    """
    known, sent = importance or {}, _Sent(source)
    pool = _pool(source, sum(spec.rows * spec.cols for spec in specs if spec.kind == "matrix"))
    pending: deque[_PartInProgress] = deque()
    try:
        for spec in specs:
            for part in spec.parts(schemes):
                scheme = spec.scheme(schemes)
                pending.append(_start(pool, spec, part, scheme, sent, known.get(spec.name)))
                while sum(item.nbytes for item in pending) > AHEAD_NBYTES:
                    yield from pending.popleft().finish()
        while pending:
            yield from pending.popleft().finish()
    except BrokenProcessPool as error:
        raise HubError(
            "a worker process was killed, most likely for lack of memory; close other programs "
            "and build again"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


class InlineExecutor(Executor):
    """Runs each call at once in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def _pool(source: TensorRows, elements: int) -> Executor:
    if elements < POOL_ELEMENTS:
        return InlineExecutor()
    # Processes, because threads spend their time handing the interpreter lock to each other;
    # spawned, because forking a process whose libraries run threads can deadlock.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(
        _cores(), mp_context=context, initializer=_begin_worker, initargs=(source,)
    )


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _begin_worker(source: TensorRows) -> None:
    """Ctrl-C reaches the whole process group; the parent alone answers it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _SOURCES[:] = [source]


class _Sent:
    """A source that travels once to each worker, when that begins, with however many blocks it is
    named: one with experts names its tensors by the ten thousands."""

    def __init__(self, source: TensorRows) -> None:
        self.source = source

    def __reduce__(self) -> tuple[Callable[[], _Sent], tuple[()]]:
        return _received, ()


_SOURCES: list[TensorRows] = []
"""In a worker: what it reads from."""


def _received() -> _Sent:
    return _Sent(_SOURCES[0])


@dataclass(frozen=True, slots=True)
class _PartInProgress:
    """The row blocks of one part of a weight, in order, perhaps still being packed."""

    spec: WeightSpec
    part: Part
    scheme: Scheme
    blocks: tuple[Future[Packed], ...]

    @property
    def nbytes(self) -> int:
        return self.part.rows * self.spec.cols * self.scheme.bits // 8

    def finish(self) -> Iterator[PressedBuffer]:
        blocks = [block.result() for block in self.blocks]
        error = math.fsum(block.error for block in blocks)
        norm = math.fsum(block.norm for block in blocks)
        main = np.concatenate([block.main for block in blocks])
        if self.spec.kind != "matrix":
            yield PressedBuffer(self.spec.name, "f32", main)
            return
        arrays = assemble(self.scheme, main, _joined([block.scales for block in blocks]))
        for suffix, dtype, shape in self.scheme.buffers(self.part.rows, self.spec.cols):
            data = arrays[suffix].reshape(shape)
            yield PressedBuffer(f"{self.part.name}.{suffix}", dtype, data, error, norm)
            error = norm = 0.0


def _joined(scales: Sequence[Halves | None]) -> Halves | None:
    present = [block for block in scales if block is not None]
    return np.concatenate(present) if present else None


def _start(
    pool: Executor,
    spec: WeightSpec,
    part: Part,
    scheme: Scheme,
    source: _Sent,
    importance: Floats | None,
) -> _PartInProgress:
    step = BLOCK_ELEMENTS if spec.kind != "matrix" else max(1, BLOCK_ELEMENTS // spec.cols)
    end = part.start + part.rows
    blocks = tuple(
        pool.submit(_packed_block, spec, scheme, source, start, min(start + step, end), importance)
        for start in range(part.start, end, step)
    )
    return _PartInProgress(spec, part, scheme, blocks)


def _packed_block(
    spec: WeightSpec,
    scheme: Scheme,
    sent: _Sent,
    start: int,
    stop: int,
    importance: Floats | None,
) -> Packed:
    return packed_rows(spec, scheme, sent.source, start, stop, importance)


def packed_rows(
    spec: WeightSpec,
    scheme: Scheme,
    source: TensorRows,
    start: int,
    stop: int,
    importance: Floats | None = None,
) -> Packed:
    """Rows [start, stop) of a weight, packed as they are stored."""
    if spec.rope is not None:
        return Packed(rope_table(spec.rope), None, 0.0, 0.0)
    names = names_of(spec, source, start, stop)
    taken = take_rows(
        spec, scheme, source, start, stop, lambda rows: pack_rows(scheme, rows, names, importance)
    )
    if taken is not None:
        return taken
    rows = read_rows(spec, source, start, stop)
    if spec.offset:
        rows = rows + np.float32(spec.offset)
    stored = scheme if spec.kind == "matrix" else SCHEMES["f32"]
    return pack_rows(stored, rows, names, importance)


def rope_table(table: RopeTable) -> Floats:
    """f32[length, 2 * frequencies]: cosines, then sines, of float32 angles.

    The functions are evaluated in float64 so that every processor gives the same float32.
    """
    positions = np.arange(table.length, dtype=np.float32)[:, None]
    angles = (positions * np.array(table.inv_freq, dtype=np.float32)).astype(np.float64)
    both = np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    return both * np.float32(table.scale)


def dequantized(
    specs: Sequence[WeightSpec],
    schemes: Schemes,
    buffers: Mapping[str, Array],
    source: TensorRows,
) -> Iterator[tuple[str, Floats]]:
    """(checkpoint tensor, float32 values a device computes with), each source tensor once.

    `source` gives the shapes; `buffers` are the pressed ones by name.
    """
    for spec in specs:
        if spec.kind == "rope":
            continue
        yield from as_stored(spec, source, _values(spec, schemes, buffers))


def _values(spec: WeightSpec, schemes: Schemes, buffers: Mapping[str, Array]) -> Floats:
    """All rows of a vector or a matrix as float32."""
    if spec.kind == "vector":
        return np.asarray(buffers[spec.name], dtype=np.float32) - np.float32(spec.offset)
    scheme = spec.scheme(schemes)
    parts = [_part_values(part, spec.cols, scheme, buffers) for part in spec.parts(schemes)]
    return np.concatenate(parts)


def _part_values(part: Part, cols: int, scheme: Scheme, buffers: Mapping[str, Array]) -> Floats:
    suffixes = [suffix for suffix, _, _ in scheme.buffers(part.rows, cols)]
    arrays = {suffix: buffers[f"{part.name}.{suffix}"] for suffix in suffixes}
    return dequantize(scheme, arrays, part.rows, cols)
