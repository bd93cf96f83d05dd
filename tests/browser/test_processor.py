"""The built site in browsers without WebGPU: the processor answers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Playwright, Route, expect

import doctor
from tests.browser.conftest import PREFIX
from tests.browser.engine_page import CREATE, OPEN, ask, blank_page, text_of
from tests.browser.firefox import open_firefox
from tests.browser.visitor import Visitor
from tests.reference.checkpoints import GUIDE_QUESTION, PRESS_GUIDE
from tests.web.fault_server import FaultServer

pytestmark = pytest.mark.browser

WITHOUT_WEBGPU = ("--no-sandbox", "--disable-features=WebGPUService")
QUESTION = ask(GUIDE_QUESTION, max_tokens=24)
MISCOMPUTE = """
const { Instance } = WebAssembly;
WebAssembly.Instance = function (...parts) {
  const { exports } = new Instance(...parts);
  return { exports: { ...exports, f: () => exports.f() + 1 } };
};
"""
"""Known products come out wrong, as in browsers whose first compiler got them wrong."""


@pytest.fixture(scope="module")
def plain_chromium(playwright_driver: Playwright) -> Iterator[Browser]:
    """Chromium with WebGPU disabled by flag."""
    browser = playwright_driver.chromium.launch(
        executable_path=doctor.chromium(), args=list(WITHOUT_WEBGPU)
    )
    yield browser
    browser.close()


def test_a_visitor_without_webgpu_chats_and_reads_why_and_how_fast(
    plain_chromium: Browser, server: FaultServer
) -> None:
    profile = plain_chromium.new_context(viewport={"width": 1200, "height": 800})
    visitor = Visitor(profile, server.url + PREFIX)
    page = visitor.open("models/index.html")
    expect(page.locator(f'[data-verdict="{PRESS_GUIDE}"]')).to_have_text("Runs on the processor")
    visitor.open("chat/index.html")
    assert page.evaluate("navigator.gpu.requestAdapter()") is None
    visitor.ask("What is modelpress?")
    assert "static site" in visitor.wait_for_answer()
    line = page.locator("[data-processor]")
    expect(line).to_contain_text("Running on the processor, because this browser offers no WebGPU")
    expect(line).to_contain_text(re.compile(r"about \d+(\.\d)? words a second"))
    visitor.screenshot("9-processor")
    visitor.close(allowed=lambda trouble: "WebGPU Context Provider" in trouble)
    profile.close()


def test_relaxed_products_that_come_out_wrong_leave_the_plainer_variant(
    plain_chromium: Browser, server: FaultServer, tmp_path: Path
) -> None:
    """Simulated; the answer is what the variant for such browsers says when asked for by name."""
    profile = plain_chromium.new_context()
    engine = blank_page(profile, server, tmp_path, PREFIX)
    engine.page.route("**/engine/worker.js", lambda route: _prefixed(route, MISCOMPUTE))
    model = engine.open(model=PRESS_GUIDE)["result"]["model"]
    assert (model["variant"], model["processor"]) == ("cpu", {"reason": "no_webgpu"})
    answer = text_of(engine.stream(QUESTION)["result"])
    error = engine.open(model=PRESS_GUIDE, variant="cpu-relaxed")["error"]
    assert error["code"] == "unsupported_device"
    engine.page.unroute_all()
    engine.open(model=PRESS_GUIDE, variant="cpu")
    assert text_of(engine.stream(QUESTION)["result"]) == answer != ""
    profile.close()


@pytest.mark.skipif(
    doctor.firefox() is None or doctor.lavapipe() is None,
    reason="needs Firefox and lavapipe: `modelpress doctor` says how to get them",
)
def test_firefox_without_webgpu_answers(server: FaultServer, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html><html lang='en'><title>b</title></html>")
    server.mounts["/blank/"] = tmp_path
    work = _answer_of_firefox(server.url + PREFIX, server.url + "/blank/")
    with ThreadPoolExecutor() as pool:  # this thread may belong to Playwright's event loop
        model, text = pool.submit(asyncio.run, work).result()
    assert (model["variant"], model["processor"]) == ("cpu-relaxed", {"reason": "no_webgpu"})
    assert text


async def _answer_of_firefox(site: str, blank: str) -> tuple[dict[str, Any], str]:
    program, driver = doctor.firefox(), doctor.lavapipe()
    assert program is not None and driver is not None
    async with open_firefox(program, driver, {"dom.webgpu.enabled": False}) as firefox:
        await firefox.open(blank)
        options = [site + "engine/client.js", {"model": PRESS_GUIDE}]
        info = await firefox.evaluate(OPEN, options)
        answer = await firefox.evaluate(CREATE, QUESTION)
        return info["result"]["model"], answer["result"]["choices"][0]["message"]["content"]


def _prefixed(route: Route, script: str) -> None:
    response = route.fetch()
    route.fulfill(response=response, body=script + response.text())
