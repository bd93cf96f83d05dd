"""Publishing to a bucket in one line, and a record of what the client asked the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from publish.documents import CHANNEL_PATH, Channel
from publish.plan import Plan
from publish.publisher import execute, prepare_publish
from publish.s3 import S3Store
from publish.targets import open_store
from runtime.progress import ignore_progress
from tests.publish.store import Bucket


def open_s3(bucket: Bucket) -> S3Store:
    store = open_store(bucket.target)
    assert isinstance(store, S3Store)
    return store


def publish(site: Path, bucket: Bucket) -> Plan:
    store = open_s3(bucket)
    prepared = prepare_publish(site, store, ignore_progress)
    execute(prepared, store, ignore_progress)
    return prepared.plan


def channel(bucket: Bucket) -> Channel:
    return Channel.loads(bucket.get(CHANNEL_PATH), "channel")


class Recorder:
    """Notes what a client asks a store, in order."""

    def __init__(self, store: S3Store) -> None:
        self.asked: list[tuple[str, str]] = []
        store.client.meta.events.register("before-call.s3", self._note)

    def _note(self, model: Any, params: dict[str, Any], **_: Any) -> None:
        self.asked.append((model.name, params["url_path"].split("/site/", 1)[-1]))

    def of(self, *names: str) -> list[str]:
        return [path for name, path in self.asked if name in names]
