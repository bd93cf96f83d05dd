"""The built site on loopback, and visitors with fresh profiles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.browser.engine_page import EnginePage, blank_page
from tests.browser.visitor import Visitor
from tests.web.fault_server import FaultServer

PREFIX = "/a/deep/path/"
"""The site must not care where it is mounted."""


@pytest.fixture
def server(press_guide_site: Path) -> Iterator[FaultServer]:
    """The site under a path of its own, on a server that can misbehave."""
    with FaultServer({PREFIX: press_guide_site}) as server:
        yield server


@pytest.fixture
def profile(chromium: Browser) -> Iterator[BrowserContext]:
    """A fresh profile: nothing cached, nothing kept."""
    context = chromium.new_context(viewport={"width": 1200, "height": 800})
    context.set_default_timeout(30_000)
    yield context
    context.close()


@pytest.fixture
def visitor(profile: BrowserContext, server: FaultServer) -> Visitor:
    """Somebody who opens the site for the first time."""
    return Visitor(profile, server.url + PREFIX)


@pytest.fixture
def engine(profile: BrowserContext, server: FaultServer, tmp_path: Path) -> Iterator[EnginePage]:
    """A blank page of the site's origin; nothing is loaded yet."""
    page = blank_page(profile, server, tmp_path, PREFIX)
    yield page
    page.page.close()
