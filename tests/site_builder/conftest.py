"""A site generated from a fake hub with a fake engine, served under a sub-path, and pages on it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect

from site_builder.build import build_site
from site_builder.bundle import bundle_pages
from site_builder.plan import Bundle
from site_builder.serve import Mount, address, make_server
from tests.site_builder.fake_engine import build_fake_engine
from tests.site_builder.fake_hub import SHOWCASE, write_hub

expect.set_options(timeout=15_000)
PREFIX = "/a/b/"
KEEP_TROUBLES = """
addEventListener("securitypolicyviolation", (event) => {
  console.error(`policy violation: ${event.violatedDirective} ${event.blockedURI}`);
});
"""


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    """The pages' scripts and styles, compiled once."""
    return bundle_pages()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete site of three models."""
    folder = tmp_path_factory.mktemp("showcase")
    hub = write_hub(folder / "hub", SHOWCASE)
    build_site(hub, folder / "site", build_engine=build_fake_engine, strict=True)
    return folder / "site"


@pytest.fixture(scope="session")
def address_of_site(site: Path) -> Iterator[str]:
    """The site on loopback under `PREFIX`, by `modelpress serve`'s own server."""
    mount = Mount(site, PREFIX)
    server = make_server(mount, port=0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield address(server, mount)
    server.shutdown()
    server.server_close()


class Guest:
    """A page in a profile of its own, and everything it complained about."""

    def __init__(self, context: BrowserContext, site: str) -> None:
        self.context = context
        self.site = site
        self.troubles: list[str] = []
        self.page: Page = context.new_page()
        self.page.add_init_script(KEEP_TROUBLES)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.troubles.append(f"page error: {error}"))
        context.on("request", self._saw)

    def pretend(self, **scenario: Any) -> None:
        """Choose what the fake engine does; see fake_engine/client.js."""
        self.page.add_init_script(f"globalThis.fakeEngine = {json.dumps(scenario)}")

    def open(self, path: str) -> Page:
        """Go to a page of the site and wait until its scripts have run."""
        self.page.goto(self.site + path)
        return self.page

    def open_chat(self, query: str = "") -> Page:
        """Go to the chat and wait until it takes questions."""
        self.open(f"chat/index.html{query}")
        self.page.wait_for_selector("body[data-ready]")
        return self.page

    def ask(self, question: str) -> None:
        """Type a question and press Enter."""
        field = self.page.get_by_role("textbox", name="Message")
        field.fill(question)
        field.press("Enter")

    def wait_for_answer(self) -> str:
        """The text of the last answer once it has ended."""
        last = self.page.locator(".message").last
        last.locator("[data-regenerate]").wait_for()
        return last.locator(".answer").inner_text()

    def requests(self) -> list[dict[str, Any]]:
        """What the fake engine was asked on this page."""
        asked: list[dict[str, Any]] = self.page.evaluate("globalThis.fakeEngineRequests ?? []")
        return asked

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.troubles.append(f"console {message.type}: {message.text}")

    def _saw(self, request: Request) -> None:
        target = urlsplit(request.url)
        if target.scheme in {"http", "https"} and target.netloc != urlsplit(self.site).netloc:
            self.troubles.append(f"request to {request.url}")


@pytest.fixture
def invite(chromium: Browser, address_of_site: str) -> Iterator[Callable[..., Guest]]:
    """Guests with fresh profiles. A test fails when a page of theirs complained."""
    guests: list[Guest] = []

    def make(**options: Any) -> Guest:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        context.set_default_timeout(15_000)
        guests.append(Guest(context, address_of_site))
        return guests[-1]

    yield make
    for guest in guests:
        guest.context.close()
    troubles = [trouble for guest in guests for trouble in guest.troubles]
    assert not troubles, "\n".join(troubles)


@pytest.fixture
def guest(invite: Callable[..., Guest]) -> Guest:
    """One guest at a desk."""
    return invite()
