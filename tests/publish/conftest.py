"""Fixtures of the publish tests: a fake site, a started store, a store's bucket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.publish.fake_site import write_site
from tests.publish.store import CREDENTIALS, Bucket, RunningStore, running_store


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A complete small site."""
    return write_site(tmp_path / "build" / "site")


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStore]:
    """One started store for all tests of a worker."""
    with running_store(tmp_path_factory.mktemp("ministack")) as store:
        yield store


@pytest.fixture
def bucket(object_store: RunningStore, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket, with the environment that boto3 needs to reach it."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", object_store.endpoint)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return object_store.bucket()
