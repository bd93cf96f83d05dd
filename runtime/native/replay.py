"""A plan made ready to replay: pipelines, buffers, uniform slots, bind groups, dispatch lists.

Everything is created once. Steps of any entry that have equal uniform members share one slot of
one uniform buffer: symbols belong to a submit, so equal expressions have equal values.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import wgpu

from ..errors import ModelpressError
from ..plan import Entry, Expr, Kernel, Plan, Step, Uniform
from ..progress import OnProgress, Progress
from .device import means_lost

SLOT_NBYTES = 256
"""WebGPU's default minUniformBufferOffsetAlignment."""
STORAGE = wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_DST | wgpu.BufferUsage.COPY_SRC
Signature = tuple[str, int, tuple[int, ...], int]
"""Kernel, number of storage bindings, which of them are written, members of the uniform."""
Pipeline = tuple[wgpu.GPUComputePipeline, wgpu.GPUBindGroupLayout]


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One step with its GPU objects; `grid` stays symbolic."""

    kernel: str
    pipeline: wgpu.GPUComputePipeline
    bind_group: wgpu.GPUBindGroup
    grid: tuple[Expr, Expr, Expr]


@dataclass(frozen=True, slots=True)
class ReplayEntry:
    """An entry point: its dispatches and the uniform slots they read."""

    symbols: tuple[str, ...]
    dispatches: tuple[Dispatch, ...]
    slots: tuple[int, ...]


@dataclass(slots=True)
class Replay:
    """What a prepared plan owns on the device."""

    plan: Plan
    buffers: dict[str, wgpu.GPUBuffer]
    uniforms: wgpu.GPUBuffer
    slots: tuple[tuple[Uniform, ...], ...]
    entries: dict[str, ReplayEntry] = field(default_factory=dict)

    def uniform_bytes(self, slots: Iterable[int], symbols: Mapping[str, int]) -> tuple[int, bytes]:
        """Byte offset and bytes of one write that fills all `slots`."""
        wanted = sorted(slots)
        first = wanted[0]
        data = bytearray((wanted[-1] - first + 1) * SLOT_NBYTES)
        for slot in wanted:
            place = (slot - first) * SLOT_NBYTES
            for index, member in enumerate(self.slots[slot]):
                data[place + 4 * index : place + 4 * index + 4] = _pack(member, symbols)
        return first * SLOT_NBYTES, bytes(data)

    def destroy(self) -> None:
        """Free the memory now, not when Python gets to it."""
        for buffer in (*self.buffers.values(), self.uniforms):
            buffer.destroy()


def create_buffers(device: wgpu.GPUDevice, plan: Plan, pages: int) -> Replay:
    """Every buffer of the plan, zeroed as WebGPU promises, and the uniform slots."""
    buffers = {}
    for buffer in plan.buffers:
        nbytes = buffer.nbytes.evaluate({"pages": pages})
        buffers[buffer.name] = device.create_buffer(
            label=buffer.name, size=max(4, nbytes), usage=STORAGE
        )
    slots = uniform_slots(plan)
    uniforms = device.create_buffer(
        label="uniforms",
        size=max(1, len(slots)) * SLOT_NBYTES,
        usage=wgpu.BufferUsage.UNIFORM | wgpu.BufferUsage.COPY_DST,
    )
    return Replay(plan, buffers, uniforms, slots)


def uniform_slots(plan: Plan) -> tuple[tuple[Uniform, ...], ...]:
    """The distinct uniform structs of a plan, in order of first use."""
    steps = (step for entry in plan.entries.values() for step in entry.steps)
    return tuple(dict.fromkeys(step.uniforms for step in steps if step.uniforms))


async def build_entries(
    device: wgpu.GPUDevice,
    replay: Replay,
    names: Sequence[str],
    spare: Collection[str],
    on_progress: OnProgress,
) -> frozenset[str]:
    """Compile what the entries `names` dispatch, then bind; those of `spare` that cannot be.

    Compiles in a thread, so that an upload goes on meanwhile.
    """
    plan = replay.plan
    kernels = {kernel.name: kernel for kernel in plan.kernels}
    signatures = list(dict.fromkeys(signature(s) for n in names for s in plan.entries[n].steps))
    needed = {signature(s) for n in names if n not in spare for s in plan.entries[n].steps}
    pipelines: dict[Signature, Pipeline] = {}
    for index, key in enumerate(signatures):
        try:
            pipelines[key] = await asyncio.to_thread(_pipeline, device, kernels[key[0]], key)
        except ModelpressError as error:
            if key in needed or error.code != "unsupported_device":
                raise
        on_progress(Progress("compile", index + 1, len(signatures), "kernels"))
    failed = {n for n in names if any(signature(s) not in pipelines for s in plan.entries[n].steps)}
    groups: dict[Any, wgpu.GPUBindGroup] = {}
    for name in names:
        if name not in failed:
            replay.entries[name] = _entry(device, replay, plan.entries[name], pipelines, groups)
    return frozenset(failed)


def _entry(
    device: wgpu.GPUDevice,
    replay: Replay,
    entry: Entry,
    pipelines: Mapping[Signature, Pipeline],
    groups: dict[Any, wgpu.GPUBindGroup],
) -> ReplayEntry:
    dispatches = tuple(_dispatch(device, replay, step, pipelines, groups) for step in entry.steps)
    used = {replay.slots.index(step.uniforms) for step in entry.steps if step.uniforms}
    return ReplayEntry(entry.symbols, dispatches, tuple(sorted(used)))


def signature(step: Step) -> Signature:
    """What decides a step's pipeline layout."""
    return step.kernel, len(step.bindings), step.writes, len(step.uniforms)


def encode(
    compute: wgpu.GPUComputePassEncoder, dispatches: Sequence[Dispatch], symbols: Mapping[str, int]
) -> None:
    """Record dispatches; a grid with a zero is skipped."""
    for dispatch in dispatches:
        x, y, z = (expr.evaluate(symbols) for expr in dispatch.grid)
        if x and y and z:
            compute.set_pipeline(dispatch.pipeline)
            compute.set_bind_group(0, dispatch.bind_group)
            compute.dispatch_workgroups(x, y, z)


def _pipeline(device: wgpu.GPUDevice, kernel: Kernel, key: Signature) -> Pipeline:
    # The layout is explicit because an automatic one leaves out bindings a shader does not read.
    _, count, writes, members = key
    types = ["storage" if i in writes else "read-only-storage" for i in range(count)]
    types += ["uniform"] if members else []
    entries = [
        {"binding": i, "visibility": wgpu.ShaderStage.COMPUTE, "buffer": {"type": type_}}
        for i, type_ in enumerate(types)
    ]
    try:
        group = device.create_bind_group_layout(label=kernel.name, entries=entries)
        pipeline = device.create_compute_pipeline(
            label=kernel.name,
            layout=device.create_pipeline_layout(bind_group_layouts=[group]),
            compute={
                "module": device.create_shader_module(label=kernel.name, code=native_wgsl(kernel)),
                "entry_point": kernel.entry_point,
            },
        )
    except (wgpu.GPUError, RuntimeError) as error:
        if means_lost(error):
            raise
        raise ModelpressError(
            "unsupported_device",
            f"kernel {kernel.name} does not compile on this device: {error}; "
            "try another variant of the model",
            details={"kernel": kernel.name},
        ) from error
    return pipeline, group


def native_wgsl(kernel: Kernel) -> str:
    """naga knows subgroups without the directive, and refuses the directive."""
    lines = kernel.wgsl.splitlines(keepends=True)
    return "".join("\n" if line.strip() == "enable subgroups;" else line for line in lines)


def _dispatch(
    device: wgpu.GPUDevice,
    replay: Replay,
    step: Step,
    pipelines: Mapping[Signature, Pipeline],
    groups: dict[Any, wgpu.GPUBindGroup],
) -> Dispatch:
    key = signature(step)
    pipeline, layout = pipelines[key]
    group_key = (key, step.bindings, step.uniforms)
    if group_key not in groups:
        groups[group_key] = _bind_group(device, replay, step, layout)
    return Dispatch(step.kernel, pipeline, groups[group_key], step.grid)


def _bind_group(
    device: wgpu.GPUDevice, replay: Replay, step: Step, layout: wgpu.GPUBindGroupLayout
) -> wgpu.GPUBindGroup:
    resources: list[dict[str, Any]] = [
        {"buffer": replay.buffers[name], "offset": 0, "size": replay.buffers[name].size}
        for name in step.bindings
    ]
    if step.uniforms:
        offset = replay.slots.index(step.uniforms) * SLOT_NBYTES
        size = -(-4 * len(step.uniforms) // 16) * 16
        resources.append({"buffer": replay.uniforms, "offset": offset, "size": size})
    entries = [{"binding": i, "resource": resource} for i, resource in enumerate(resources)]
    return device.create_bind_group(label=step.kernel, layout=layout, entries=entries)


def _pack(member: Uniform, symbols: Mapping[str, int]) -> bytes:
    value = member.value.evaluate(symbols)
    if member.type == "f32":
        return struct.pack("<f", value)
    return struct.pack("<i" if member.type == "i32" else "<I", value)
