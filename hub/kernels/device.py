"""One native WebGPU device that runs single kernels, for the library's tests and benchmark.

It is opened with WebGPU's default limits, so a kernel that needs more fails here first. Plans run
through the engine's executor, not through this.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import wgpu
from numpy.typing import NDArray

from .kernel import KernelSequence, LibraryKernel

Array = NDArray[Any]

ICD_FOLDERS = ("/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d")
CHROMIUM_FOLDERS = (
    "/usr/lib/chromium",
    "/usr/lib/chromium-browser",
    "/usr/lib64/chromium-browser",
    "/opt/google/chrome",
    "/opt/chromium.org/chromium",
)
DEFAULT_LIMITS = {
    "max-storage-buffers-per-shader-stage": 8,
    "max-compute-workgroup-storage-size": 16384,
    "max-compute-invocations-per-workgroup": 256,
    "max-compute-workgroup-size-x": 256,
    "max-compute-workgroups-per-dimension": 65535,
    "max-storage-buffer-binding-size": 128 * 1024 * 1024,
}
_FEATURES = ("shader-f16", "subgroup", "timestamp-query")


def driver_file(driver: str) -> Path | None:
    """The Vulkan driver description of "lavapipe" or "swiftshader", if this machine has it.

    The Vulkan loader reads it from VK_ICD_FILENAMES when a process first uses it. SwiftShader
    comes with Chromium: a system package or one that Playwright installed.
    """
    if driver == "lavapipe":
        found = [p for folder in ICD_FOLDERS for p in sorted(Path(folder).glob("lvp_icd*.json"))]
    else:
        name = "vk_swiftshader_icd.json"
        places = [Path(folder) / name for folder in CHROMIUM_FOLDERS]
        cached = sorted((Path.home() / ".cache" / "ms-playwright").glob(f"*/*/{name}"))
        found = [path for path in (*places, *cached) if path.exists()]
    return found[0] if found else None


class KernelDevice:
    """A device of the first Vulkan adapter, else of the default one."""

    def __init__(self) -> None:
        adapters = wgpu.gpu.enumerate_adapters_sync()
        vulkan = [a for a in adapters if a.info["backend_type"] == "Vulkan"]
        adapter = vulkan[0] if vulkan else wgpu.gpu.request_adapter_sync()
        self.description = f"{adapter.info['vendor']} {adapter.info['device']}".strip()
        self.features = frozenset(f for f in _FEATURES if f in adapter.features)
        self._device = adapter.request_device_sync(
            required_features=sorted(self.features), required_limits=DEFAULT_LIMITS
        )
        self._pipelines: dict[str, Any] = {}

    def run(
        self,
        kernel: LibraryKernel | KernelSequence,
        arrays: Sequence[Array],
        symbols: Mapping[str, int],
    ) -> list[Array]:
        """Run once; the arrays as the written arguments are left, in the order of arguments.

        Temporaries start as all ones, which is NaN: a kernel may not rely on zeros in them.
        """
        buffers = [self._buffer(array) for array in arrays]
        if isinstance(kernel, LibraryKernel):
            parts = [(kernel, tuple(range(len(arrays))))]
        else:
            parts = list(kernel.kernels)
            buffers += [
                self._buffer(np.full(n, 0xFF, np.uint8)) for n in kernel.scratch_nbytes(symbols)
            ]
        for part, ids in parts:
            self._dispatch(self._pipeline(part), part, [buffers[i] for i in ids], symbols, 1)
        written = {ids[index] for part, ids in parts for index in part.writes}
        results = []
        for index in sorted(i for i in written if i < len(arrays)):
            data = self._device.queue.read_buffer(buffers[index])
            array = arrays[index]
            flat = np.frombuffer(data, np.uint8)[: array.nbytes].view(array.dtype)
            results.append(flat.reshape(array.shape).copy())
        return results

    def time(
        self,
        kernel: LibraryKernel,
        arrays: Sequence[Array],
        symbols: Mapping[str, int],
        *,
        rounds: int = 5,
        round_s: float = 0.1,
    ) -> float:
        """Median seconds of one dispatch, from `rounds` submits of about `round_s` each."""
        buffers = [self._buffer(array) for array in arrays]
        pipeline = self._pipeline(kernel)

        def submit(repeats: int) -> float:
            begin = time.perf_counter()
            self._dispatch(pipeline, kernel, buffers, symbols, repeats)
            self._device.queue.read_buffer(buffers[kernel.writes[0]], size=4)
            return (time.perf_counter() - begin) / repeats

        submit(1)
        repeats = min(1000, max(1, int(round_s / submit(1))))
        return float(np.median([submit(repeats) for _ in range(rounds)]))

    def _buffer(self, array: Array) -> Any:
        data = np.ascontiguousarray(array).tobytes()
        data += bytes(-len(data) % 4)
        usage = wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_SRC | wgpu.BufferUsage.COPY_DST
        return self._device.create_buffer_with_data(data=data, usage=usage)

    def _pipeline(self, kernel: LibraryKernel) -> Any:
        known = self._pipelines.get(kernel.wgsl)
        if known is not None:
            return known
        # wgpu takes subgroups as a device feature and knows no directive for them.
        text = kernel.wgsl.replace("enable subgroups;\n", "", 1)
        module = self._device.create_shader_module(label=kernel.name, code=text)
        pipeline = self._device.create_compute_pipeline(
            label=kernel.name, layout="auto", compute={"module": module, "entry_point": "main"}
        )
        self._pipelines[kernel.wgsl] = pipeline
        return pipeline

    def _dispatch(
        self,
        pipeline: Any,
        kernel: LibraryKernel,
        buffers: Sequence[Any],
        symbols: Mapping[str, int],
        repeats: int,
    ) -> None:
        entries = [
            {"binding": i, "resource": {"buffer": b, "offset": 0, "size": b.size}}
            for i, b in enumerate(buffers)
        ]
        if kernel.uniforms:
            words = np.array([u.value.evaluate(symbols) for u in kernel.uniforms], np.uint32)
            uniform = self._device.create_buffer_with_data(
                data=words.tobytes(), usage=wgpu.BufferUsage.UNIFORM
            )
            entries.append({"binding": len(buffers), "resource": {"buffer": uniform, "offset": 0}})
        group = self._device.create_bind_group(
            layout=pipeline.get_bind_group_layout(0), entries=entries
        )
        encoder = self._device.create_command_encoder()
        compute = encoder.begin_compute_pass()
        compute.set_pipeline(pipeline)
        compute.set_bind_group(0, group)
        grid = tuple(g.evaluate(symbols) for g in kernel.grid)
        for _ in range(repeats):
            compute.dispatch_workgroups(*grid)
        compute.end()
        self._device.queue.submit([encoder.finish()])
