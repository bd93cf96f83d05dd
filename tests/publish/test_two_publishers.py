"""Two publishers and one bucket: one wins, the other is told, the site stays whole."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from publish.documents import LOCK_PATH, Release
from publish.errors import ConflictError
from publish.publisher import execute, prepare_publish
from publish.s3 import S3Store
from runtime.progress import ignore_progress
from tests.publish.fake_site import write_site
from tests.publish.store import Bucket
from tests.publish.through_s3 import channel, open_s3, publish


def test_the_later_of_two_publishers_is_refused_and_breaks_nothing(
    site: Path, tmp_path: Path, bucket: Bucket
) -> None:
    store = open_s3(bucket)
    late = prepare_publish(site, store, ignore_progress)
    publish(write_site(tmp_path / "other", title="other"), bucket)
    with pytest.raises(ConflictError, match="somebody else published"):
        execute(late, store, ignore_progress)
    assert b"<title>other</title>" in bucket.get("index.html")
    assert LOCK_PATH not in bucket.keys()


def test_a_publisher_inside_keeps_others_out_until_its_lock_is_old(
    site: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_s3(bucket).exclusive():
        with pytest.raises(ConflictError, match="under way"):
            publish(site, bucket)
        monkeypatch.setattr("publish.s3.LOCK_TIMEOUT_S", -1.0)
        publish(site, bucket)
    assert channel(bucket).sequence == 1


def test_a_channel_moved_behind_the_lock_is_not_overwritten(site: Path, bucket: Bucket) -> None:
    publish(site, bucket)
    store = open_s3(bucket)
    pointer = store.read_pointer()
    assert pointer is not None
    moved = pointer.channel.keeping(pointer.channel.history)
    store.flip(moved, pointer)
    with pytest.raises(ConflictError):
        store.flip(pointer.channel.keeping(()), pointer)
    store.flip(moved, pointer)  # the same bytes again: a lost answer, not a conflict
    assert channel(bucket) == moved


def test_collected_blobs_are_sent_again_under_the_lock(site: Path, bucket: Bucket) -> None:
    """A publisher that skipped a blob must notice a collection that took it meanwhile."""
    publish(site, bucket)
    write_site(site, title="second")
    store = open_s3(bucket)
    prepared = prepare_publish(site, store, ignore_progress)
    taken = prepared.plan.present[0]
    bucket.client.delete_object(Bucket=bucket.name, Key=f"site/{taken.path}")
    execute(prepared, store, ignore_progress)
    assert bucket.keys()[taken.path] == taken.content.nbytes


def test_publishers_that_race_leave_exactly_one_release_whole(
    tmp_path: Path, bucket: Bucket
) -> None:
    sites = [write_site(tmp_path / str(i), title=f"t{i}", seed=i) for i in range(3)]

    def race(site: Path) -> str | None:
        try:
            return publish(site, bucket).release.id
        except ConflictError:
            return None

    with ThreadPoolExecutor(3) as pool:
        winners = [id for id in pool.map(race, sites) if id]
    served = channel(bucket)
    assert winners
    assert served.release in winners
    assert served.sequence == len(winners)
    path = f"releases/{served.release}.json"
    release = Release.loads(bucket.get(path), path)
    for path, content in release.files.items():
        assert hashlib.sha256(bucket.get(path)).hexdigest() == content.sha256, path
    assert LOCK_PATH not in bucket.keys()


def test_a_store_that_cannot_compare_is_published_to_under_the_lock(
    site: Path, bucket: Bucket
) -> None:
    """OpenStack Swift answers 501 to If-Match; creating only where nothing is works there."""
    publish(site, bucket)
    store = open_s3(bucket)
    refuse_comparisons(store)
    pointer = store.read_pointer()
    assert pointer is not None
    execute(
        prepare_publish(write_site(site, title="second"), store, ignore_progress),
        store,
        ignore_progress,
    )
    assert channel(bucket).sequence == 2
    with pytest.raises(ConflictError, match="somebody else"):
        store.flip(pointer.channel, pointer)


def refuse_comparisons(store: S3Store) -> None:
    """Answer as a store without conditional overwrites does."""

    def refuse(params: dict[str, Any], **_: Any) -> tuple[AWSResponse, dict[str, Any]] | None:
        if "If-Match" not in params["headers"]:
            return None
        answer = AWSResponse(params["url"], 501, {}, None)
        error = {"Code": "NotImplemented", "Message": "not here"}
        return answer, {"Error": error, "ResponseMetadata": {"HTTPStatusCode": 501}}

    store.client.meta.events.register("before-call.s3.PutObject", refuse)
