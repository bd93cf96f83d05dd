"""Publishing to a directory: the same order, history and errors as any store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from publish.directory import DirectoryStore
from publish.documents import CHANNEL_PATH, LOCK_PATH, Channel
from publish.errors import (
    AccessError,
    ConflictError,
    IntegrityError,
    ReleaseError,
    SiteError,
    TargetError,
)
from publish.plan import Plan
from publish.publisher import collect, execute, list_releases, prepare_publish, prepare_rollback
from runtime.progress import Progress, ignore_progress
from tests.publish.fake_site import write_site


def publish(site: Path, root: Path) -> Plan:
    store = DirectoryStore(root, adopt=False)
    prepared = prepare_publish(site, store, ignore_progress)
    execute(prepared, store, ignore_progress)
    return prepared.plan


def channel(root: Path) -> Channel:
    return Channel.loads((root / CHANNEL_PATH).read_bytes(), "channel")


def tree(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_the_whole_site_arrives_and_every_document_is_kept_as_a_blob(
    site: Path, tmp_path: Path
) -> None:
    plan = publish(site, tmp_path / "www")
    published = tree(tmp_path / "www")
    for path, data in tree(site).items():
        assert published.pop(path) == data
    extra = sorted(published)
    assert channel(tmp_path / "www").release == plan.release.id
    assert [p for p in extra if not p.startswith("blobs/")] == [
        CHANNEL_PATH,
        f"releases/{plan.release.id}.json",
    ]
    assert len([p for p in extra if p.startswith("blobs/")]) == len(plan.placements)


def test_publishing_the_same_site_again_changes_nothing(site: Path, tmp_path: Path) -> None:
    publish(site, tmp_path / "www")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "www").rglob("*")}
    plan = publish(site, tmp_path / "www")
    assert not plan.moves
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "www").rglob("*")}


def test_the_same_site_makes_the_same_release_elsewhere(site: Path, tmp_path: Path) -> None:
    other = write_site(tmp_path / "other")
    assert publish(site, tmp_path / "a").release == publish(other, tmp_path / "b").release


def test_a_rollback_restores_every_byte_without_the_local_site(site: Path, tmp_path: Path) -> None:
    root = tmp_path / "www"
    first = publish(site, root)
    old = {path: data for path, data in tree(root).items() if not path.startswith("channels/")}
    second = publish(write_site(site, title="second", seed=2), root)
    store = DirectoryStore(root, adopt=False)
    execute(prepare_rollback(first.release.id[:6], store), store, ignore_progress)
    now = tree(root)
    assert {path: now[path] for path in old} == old
    served = channel(root)
    assert (served.release, served.previous) == (first.release.id, second.release.id)
    assert served.sequence == 3
    assert [item.place for item in list_releases(store)] == [0, 1]


def test_an_unknown_release_is_refused_with_the_ones_there_are(site: Path, tmp_path: Path) -> None:
    plan = publish(site, tmp_path / "www")
    with pytest.raises(ReleaseError, match=plan.release.id):
        prepare_rollback("feed", DirectoryStore(tmp_path / "www", adopt=False))


def test_garbage_is_what_no_kept_release_uses_and_nothing_foreign(
    site: Path, tmp_path: Path
) -> None:
    root = tmp_path / "www"
    (site / "only-in-first.html").write_text("old")
    first = publish(site, root)
    (site / "only-in-first.html").unlink()
    second = publish(write_site(site, title="second", seed=2), root)
    (root / "CNAME").write_text("models.example.org")
    (root / "blobs" / "sha256" / "ab").mkdir(exist_ok=True)
    (root / "blobs" / "sha256" / "ab" / "notes").write_text("not a blob")
    store = DirectoryStore(root, adopt=False)
    plan = collect(store, keep=1)
    wanted = {c.sha256 for c in second.release.files.values()}
    blobs = {p.name for p in root.glob("blobs/sha256/*/*")}
    assert blobs == wanted | {"notes"}
    assert plan.dropped == (first.release.id,)
    assert not (root / "only-in-first.html").exists()
    assert (root / "CNAME").exists()
    assert all((root / path).exists() for path in second.release.files if "blobs/" not in path)
    assert channel(root).history == (second.release.id,)
    with pytest.raises(ReleaseError, match=r"not at"):
        prepare_rollback(first.release.id, store)


def test_a_kept_release_can_still_be_restored_after_collection(site: Path, tmp_path: Path) -> None:
    root = tmp_path / "www"
    plans = [publish(write_site(site, title=f"t{i}", seed=i), root) for i in range(3)]
    store = DirectoryStore(root, adopt=False)
    collect(store, keep=2)
    execute(prepare_rollback(plans[1].release.id, store), store, ignore_progress)
    assert "<title>t1</title>" in (root / "index.html").read_text()


def test_order_is_parts_then_pages_then_registry_then_channel(site: Path, tmp_path: Path) -> None:
    written: list[str] = []

    class Recording(DirectoryStore):
        def _write(self, path: str, data: bytes) -> None:
            written.append(path)
            super()._write(path, data)

    store = Recording(tmp_path / "www", adopt=False)
    execute(prepare_publish(site, store, ignore_progress), store, ignore_progress)
    kinds = [kind(path) for path in written]
    assert kinds == sorted(kinds)
    assert written[-2:] == ["registry.json", CHANNEL_PATH]


def kind(path: str) -> int:
    if path.startswith("blobs/"):
        return 0
    if path.startswith("releases/"):
        return 1
    if path.endswith((".html", "sw.js", "shell.json")):
        return 3
    return {"registry.json": 4, CHANNEL_PATH: 5}.get(path, 2)


def test_failing_halfway_through_documents_restores_the_release_being_served(
    site: Path, tmp_path: Path
) -> None:
    root = tmp_path / "www"
    publish(site, root)
    before = {p: d for p, d in tree(root).items() if not p.startswith(("blobs/", "releases/"))}

    class Failing(DirectoryStore):
        def flip(self, channel: Channel, expected: object) -> None:
            raise AccessError("pulled out")

    write_site(site, title="second", seed=2)
    store = Failing(root, adopt=False)
    prepared = prepare_publish(site, store, ignore_progress)
    with pytest.raises(AccessError, match="pulled out"):
        execute(prepared, store, ignore_progress)
    after = {p: d for p, d in tree(root).items() if not p.startswith(("blobs/", "releases/"))}
    assert after == before
    assert not publish(site, root).blobs  # resumed: all contents were there


def test_a_publisher_that_planned_before_another_finished_is_refused(
    site: Path, tmp_path: Path
) -> None:
    store = DirectoryStore(tmp_path / "www", adopt=False)
    late = prepare_publish(site, store, ignore_progress)
    publish(write_site(tmp_path / "other", title="other"), tmp_path / "www")
    with pytest.raises(ConflictError, match="somebody else published"):
        execute(late, store, ignore_progress)
    assert "<title>other</title>" in (tmp_path / "www" / "index.html").read_text()


def test_a_lock_that_is_held_refuses_and_a_dead_one_is_taken_over(
    site: Path, tmp_path: Path
) -> None:
    root = tmp_path / "www"
    store = DirectoryStore(root, adopt=False)
    with store.exclusive(), pytest.raises(ConflictError, match="under way"):
        publish(site, root)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    lock = root / LOCK_PATH
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text(json.dumps({"host": os.uname().nodename, "pid": dead.pid}))
    publish(site, root)
    lock.write_text(json.dumps({"host": "elsewhere", "pid": 1}))
    with pytest.raises(ConflictError, match="elsewhere"):
        publish(write_site(site, title="again"), root)
    old = time.time() - 3600
    os.utime(lock, (old, old))
    publish(site, root)
    assert not lock.exists()


def test_a_folder_that_holds_something_else_is_refused_unless_forced(
    site: Path, tmp_path: Path
) -> None:
    root = tmp_path / "www"
    root.mkdir()
    (root / "thesis.tex").write_text("mine")
    with pytest.raises(TargetError, match="--force"):
        publish(site, root)
    store = DirectoryStore(root, adopt=True)
    execute(prepare_publish(site, store, ignore_progress), store, ignore_progress)
    assert (root / "thesis.tex").read_text() == "mine"


def test_a_target_below_a_file_says_where_it_failed(site: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TargetError, match="choose a folder"):
        publish(site, tmp_path / "file" / "www")


def test_a_target_that_cannot_be_written_is_an_access_error(site: Path) -> None:
    with pytest.raises(AccessError, match="write permission"):
        publish(site, Path("/sys/kernel/modelpress"))


def test_a_full_disk_leaves_the_old_release_serving(site: Path, tmp_path: Path) -> None:
    """The file size limit of a child process stands for the disk's end: a real short write."""
    root = tmp_path / "www"
    publish(site, root)
    before = (root / "index.html").read_bytes()
    write_site(site, title="second", seed=2)
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
        "from publish.errors import FullError\n"
        "from publish.cli import app\n"
        "try: app(sys.argv[1:], standalone_mode=False)\n"
        "except FullError as error: print('FULL', error); sys.exit(7)\n"
    )
    command = [sys.executable, "-c", script, "publish", str(root), "--site", str(site)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (7, ""), done.stdout
    assert "continues where it stopped" in done.stdout
    assert (root / "index.html").read_bytes() == before
    assert not list(root.rglob("*.part"))


def test_a_truncated_blob_at_the_target_is_sent_again(site: Path, tmp_path: Path) -> None:
    root = tmp_path / "www"
    publish(site, root)
    blob = max(root.glob("blobs/sha256/*/*"), key=lambda p: p.stat().st_size)
    whole = blob.read_bytes()
    blob.write_bytes(whole[:-1])
    plan = publish(site, root)
    assert [b.path.rsplit("/", 1)[-1] for b in plan.blobs] == [blob.name]
    assert blob.read_bytes() == whole


def test_a_blob_of_the_right_size_with_other_bytes_is_found_when_asked(
    site: Path, tmp_path: Path
) -> None:
    root = tmp_path / "www"
    plan = publish(site, root)
    page = plan.release.files["index.html"].sha256
    blob = root / "blobs" / "sha256" / page[:2] / page
    blob.write_bytes(b"x" * blob.stat().st_size)
    (root / "index.html").unlink()
    with pytest.raises(IntegrityError, match=page):
        publish(site, root)


def test_a_page_edited_at_the_target_is_put_back(site: Path, tmp_path: Path) -> None:
    root = tmp_path / "www"
    publish(site, root)
    (root / "index.html").write_text("defaced")
    plan = publish(site, root)
    assert [d.path for d in plan.placements] == ["index.html"]
    assert (root / "index.html").read_bytes() == (site / "index.html").read_bytes()


def test_progress_counts_bytes_up_to_the_total(site: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    store = DirectoryStore(tmp_path / "www", adopt=False)
    prepared = prepare_publish(site, store, seen.append)
    execute(prepared, store, seen.append)
    sends = [p for p in seen if p.stage == "send blobs"]
    assert sends[-1].done == sends[-1].total == sum(b.content.nbytes for b in prepared.plan.blobs)
    assert [p.done for p in sends] == sorted(p.done for p in sends)


def test_a_channel_of_a_later_version_is_refused_with_the_remedy(
    site: Path, tmp_path: Path
) -> None:
    publish(site, tmp_path / "www")
    (tmp_path / "www" / CHANNEL_PATH).write_text('{"format": 2}')
    with pytest.raises(TargetError, match="newer one"):
        publish(site, tmp_path / "www")


def test_a_file_that_changes_after_it_was_read_is_refused(site: Path, tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "www", adopt=False)
    prepared = prepare_publish(site, store, ignore_progress)
    (site / "index.html").write_text("rebuilt meanwhile")
    with pytest.raises(SiteError, match="changed while"):
        execute(prepared, store, ignore_progress)
    assert not (tmp_path / "www" / CHANNEL_PATH).exists()
