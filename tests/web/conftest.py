"""The engine's parts, served to the Chromium that all tests share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from runtime.web.bundle import build_engine
from runtime.web.node import run_esbuild
from tests.web.fault_server import FaultServer
from tests.web.toy_hub import write_toy_hub

HERE = Path(__file__).parent
PAGE = """<!doctype html><html lang="en"><title>test</title>
<script type="module" src="/harness.js"></script></html>"""


@pytest.fixture(scope="session")
def web_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """harness.js and pages that load it, the engine, and the toy hub at the root."""
    folder = tmp_path_factory.mktemp("web")
    run_esbuild(
        {
            "entryPoints": [str(HERE / "harness.ts")],
            "outfile": str(folder / "harness.js"),
            "bundle": True,
            "format": "esm",
            "target": "es2022",
        }
    )
    (folder / "index.html").write_text(PAGE, encoding="utf-8")
    build_engine(folder / "engine")
    # Where harness.js, which is not in engine/, looks for it.
    shutil.copyfile(folder / "engine/helper.js", folder / "helper.js")
    write_toy_hub(folder)
    return folder


@pytest.fixture
def server(web_folder: Path) -> Iterator[FaultServer]:
    """A server of its own for each test: faults and counts do not leak."""
    with FaultServer({"/": web_folder}) as server:
        yield server


@pytest.fixture
def visitor(chromium: Browser) -> Iterator[BrowserContext]:
    """A fresh profile: nothing cached, nothing kept."""
    context = chromium.new_context()
    context.set_default_timeout(20_000)
    yield context
    context.close()


@pytest.fixture
def page(visitor: BrowserContext, server: FaultServer) -> Iterator[Page]:
    """A page with `harness`; errors in it fail the test."""
    page = visitor.new_page()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(server.url)
    page.wait_for_selector("html[data-ready]", state="attached")
    yield page
    assert not troubles, troubles
