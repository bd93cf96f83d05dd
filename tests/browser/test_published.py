"""The demo site, published to an object store with the real client, chats from there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext

from publish.cli import app
from tests.browser.visitor import Visitor
from tests.publish.store import CREDENTIALS, Bucket, running_store


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """An empty bucket of a store started for this test, and the environment that reaches it."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with running_store(tmp_path) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.endpoint)
        yield store.bucket()


def test_a_published_site_chats_from_the_store(
    profile: BrowserContext, bucket: Bucket, press_guide_site: Path
) -> None:
    app(["publish", bucket.target, "--site", str(press_guide_site)], standalone_mode=False)
    # A browser takes localhost, and not every loopback address, for a secure place.
    visitor = Visitor(profile, bucket.url.replace("127.0.0.1", "localhost"))
    visitor.open("chat/index.html")
    visitor.ask("What is modelpress?")
    visitor.wait_for_words()
    assert visitor.wait_for_answer().strip()
    visitor.screenshot("8-published")
    visitor.close()
