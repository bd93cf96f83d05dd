"""A published page really loads from the store in Chromium: modules, wasm and styles by type."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from publish.cli import app
from tests.publish.store import Bucket


@pytest.mark.browser
def test_a_published_page_runs_its_module_and_wasm_from_the_store(
    site: Path, bucket: Bucket, chromium: Browser
) -> None:
    app(["publish", bucket.target, "--site", str(site)], standalone_mode=False)
    problems: list[str] = []
    page = chromium.new_page()
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{bucket.url}index.html")
    page.get_by_text("fake says 42").wait_for(timeout=60_000)
    colour = page.evaluate("getComputedStyle(document.body).color")
    page.close()
    assert problems == []
    assert colour == "rgb(1, 2, 3)"
