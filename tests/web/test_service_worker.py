"""The service worker in Chromium: the shell offline, whole versions only, and nothing else kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.web.fault_server import Fault, FaultServer

pytestmark = pytest.mark.browser

HTML = '<!doctype html><html lang="en"><title>{}</title><script src="../assets/{}.js"></script>'
REGISTER = """async () => {
  await navigator.serviceWorker.register('/under/a/path/sw.js');
  await navigator.serviceWorker.ready;
  if (!navigator.serviceWorker.controller) {
    await new Promise((done) => navigator.serviceWorker.addEventListener('controllerchange', done));
  }
}"""


def write_site(folder: Path, version: str) -> None:
    """A site of one page and one script, at `version`, with its shell.json."""
    files = {
        "index.html": f"<title>home {version}</title>",
        "chat/index.html": HTML.format(version, version),
        f"assets/{version}.js": f"document.documentElement.dataset.version = '{version}';",
    }
    listed = []
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
        digest = hashlib.sha256(text.encode()).hexdigest()
        listed.append({"path": path, "nbytes": len(text), "sha256": digest})
    shell = {"format": 1, "version": version, "files": listed}
    (folder / "shell.json").write_text(json.dumps(shell), encoding="utf-8")
    (folder / "blobs").mkdir(exist_ok=True)
    (folder / "blobs/one").write_text("weights", encoding="utf-8")
    (folder / "registry.json").write_text("{}", encoding="utf-8")


@pytest.fixture
def site(web_folder: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    write_site(folder, "one")
    (folder / "sw.js").write_bytes((web_folder / "engine/service_worker.js").read_bytes())
    return folder


@pytest.fixture
def host(site: Path) -> Iterator[FaultServer]:
    """The site under a path, as on a shared host."""
    with FaultServer({"/under/a/path/": site}) as server:
        yield server


@pytest.fixture
def guest(visitor: BrowserContext, host: FaultServer) -> Page:
    page = visitor.new_page()
    page.goto(f"{host.url}/under/a/path/chat/")
    return page


def caches_of(page: Page) -> Any:
    return page.evaluate("async () => (await caches.keys()).filter((n) => n.includes('shell'))")


def shown(page: Page) -> str:
    """The version of the page and of its script, which must be the same."""
    page.wait_for_selector("html[data-version]", state="attached")
    version = page.evaluate("() => document.documentElement.dataset.version")
    assert page.title() == version
    return str(version)


def test_the_shell_works_offline_under_any_path(
    guest: Page, visitor: BrowserContext, host: FaultServer
) -> None:
    guest.evaluate(REGISTER)
    visitor.set_offline(True)
    guest.reload()
    assert shown(guest) == "one"
    guest.goto(f"{host.url}/under/a/path/")
    assert guest.title() == "home one"
    visitor.set_offline(False)


def test_weights_and_the_registry_pass_through(guest: Page, host: FaultServer) -> None:
    guest.evaluate(REGISTER)
    ask = "async (url) => (await fetch(url)).text()"
    for path in "/under/a/path/blobs/one", "/under/a/path/registry.json":
        before = host.count(path)
        guest.evaluate(ask, path)
        guest.evaluate(ask, path)
        assert host.count(path) == before + 2


def test_a_new_version_replaces_the_old_one_as_a_whole(
    guest: Page, visitor: BrowserContext, host: FaultServer, site: Path
) -> None:
    guest.evaluate(REGISTER)
    write_site(site, "two")
    guest.reload()
    assert shown(guest) == "two"
    guest.wait_for_timeout(1500)
    (name,) = caches_of(guest)
    assert name.endswith(" two")
    visitor.set_offline(True)
    guest.reload()
    assert shown(guest) == "two"
    visitor.set_offline(False)


def test_a_shell_with_a_wrong_file_is_never_used(
    guest: Page, visitor: BrowserContext, host: FaultServer, site: Path
) -> None:
    guest.evaluate(REGISTER)
    write_site(site, "two")
    host.faults["/under/a/path/index.html"] = [Fault(is_corrupt=True)] * 5
    guest.reload()
    assert shown(guest) == "two"
    guest.wait_for_timeout(1500)
    visitor.set_offline(True)
    guest.reload()
    assert shown(guest) == "one"
    visitor.set_offline(False)


def test_an_install_that_fails_leaves_no_version(guest: Page, host: FaultServer) -> None:
    host.faults["/under/a/path/index.html"] = [Fault(is_corrupt=True)] * 5
    guest.evaluate(
        """() => new Promise((done) => {
            navigator.serviceWorker.register('/under/a/path/sw.js').then((registration) => {
              const worker = registration.installing;
              worker.addEventListener('statechange', () => worker.state === 'redundant' && done());
            });
        })"""
    )
    assert all(name.endswith(" partial") for name in caches_of(guest))
