"""Both software Vulkan drivers of this machine, offered side by side to one process."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import doctor
from runtime.native.device import find_adapter
from runtime.native.executor import WgpuExecutor

NAMES = {"lavapipe": "llvmpipe", "swiftshader": "swiftshader"}
"""A part of each driver's adapter name."""


def vulkan_environment() -> dict[str, str]:
    """The environment in which a process finds both drivers."""
    found = [str(path) for path in (doctor.lavapipe(), doctor.swiftshader()) if path is not None]
    return {
        "VK_ICD_FILENAMES": os.pathsep.join(found),
        "XDG_RUNTIME_DIR": tempfile.gettempdir(),
    }


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What commands remember of this machine goes here, not into the user's own cache."""
    monkeypatch.setenv("MODELPRESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def drivers() -> None:
    """Loads both drivers; the loader looks at the environment once, so it is put back after."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in vulkan_environment().items():
            patch.setenv(name, value)
        for part in NAMES.values():
            find_adapter(part)


@pytest.fixture(params=list(NAMES))
async def executor(request: pytest.FixtureRequest, drivers: None) -> AsyncIterator[WgpuExecutor]:
    """A real executor on each software driver."""
    executor = WgpuExecutor(adapter=NAMES[request.param])
    yield executor
    await executor.close()
