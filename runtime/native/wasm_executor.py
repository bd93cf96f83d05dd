"""The executor over wasmtime: plans for the processor, replayed without any graphics driver.

What is queued runs in order on one thread of its own, which leaves Python's while it computes.
Every wasmtime error becomes a ModelpressError here and nowhere else.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib.metadata
import platform
import struct
import time
from collections.abc import Awaitable, Callable, Collection, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import wasmtime

from ..errors import ModelpressError
from ..executor import DeviceInfo
from ..plan import Module, Plan
from ..processor import describe_processor
from ..progress import OnProgress, Progress
from ..storage import Storage
from ..weights import Chunk, WeightIndex
from .upload import check_weights, fetch_ahead, pieces
from .wasm_replay import CALLER, EntryCode, Layout, durations, entry_code, lay_out

PAGE = 65536
RING = 8
T = TypeVar("T")


@dataclass(slots=True)
class _Prepared:
    """A plan in memory: its instance and its entries as functions."""

    plan: Plan
    layout: Layout
    store: wasmtime.Store
    memory: wasmtime.Memory
    instance: wasmtime.Instance
    base: int
    entries: dict[str, tuple[EntryCode, wasmtime.Func]]


class WasmExecutor:
    """See `Executor`."""

    def __init__(self, storage: Storage) -> None:
        """The modules of plans come from `storage`."""
        config = wasmtime.Config()
        config.wasm_relaxed_simd = True
        self._storage = storage
        self._engine = wasmtime.Engine(config)
        self._thread = ThreadPoolExecutor(1, "modelpress-wasm")
        self._prepared: _Prepared | None = None
        self._flying: list[Future[int]] = []
        self._failure: ModelpressError | None = None

    async def device(self) -> DeviceInfo:
        """The processor; relaxed SIMD is always computed."""
        return describe_processor(
            relaxed=True,
            description=platform.processor() or platform.machine(),
            driver=f"wasmtime {importlib.metadata.version('wasmtime')}",
        )

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
        """Lay out memory, compile the module, and write each entry down as one function."""
        await self.release()
        if plan.module is None:
            raise ModelpressError(
                "unsupported_device",
                f"the variant {plan.variant!r} needs WebGPU and this is the processor; "
                "its variants are cpu and cpu-relaxed",
            )
        layout = lay_out(plan, plan.module, pages)
        names = tuple(plan.entries) if entries is None else tuple(entries)
        on_progress(Progress("compile", 0, len(names), "kernels"))
        code = await self._storage.chunk(_blob(plan.module))
        self._prepared = await self._soon(lambda: self._instance(plan, layout, code))
        for done, name in enumerate(names):
            await self._soon(partial(self._add, name))
            on_progress(Progress("compile", done + 1, len(names), "kernels"))
        return frozenset()

    def _instance(self, plan: Plan, layout: Layout, code: bytes) -> _Prepared:
        store = wasmtime.Store(self._engine)
        needed = wasmtime.Limits(-(-layout.nbytes // PAGE), None)
        try:
            memory = wasmtime.Memory(store, wasmtime.MemoryType(needed))
        except wasmtime.WasmtimeError as error:
            raise ModelpressError(
                "out_of_memory",
                f"this machine does not give {layout.nbytes:,} bytes: {error}; "
                "try a smaller context or model",
            ) from error
        try:
            instance = wasmtime.Instance(store, wasmtime.Module(self._engine, code), [memory])
        except wasmtime.WasmtimeError as error:
            raise ModelpressError(
                "unsupported_device", f"the plan's module does not compile: {error}"
            ) from error
        base = ctypes.addressof(memory.data_ptr(store).contents)
        return _Prepared(plan, layout, store, memory, instance, base, {})

    def _add(self, name: str) -> None:
        prepared = self._ready()
        code = entry_code(prepared.plan, prepared.plan.entries[name], prepared.layout)
        prepared.entries[name] = (code, self._function(prepared, code, {}))

    def _function(
        self, prepared: _Prepared, code: EntryCode, host: Mapping[str, wasmtime.Func]
    ) -> wasmtime.Func:
        linker, exports = wasmtime.Linker(self._engine), prepared.instance.exports(prepared.store)
        for name, function in host.items():
            linker.define(prepared.store, "host", name, function)
        for name in code.kernels:
            linker.define(prepared.store, CALLER, name, exports[name])
        module = wasmtime.Module(self._engine, bytes(wasmtime.wat2wasm(code.text)))
        run = linker.instantiate(prepared.store, module).exports(prepared.store)["run"]
        assert isinstance(run, wasmtime.Func)
        return run

    async def upload(
        self, index: WeightIndex, text: str, storage: Storage, *, on_progress: OnProgress
    ) -> None:
        """Read a few chunks ahead, copy each into the weight buffers it covers."""
        while self._prepared is None:
            await asyncio.sleep(0)
        check_weights(self._prepared.plan, index)
        done = 0
        async for chunk, data in fetch_ahead(index.chunks, storage):
            on_progress(Progress("download", done + chunk.nbytes, index.nbytes, "bytes"))
            for tensor, offset, part in pieces(index, chunk, data):
                self.write(tensor, bytes(part), offset=offset)
            await self.synchronize()
            done += chunk.nbytes
            on_progress(Progress("upload", done, index.nbytes, "bytes"))

    def write(self, buffer: str, data: bytes, *, offset: int = 0) -> None:
        """Queue a write."""
        place = self._place(buffer, offset, len(data))
        self._thread.submit(ctypes.memmove, place, data, len(data))

    def submit(self, entries: Sequence[str], symbols: Mapping[str, int]) -> None:
        """Queue `entries`; what goes wrong in them is raised by what is awaited next."""
        self._queue(entries, symbols, None)

    def step(self, entries: Sequence[str], symbols: Mapping[str, int], read: str) -> Awaitable[int]:
        """`submit`, then read the first word of `read`."""
        flying = [future for future in self._flying if not future.done()]
        if len(flying) >= RING:
            raise ModelpressError("internal", f"more than {RING} steps are in flight")
        future = self._queue(entries, symbols, read)
        self._flying = [*flying, future]
        return _Result(future)

    def _queue(
        self, entries: Sequence[str], symbols: Mapping[str, int], read: str | None
    ) -> Future[int]:
        prepared = self._ready()
        calls = [
            (function, code.values(symbols))
            for code, function in (prepared.entries[name] for name in entries)
        ]
        place = 0 if read is None else self._place(read, 0, 4)

        def run() -> int:
            for function, values in calls:
                function(prepared.store, *values)
            return struct.unpack("<i", ctypes.string_at(place, 4))[0] if place else 0

        return self._thread.submit(self._translated, run)

    async def profile(
        self, entries: Sequence[str], symbols: Mapping[str, int]
    ) -> list[tuple[str, float]]:
        """Run `entries`, looking at the clock between dispatches."""
        times: list[tuple[str, float]] = []
        for name in entries:
            times += await self._soon(partial(self._timed, name, symbols))
        return times

    def _timed(self, name: str, symbols: Mapping[str, int]) -> list[tuple[str, float]]:
        prepared = self._ready()
        entry = prepared.plan.entries[name]
        code = entry_code(prepared.plan, entry, prepared.layout, ticks=True)
        ticks: list[tuple[float, float]] = []

        def tick() -> None:
            began = time.perf_counter()
            ticks.append((began, time.perf_counter()))

        host = wasmtime.Func(prepared.store, wasmtime.FuncType([], []), tick)
        self._function(prepared, code, {"tick": host})(prepared.store, *code.values(symbols))
        return durations([step.kernel for step in entry.steps], ticks)

    async def read(self, buffer: str, nbytes: int, *, offset: int = 0) -> bytes:
        """Bytes of a buffer after everything queued so far."""
        place = self._place(buffer, offset, nbytes)
        return await self._soon(lambda: ctypes.string_at(place, nbytes))

    async def synchronize(self) -> None:
        """Return when everything queued so far has run."""
        await self._soon(lambda: None)

    async def release(self) -> None:
        """Free the plan's memory and code."""
        await asyncio.wrap_future(self._thread.submit(lambda: None))
        self._prepared = self._failure = None

    async def close(self) -> None:
        """Free everything."""
        await self.release()
        self._thread.shutdown()

    async def _soon(self, work: Callable[[], T]) -> T:
        """`work` behind everything queued so far."""
        return await asyncio.wrap_future(self._thread.submit(self._translated, work))

    def _translated(self, work: Callable[[], T]) -> T:
        """wasmtime's errors as ours; nothing is computed behind one."""
        if self._failure is not None:
            raise self._failure
        try:
            return work()
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            self._failure = ModelpressError("internal", f"WebAssembly stopped: {error}")
            raise self._failure from error

    def _place(self, buffer: str, offset: int, nbytes: int) -> int:
        """The address of bytes of a buffer in this process."""
        prepared = self._ready()
        size = prepared.layout.sizes[buffer]
        if offset < 0 or offset + nbytes > size:
            raise ModelpressError(
                "internal", f"{nbytes} bytes at {offset} are not in {buffer}, which has {size}"
            )
        return prepared.base + prepared.layout.addresses[buffer] + offset

    def _ready(self) -> _Prepared:
        if self._prepared is None:
            raise ModelpressError("internal", "no plan is prepared")
        return self._prepared


class _Result:
    """A step's result: whoever awaits it may go away, the step runs all the same."""

    __slots__ = ("_future",)

    def __init__(self, future: Future[int]) -> None:
        self._future = future

    def __await__(self) -> Generator[Any, None, int]:
        return asyncio.shield(asyncio.wrap_future(self._future)).__await__()


def _blob(module: Module) -> Chunk:
    return Chunk(module.single.sha256, 0, module.single.nbytes)
