"""What several rooms' tests share: the demo model's hub and site, built once, and one Chromium."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

import doctor
from tests.demo import demo_hub, demo_site

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
LONG_FILES = (
    "test_devices.py",
    "browser/test_engine.py",
    "kernels/test_attention.py",
    "test_llvm.py",
    "kernels/test_sampling.py",
    "kernels/test_linear.py",
    "web/test_engine.py",
    "test_visit.py",
    "test_firefox.py",
    "site_builder/test_chat.py",
    "test_compile.py",
)
"""Longest first: workers take a file at a time, and none should be left with a long one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever drives a browser is marked so, wherever it lies; long files go first."""
    for item in items:
        if BROWSER_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.browser)
    items.sort(key=lambda item: _turn(item.path.as_posix()))


def _turn(path: str) -> int:
    turns = (i for i, name in enumerate(LONG_FILES) if path.endswith(name))
    return next(turns, len(LONG_FILES))


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
    """The hub of the demo model in all its schemes."""
    return demo_hub()


@pytest.fixture(scope="session")
def press_guide_site() -> Path:
    """The site over that hub. `MODELPRESS_SITE` names another one to test instead."""
    given = os.environ.get("MODELPRESS_SITE")
    return Path(given) if given else demo_site()
