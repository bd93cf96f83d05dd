"""What several rooms' tests share: the demo model's hub and site, built once, and one Chromium."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

import doctor

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "tests"
BUILT_FROM = ("model_configs", "runtime", "hub", "site_builder", "package-lock.json")
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--enable-features=Vulkan",
    "--disable-features=HttpsUpgrades,MediaRouter,OptimizationHints,Translate,WebUIOmniboxAimPopup,"
    "WebUIOmniboxPopup",
)
"""Features that are off belong to the browser's own window: its address bar alone renders two pages
of its own in every profile, which costs a second of processor time a test."""
BROWSER_FIXTURES = {"chromium", "firefox", "playwright_driver"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever drives a browser is marked so, wherever it lies."""
    for item in items:
        if BROWSER_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def playwright_driver() -> Iterator[Playwright]:
    """Playwright, started once: it cannot be started twice in a process."""
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def chromium(playwright_driver: Playwright) -> Iterator[Browser]:
    """Headless Chromium whose WebGPU is SwiftShader, as on a machine without a GPU."""
    program = doctor.chromium()
    assert program is not None, "no Chromium: `modelpress doctor` says how to get one"
    browser = playwright_driver.chromium.launch(
        executable_path=program, args=list(CHROMIUM_FLAGS), timeout=60_000
    )
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def press_guide_hub() -> Path:
    """The hub of the demo model in all its schemes, built by the command line when it is stale."""
    with _building("hub") as (folder, is_fresh):
        if not is_fresh:
            _modelpress("build", "press-guide", "--out", str(folder))
    return folder


@pytest.fixture(scope="session")
def press_guide_site(request: pytest.FixtureRequest) -> Path:
    """The site over that hub. `MODELPRESS_SITE` names another one to test instead."""
    given = os.environ.get("MODELPRESS_SITE")
    if given:
        return Path(given)
    hub: Path = request.getfixturevalue("press_guide_hub")
    with _building("site") as (folder, is_fresh):
        if not is_fresh:
            _modelpress("site", "--hub", str(hub), "--out", str(folder))
    return folder


@contextmanager
def _building(name: str) -> Iterator[tuple[Path, bool]]:
    """The folder `name` and whether it was built from the sources as they are; one at a time."""
    BUILD.mkdir(parents=True, exist_ok=True)
    stamp, digest = BUILD / f"{name}.stamp", _digest_of_sources()
    with (BUILD / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        is_fresh = stamp.is_file() and stamp.read_text() == digest
        yield BUILD / name, is_fresh
        stamp.write_text(digest)


def _digest_of_sources() -> str:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *BUILT_FROM]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    total = hashlib.sha256()
    for name in sorted(filter(None, names.split("\0"))):
        if (ROOT / name).is_file():
            total.update(
                name.encode() + b"\0" + hashlib.sha256((ROOT / name).read_bytes()).digest()
            )
    return total.hexdigest()


def _modelpress(*arguments: str) -> None:
    command = [sys.executable, "-m", "modelpress", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
