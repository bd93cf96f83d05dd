"""Publishing with the real boto3 to a started S3-compatible store."""

from __future__ import annotations

import base64
import hashlib
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from publish.content_types import IMMUTABLE
from publish.documents import CHANNEL_PATH, LOCK_PATH
from publish.errors import IntegrityError, TargetError, UnavailableError
from publish.publisher import collect, execute, list_releases, prepare_publish, prepare_rollback
from publish.targets import open_store
from runtime.progress import Progress, ignore_progress
from runtime.weights import blob_path
from tests.publish.fake_site import CHUNKS, WASM, write_site
from tests.publish.store import Bucket, free_port
from tests.publish.through_s3 import Recorder, channel, open_s3, publish


def test_everything_arrives_with_its_labels(site: Path, bucket: Bucket) -> None:
    plan = publish(site, bucket)
    keys = bucket.keys()
    for path, content in plan.release.files.items():
        assert keys[path] == content.nbytes, path
        assert keys[blob_path(content.sha256)] == content.nbytes
    assert LOCK_PATH not in keys
    labels = {
        "index.html": ("text/html; charset=utf-8", "no-cache"),
        "engine/main.mjs": ("text/javascript; charset=utf-8", "no-cache"),
        "engine/answer.wasm": ("application/wasm", "no-cache"),
        "app.webmanifest": ("application/manifest+json", "no-cache"),
        "icon.svg": ("image/svg+xml", "no-cache"),
        "registry.json": ("application/json", "no-cache"),
        CHANNEL_PATH: ("application/json", "no-cache"),
        f"releases/{plan.release.id}.json": ("application/json", IMMUTABLE),
        plan.blobs[0].path: ("application/octet-stream", IMMUTABLE),
        next(p for p in keys if p.startswith("engine/chunk.")): (
            "text/javascript; charset=utf-8",
            IMMUTABLE,
        ),
    }
    for path, expected in labels.items():
        with urllib.request.urlopen(bucket.url + path) as answer:
            found = (answer.headers["Content-Type"], answer.headers["Cache-Control"])
        assert found == expected, path


def test_a_second_publish_of_the_same_site_writes_nothing(site: Path, bucket: Bucket) -> None:
    publish(site, bucket)
    store = open_s3(bucket)
    recorder = Recorder(store)
    prepared = prepare_publish(site, store, ignore_progress)
    execute(prepared, store, ignore_progress)
    assert {name for name, _ in recorder.asked} <= {"GetObject", "HeadObject", "ListObjectsV2"}
    assert channel(bucket).sequence == 1


def test_a_changed_page_sends_one_blob_and_places_one_document(site: Path, bucket: Bucket) -> None:
    publish(site, bucket)
    write_site(site, title="second")
    store = open_s3(bucket)
    recorder = Recorder(store)
    prepared = prepare_publish(site, store, ignore_progress)
    execute(prepared, store, ignore_progress)
    sha256 = prepared.plan.release.files["index.html"].sha256
    release = f"releases/{prepared.plan.release.id}.json"
    assert recorder.of("PutObject") == [blob_path(sha256), LOCK_PATH, release, CHANNEL_PATH]
    assert recorder.of("CopyObject") == ["index.html"]
    assert bucket.get("index.html") == (site / "index.html").read_bytes()


def test_documents_are_written_after_their_parts_and_the_channel_last(
    site: Path, bucket: Bucket
) -> None:
    store = open_s3(bucket)
    recorder = Recorder(store)
    execute(prepare_publish(site, store, ignore_progress), store, ignore_progress)
    asked = recorder.of("PutObject", "CopyObject")
    last_blob = max(i for i, path in enumerate(asked) if path.startswith("blobs/"))
    first_document = min(i for i, path in enumerate(asked) if not path.startswith("blobs/"))
    assert last_blob < first_document
    assert asked[-2:] == ["registry.json", CHANNEL_PATH]
    entries = [asked.index(p) for p in ("index.html", "chat/index.html", "sw.js", "shell.json")]
    parts = [asked.index(p) for p in ("engine/main.mjs", "models/fake/q4/manifest.json")]
    assert max(parts) < min(entries)


def test_an_interrupted_publish_leaves_the_old_site_and_resumes(site: Path, bucket: Bucket) -> None:
    first = publish(site, bucket)
    write_site(site, title="second", seed=2)
    store = open_s3(bucket)
    sent: list[int] = []

    def pull_the_plug(progress: Progress) -> None:
        if progress.stage == "send blobs":
            sent.append(progress.done)
            if len(sent) == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(prepare_publish(site, store, ignore_progress), store, pull_the_plug)
    assert channel(bucket).release == first.release.id
    assert b"<title>first</title>" in bucket.get("index.html")
    resumed = prepare_publish(site, open_s3(bucket), ignore_progress).plan
    new = CHUNKS + len({"index.html", "manifest.json", "weights.json", "registry.json"})
    assert len(resumed.blobs) <= new - 3
    publish(site, bucket)
    assert b"<title>second</title>" in bucket.get("index.html")


def test_failing_between_documents_restores_the_old_ones_and_frees_the_lock(
    site: Path, bucket: Bucket
) -> None:
    publish(site, bucket)
    write_site(site, title="second", seed=2)
    store = open_s3(bucket)

    def fail_at_the_registry(params: dict[str, Any], **_: Any) -> None:
        if params["Key"].endswith("registry.json"):
            store.client.meta.events.unregister(
                "provide-client-params.s3.CopyObject", fail_at_the_registry
            )
            raise UnavailableError("cable cut")

    store.client.meta.events.register("provide-client-params.s3.CopyObject", fail_at_the_registry)
    with pytest.raises(UnavailableError, match="cable cut"):
        execute(prepare_publish(site, store, ignore_progress), store, ignore_progress)
    assert b"<title>first</title>" in bucket.get("index.html")
    assert LOCK_PATH not in bucket.keys()
    publish(site, bucket)
    assert b"<title>second</title>" in bucket.get("index.html")


def test_bytes_damaged_on_the_way_are_refused_by_the_store(site: Path, bucket: Bucket) -> None:
    store = open_s3(bucket)

    def flip_a_bit(request: Any, **_: Any) -> None:
        data = request.body.read()
        request.body = data[:-1] + bytes([data[-1] ^ 1]) if data else b"?"

    store.client.meta.events.register("before-send.s3.PutObject", flip_a_bit)
    prepared = prepare_publish(site, store, ignore_progress)
    with pytest.raises(IntegrityError, match="damaged on the way"):
        execute(prepared, store, ignore_progress)
    assert CHANNEL_PATH not in bucket.keys()


def test_a_store_that_checks_nothing_is_caught_by_its_etag(site: Path, bucket: Bucket) -> None:
    """Some stores ignore checksums: without the header they take anything."""
    store = open_s3(bucket)

    def damage_and_hide(request: Any, **_: Any) -> None:
        for name in ("x-amz-checksum-sha256", "x-amz-sdk-checksum-algorithm"):
            del request.headers[name]
        request.body = b"?" + request.body.read()[1:]

    store.client.meta.events.register("before-send.s3.PutObject", damage_and_hide)
    with pytest.raises(IntegrityError, match="arrived damaged"):
        execute(prepare_publish(site, store, ignore_progress), store, ignore_progress)


def test_a_foreign_object_under_a_blobs_name_is_an_integrity_error(
    site: Path, bucket: Bucket
) -> None:
    store = open_s3(bucket)
    prepared = prepare_publish(site, store, ignore_progress)
    path = prepared.plan.blobs[0].path
    bucket.client.put_object(Bucket=bucket.name, Key=f"site/{path}", Body=b"not it")
    with pytest.raises(IntegrityError, match=path):
        execute(prepared, store, ignore_progress)


def test_an_object_with_wrong_labels_is_placed_again(site: Path, bucket: Bucket) -> None:
    publish(site, bucket)
    key = "site/engine/answer.wasm"
    bucket.client.put_object(Bucket=bucket.name, Key=key, Body=WASM)
    assert [d.path for d in publish(site, bucket).placements] == ["engine/answer.wasm"]
    head = bucket.client.head_object(Bucket=bucket.name, Key=key)
    assert head["ContentType"] == "application/wasm"


def test_a_rollback_moves_no_bytes_and_restores_the_documents(site: Path, bucket: Bucket) -> None:
    first = publish(site, bucket)
    second = publish(write_site(site, title="second", seed=2), bucket)
    store = open_s3(bucket)
    recorder = Recorder(store)
    execute(prepare_rollback(first.release.id, store), store, ignore_progress)
    assert not [p for p in recorder.of("PutObject") if p.startswith("blobs/")]
    for path, content in first.release.files.items():
        assert hashlib.sha256(bucket.get(path)).hexdigest() == content.sha256, path
    served = channel(bucket)
    assert (served.release, served.previous) == (first.release.id, second.release.id)
    assert served.registry == first.release.files["registry.json"].sha256


def test_collection_keeps_what_retained_releases_use(site: Path, bucket: Bucket) -> None:
    plans = [publish(write_site(site, title=f"t{i}", seed=i), bucket) for i in range(3)]
    (site / "tmp.txt").write_text("x")
    before = bucket.keys()
    plan = collect(open_s3(bucket), keep=2)
    after = bucket.keys()
    assert set(before) - set(after) == set(plan.paths)
    assert plan.dropped == (plans[0].release.id,)
    used = {c.sha256 for p in plans[1:] for c in p.release.files.values()}
    assert {p.rsplit("/", 1)[-1] for p in after if p.startswith("blobs/")} == used
    store = open_s3(bucket)
    execute(prepare_rollback(plans[1].release.id, store), store, ignore_progress)
    assert b"<title>t1</title>" in bucket.get("index.html")


def test_releases_name_the_one_served_and_one_never_served(site: Path, bucket: Bucket) -> None:
    first = publish(site, bucket)
    second = publish(write_site(site, title="second"), bucket)
    listed = list_releases(open_s3(bucket))
    assert [(i.release.id, i.place) for i in listed] == [
        (second.release.id, 0),
        (first.release.id, 1),
    ]


def test_a_bucket_that_does_not_exist_says_so(site: Path, bucket: Bucket) -> None:
    store = open_store("s3://press-nowhere/site")
    with pytest.raises(TargetError, match="does not exist"):
        prepare_publish(site, store, ignore_progress)


def test_an_endpoint_that_is_down_says_what_to_check(
    site: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("publish.retry.FIRST_WAIT_S", 0.001)
    store = open_store(bucket.target, endpoint_url=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(UnavailableError, match="--endpoint-url"):
        prepare_publish(site, store, ignore_progress)


def test_cors_is_set_when_asked(bucket: Bucket) -> None:
    open_s3(bucket).configure_cors()
    rules = bucket.client.get_bucket_cors(Bucket=bucket.name)["CORSRules"]
    assert rules[0]["AllowedMethods"] == ["GET", "HEAD"]


def test_the_checksum_sent_is_the_sha256_of_the_bytes(site: Path, bucket: Bucket) -> None:
    store = open_s3(bucket)
    sent: list[tuple[bytes, str]] = []

    def note(request: Any, **_: Any) -> None:
        header = request.headers["x-amz-checksum-sha256"]
        sent.append((request.body.getvalue(), header.decode()))

    store.client.meta.events.register("before-send.s3.PutObject", note)
    execute(prepare_publish(site, store, ignore_progress), store, ignore_progress)
    for body, header in sent:
        assert base64.b64encode(hashlib.sha256(body).digest()).decode() == header
    assert sent
