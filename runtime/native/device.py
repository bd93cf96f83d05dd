"""Opening a WebGPU device through wgpu-py, and telling what it is in WebGPU's own words.

Which drivers are looked at is Vulkan's business: set `VK_ICD_FILENAMES` to choose one. Hardware
adapters come before software ones.
"""

from __future__ import annotations

import functools

import wgpu
from wgpu.backends.wgpu_native import extras

from ..errors import ModelpressError
from ..executor import TIMESTAMPS, DeviceInfo

FEATURES = {"shader-f16": "shader-f16", "subgroup": "subgroups", TIMESTAMPS: TIMESTAMPS}
"""wgpu's feature names to WebGPU's, for the features a plan or a profile may ask for."""
LIMITS = (
    "maxBufferSize",
    "maxComputeInvocationsPerWorkgroup",
    "maxComputeWorkgroupSizeX",
    "maxComputeWorkgroupSizeY",
    "maxComputeWorkgroupSizeZ",
    "maxComputeWorkgroupStorageSize",
    "maxComputeWorkgroupsPerDimension",
    "maxStorageBufferBindingSize",
    "maxStorageBuffersPerShaderStage",
    "maxUniformBufferBindingSize",
)
"""The limits a compute plan can need. Each is asked for as high as the adapter goes."""
ADAPTER_TYPES = ("DiscreteGPU", "IntegratedGPU", "VirtualGPU", "Unknown", "CPU")
BACKENDS = ("Vulkan", "Metal", "D3D12")
REMEDY = (
    "install a Vulkan driver (Debian and Ubuntu: apt install mesa-vulkan-drivers) "
    "or point VK_ICD_FILENAMES at one; `modelpress doctor` shows what is found"
)


@functools.cache
def _limit_instance() -> None:
    """Leave OpenGL out: it lacks what plans need, and probing it prints to the terminal."""
    extras.set_instance_extras(backends=("Vulkan", "Metal", "DX12"))


def find_adapter(name: str | None = None) -> wgpu.GPUAdapter:
    """The best adapter, or the one whose description contains `name` (case does not matter).

    ModelpressError "no_webgpu" when there is none; it lists what was found.
    """
    _limit_instance()
    adapters = [
        adapter
        for adapter in wgpu.gpu.enumerate_adapters_sync()
        if adapter.info["backend_type"] in BACKENDS
    ]
    fitting = [a for a in adapters if name is None or name.lower() in a.info["device"].lower()]
    if not fitting:
        found = ", ".join(a.info["device"] for a in adapters) or "none"
        wanted = "" if name is None else f" named {name!r}"
        raise ModelpressError(
            "no_webgpu", f"no WebGPU adapter{wanted} is available (found: {found}); {REMEDY}"
        )
    return min(fitting, key=_rank)


def _rank(adapter: wgpu.GPUAdapter) -> int:
    kind = adapter.info["adapter_type"]
    return ADAPTER_TYPES.index(kind) if kind in ADAPTER_TYPES else len(ADAPTER_TYPES)


def open_device(adapter: wgpu.GPUAdapter) -> wgpu.GPUDevice:
    """A device with every feature and the highest limits that plans can use."""
    limits = {_kebab(name): adapter.limits[_kebab(name)] for name in LIMITS}
    try:
        return adapter.request_device_sync(
            label="modelpress",
            required_features=[name for name in FEATURES if name in adapter.features],
            required_limits=limits,
        )
    except (RuntimeError, wgpu.GPUError) as error:
        raise ModelpressError("no_webgpu", f"the adapter gives no device: {error}") from error


def describe(adapter: wgpu.GPUAdapter) -> DeviceInfo:
    """The adapter's facts."""
    info = adapter.info
    return DeviceInfo(
        kind="cpu" if info["adapter_type"] == "CPU" else "gpu",
        vendor=info["vendor"],
        architecture=info["architecture"],
        description=info["device"],
        features=frozenset(web for name, web in FEATURES.items() if name in adapter.features),
        limits={name: adapter.limits[_kebab(name)] for name in LIMITS},
        driver=f"wgpu {wgpu.__version__} {info['backend_type']} {info['description']}".strip(),
    )


def means_lost(error: Exception) -> bool:
    """Whether what wgpu raised says that the device is gone."""
    text = str(error).lower()
    lost = "lost" in text or "map buffer" in text
    return lost or ("device" in text and ("is invalid" in text or "destroyed" in text))


def _kebab(name: str) -> str:
    """maxBufferSize -> max-buffer-size."""
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name)
