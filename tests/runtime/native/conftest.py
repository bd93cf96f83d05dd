"""Both software Vulkan drivers of this machine, offered side by side to one process."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator

import pytest

import doctor
from runtime.native.executor import WgpuExecutor

DRIVERS = {"lavapipe": (doctor.lavapipe, "llvmpipe"), "swiftshader": (doctor.swiftshader, "swift")}


def offer_drivers() -> None:
    """The Vulkan loader reads this once, when the first WebGPU instance is made."""
    found = [str(path) for finder, _ in DRIVERS.values() if (path := finder()) is not None]
    os.environ.setdefault("VK_ICD_FILENAMES", os.pathsep.join(found))
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())


offer_drivers()


@pytest.fixture(params=list(DRIVERS))
async def executor(request: pytest.FixtureRequest) -> AsyncIterator[WgpuExecutor]:
    """A real executor on each software driver."""
    executor = WgpuExecutor(adapter=DRIVERS[request.param][1])
    yield executor
    await executor.close()
