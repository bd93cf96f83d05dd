"""Timing dispatches one by one with timestamp queries, each in a pass of its own."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence

import wgpu
from wgpu.backends.wgpu_native import lib

from .replay import Dispatch, ReplayEntry, encode

MAX_PASSES = 2048
"""A query set holds 4096 timestamps."""


async def time_dispatches(
    device: wgpu.GPUDevice, entries: Sequence[ReplayEntry], symbols: Mapping[str, int]
) -> list[tuple[str, float]]:
    """Run the dispatches of `entries`; (kernel, microseconds) of each that has work to do."""
    dispatches = [
        d for e in entries for d in e.dispatches if all(g.evaluate(symbols) for g in d.grid)
    ]
    times: list[tuple[str, float]] = []
    for start in range(0, len(dispatches), MAX_PASSES):
        part = dispatches[start : start + MAX_PASSES]
        found = await _run(device, part, symbols)
        times += zip((dispatch.kernel for dispatch in part), found, strict=True)
    return times


async def _run(
    device: wgpu.GPUDevice, dispatches: Sequence[Dispatch], symbols: Mapping[str, int]
) -> Iterator[float]:
    """Microseconds of each dispatch."""
    count = 2 * len(dispatches)
    queries = device.create_query_set(type="timestamp", count=count)
    usage = wgpu.BufferUsage
    resolved = device.create_buffer(size=8 * count, usage=usage.QUERY_RESOLVE | usage.COPY_SRC)
    mapped = device.create_buffer(size=8 * count, usage=usage.MAP_READ | usage.COPY_DST)
    encoder = device.create_command_encoder(label="profile")
    for index, dispatch in enumerate(dispatches):
        writes = {
            "query_set": queries,
            "beginning_of_pass_write_index": 2 * index,
            "end_of_pass_write_index": 2 * index + 1,
        }
        compute = encoder.begin_compute_pass(timestamp_writes=writes)
        encode(compute, (dispatch,), symbols)
        compute.end()
    encoder.resolve_query_set(queries, 0, count, resolved, 0)
    encoder.copy_buffer_to_buffer(resolved, 0, mapped, 0, 8 * count)
    device.queue.submit([encoder.finish()])
    await mapped.map_async(wgpu.MapMode.READ)
    ticks = struct.unpack(f"<{count}Q", mapped.read_mapped())
    # wgpu gives the device's own ticks, and this is the only way to learn how long one is.
    tick_us = lib.wgpuQueueGetTimestampPeriod(device.queue._internal) / 1000
    for resource in (queries, resolved, mapped):
        resource.destroy()
    return ((end - begin) * tick_us for begin, end in zip(ticks[::2], ticks[1::2], strict=True))
