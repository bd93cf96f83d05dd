"""The executor over wgpu-py: a plan's dispatches replayed on this machine's own WebGPU.

Every wgpu error becomes a ModelpressError here and nowhere else.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import (
    Awaitable,
    Collection,
    Generator,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager
from typing import Any

import wgpu

from ..errors import ModelpressError
from ..executor import DeviceInfo, require_timestamps
from ..plan import Plan
from ..progress import OnProgress, Progress
from ..storage import Storage
from ..weights import WeightIndex
from .device import describe, find_adapter, means_lost, open_device
from .profile import time_dispatches
from .replay import Replay, ReplayEntry, build_entries, create_buffers, encode
from .upload import check_weights, fetch_ahead, pieces

RING = 8


class WgpuExecutor:
    """See `Executor`. After "device_lost" the next `prepare` opens a new device."""

    def __init__(self, *, adapter: str | None = None) -> None:
        """`adapter` picks one by a part of its name; None takes the best."""
        self._adapter_name = adapter
        self._adapter: wgpu.GPUAdapter | None = None
        self._device: wgpu.GPUDevice | None = None
        self._replay: Replay | None = None
        self._ring: list[wgpu.GPUBuffer] = []
        self._fence: wgpu.GPUBuffer | None = None
        self._results: list[asyncio.Future[int]] = []
        self._steps = 0
        self._lost = False

    async def device(self) -> DeviceInfo:
        """The adapter's facts."""
        if self._adapter is None:
            self._adapter = find_adapter(self._adapter_name)
        return describe(self._adapter)

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
        """Make buffers at once, then compile and bind; a lost device is replaced."""
        await self.release()
        device = await self._open()
        names = tuple(plan.entries) if entries is None else entries
        with self._translated():
            self._replay = create_buffers(device, plan, pages)
            return await build_entries(device, self._replay, names, spare, on_progress)

    async def upload(
        self, index: WeightIndex, text: str, storage: Storage, *, on_progress: OnProgress
    ) -> None:
        """Read a few chunks ahead, write each into the weight buffers it covers."""
        while self._replay is None:
            await asyncio.sleep(0)
        check_weights(self._replay.plan, index)
        done = 0
        async for chunk, data in fetch_ahead(index.chunks, storage):
            on_progress(Progress("download", done + chunk.nbytes, index.nbytes, "bytes"))
            for tensor, offset, part in pieces(index, chunk, data):
                with self._translated():
                    buffer = self._prepared().buffers[tensor]
                    self._queue().write_buffer(buffer, offset, part)
            await self.synchronize()  # wgpu keeps a copy of every write until it has run
            done += chunk.nbytes
            on_progress(Progress("upload", done, index.nbytes, "bytes"))

    def write(self, buffer: str, data: bytes, *, offset: int = 0) -> None:
        """Queue a write."""
        replay = self._prepared()
        with self._translated():
            self._queue().write_buffer(replay.buffers[buffer], offset, data)

    def submit(self, entries: Sequence[str], symbols: Mapping[str, int]) -> None:
        """Queue the dispatches of `entries` in one compute pass."""
        with self._translated():
            self._queue().submit([self._commands(entries, symbols).finish()])

    def step(self, entries: Sequence[str], symbols: Mapping[str, int], read: str) -> Awaitable[int]:
        """`submit`, and copy the first word of `read` into the next buffer of the ring."""
        place = self._steps % RING
        if not self._results[place].done():
            raise ModelpressError("internal", f"more than {RING} steps are in flight")
        self._steps += 1
        with self._translated():
            encoder = self._commands(entries, symbols)
            source = self._prepared().buffers[read]
            encoder.copy_buffer_to_buffer(source, 0, self._ring[place], 0, 4)
            self._queue().submit([encoder.finish()])
            mapped = self._ring[place].map_async(wgpu.MapMode.READ)
        result = asyncio.ensure_future(self._word(self._ring[place], mapped))
        # A result nobody waits for may fail in peace.
        result.add_done_callback(lambda f: f.cancelled() or f.exception())
        self._results[place] = result
        return _Result(result)

    async def profile(
        self, entries: Sequence[str], symbols: Mapping[str, int]
    ) -> list[tuple[str, float]]:
        """Run `entries`, every dispatch between two timestamps."""
        require_timestamps(await self.device())
        device, replay = await self._open(), self._prepared()
        chosen = [replay.entries[name] for name in entries]
        with self._translated():
            self._write_uniforms(chosen, symbols)
            return await time_dispatches(device, chosen, symbols)

    async def read(self, buffer: str, nbytes: int, *, offset: int = 0) -> bytes:
        """Bytes of a buffer after everything queued so far."""
        return await self._read(self._prepared().buffers[buffer], nbytes, offset)

    async def synchronize(self) -> None:
        """Return when everything queued so far has run."""
        # wgpu-py 0.32 cannot wait for submitted work (its callback has the wrong type), so read
        # a word that nothing writes: the queue is ordered.
        self._queue()
        assert self._fence is not None
        await self._read(self._fence, 4, 0)

    async def _read(self, source: wgpu.GPUBuffer, nbytes: int, offset: int) -> bytes:
        device = await self._open()
        with self._translated():
            staging = device.create_buffer(
                size=nbytes, usage=wgpu.BufferUsage.MAP_READ | wgpu.BufferUsage.COPY_DST
            )
            encoder = device.create_command_encoder()
            encoder.copy_buffer_to_buffer(source, offset, staging, 0, nbytes)
            self._queue().submit([encoder.finish()])
            await staging.map_async(wgpu.MapMode.READ)
            data = bytes(staging.read_mapped())
            staging.destroy()
        return data

    async def release(self) -> None:
        """Free the plan's buffers and pipelines."""
        replay, self._replay = self._replay, None
        if self._lost:
            # A lost device may leave a readback without an answer for ever.
            for result in self._results:
                result.cancel()
        await asyncio.gather(*self._results, return_exceptions=True)
        if replay is not None:
            replay.destroy()

    async def close(self) -> None:
        """Free everything."""
        await self.release()
        device, self._device = self._device, None
        if device is not None:
            device.destroy()

    async def _open(self) -> wgpu.GPUDevice:
        """The device, opened on first use and after a loss."""
        if self._lost or self._device is None:
            if self._lost or self._adapter is None:
                self._adapter = find_adapter(self._adapter_name)
            self._device = open_device(self._adapter)
            self._lost = False
            usage = wgpu.BufferUsage.MAP_READ | wgpu.BufferUsage.COPY_DST
            self._ring = [
                self._device.create_buffer(label=f"ring {i}", size=4, usage=usage)
                for i in range(RING)
            ]
            self._fence = self._device.create_buffer(
                label="fence", size=4, usage=wgpu.BufferUsage.COPY_SRC
            )
            self._results = [_resolved() for _ in range(RING)]
        return self._device

    def _queue(self) -> wgpu.GPUQueue:
        if self._device is None:
            raise ModelpressError("internal", "the device is not open; prepare a plan first")
        if self._lost:
            raise _lost_error()
        return self._device.queue

    def _prepared(self) -> Replay:
        if self._lost:
            raise _lost_error()
        if self._replay is None:
            raise ModelpressError("internal", "no plan is prepared")
        return self._replay

    def _commands(
        self, entries: Sequence[str], symbols: Mapping[str, int]
    ) -> wgpu.GPUCommandEncoder:
        replay = self._prepared()
        chosen = [replay.entries[name] for name in entries]
        self._write_uniforms(chosen, symbols)
        assert self._device is not None
        encoder = self._device.create_command_encoder()
        compute = encoder.begin_compute_pass()
        for entry in chosen:
            encode(compute, entry.dispatches, symbols)
        compute.end()
        return encoder

    def _write_uniforms(self, entries: Sequence[ReplayEntry], symbols: Mapping[str, int]) -> None:
        slots = {slot for entry in entries for slot in entry.slots}
        if slots:
            replay = self._prepared()
            offset, data = replay.uniform_bytes(slots, symbols)
            self._queue().write_buffer(replay.uniforms, offset, data)

    async def _word(self, buffer: wgpu.GPUBuffer, mapped: Awaitable[None]) -> int:
        with self._translated():
            await mapped
            word: int = struct.unpack("<i", buffer.read_mapped())[0]
            buffer.unmap()
            return word

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """wgpu's errors as ours; a lost device is remembered."""
        try:
            yield
        except (wgpu.GPUOutOfMemoryError, MemoryError) as error:
            raise ModelpressError(
                "out_of_memory",
                f"the device has not enough memory: {error}; try a smaller context or model",
            ) from error
        except (wgpu.GPUError, RuntimeError, ValueError) as error:
            if means_lost(error):
                self._lost = True
                raise _lost_error() from error
            raise ModelpressError("internal", f"WebGPU refuses: {error}") from error


class _Result:
    """A step's result: cancelling whoever awaits it leaves the readback running."""

    __slots__ = ("_future",)

    def __init__(self, future: asyncio.Future[int]) -> None:
        self._future = future

    def __await__(self) -> Generator[Any, None, int]:
        return asyncio.shield(self._future).__await__()


def _resolved() -> asyncio.Future[int]:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    future.set_result(0)
    return future


def _lost_error() -> ModelpressError:
    return ModelpressError(
        "device_lost", "the device was lost; ask again, the model will be loaded anew"
    )
