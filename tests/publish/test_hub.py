"""Publishing with the real huggingface_hub to a loopback stand-in for the Hub."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from publish.cli import app
from publish.documents import CHANNEL_PATH, Channel
from publish.errors import (
    AccessError,
    ConflictError,
    FullError,
    PublishError,
    TargetError,
    UnavailableError,
)
from publish.hub import ATTRIBUTES, HubStore
from publish.plan import Plan
from publish.publisher import collect, execute, list_releases, prepare_publish, prepare_rollback
from runtime.progress import ignore_progress
from runtime.weights import blob_path
from tests.publish.fake_site import write_site
from tests.publish.hub_stand_in import HubStandIn, Stored, running_hub
from tests.publish.store import free_port

# huggingface_hub 2.4 calls its HTTP client in a way that the client wants changed.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

NAME = "press/models"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    """A stand-in with one empty static Space, reached without the Xet protocol."""
    monkeypatch.setenv("HF_TOKEN", "hf_loopback")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    with running_hub() as running:
        running.create(f"spaces/{NAME}")
        yield running


def open_hub(hub: HubStandIn, kind: str = "spaces", name: str = NAME) -> HubStore:
    return HubStore(kind, name, endpoint_url=hub.url)


def publish(site: Path, hub: HubStandIn, kind: str = "spaces") -> Plan:
    store = open_hub(hub, kind)
    prepared = prepare_publish(site, store, ignore_progress)
    execute(prepared, store, ignore_progress)
    return prepared.plan


def served(hub: HubStandIn, kind: str = "spaces") -> dict[str, bytes]:
    return {p: f.data for p, f in hub.repos[f"{kind}/{NAME}"].head[1].items()}


def test_a_release_is_one_commit_after_the_preparing_one(site: Path, hub: HubStandIn) -> None:
    plan = publish(site, hub)
    repo = hub.repos[f"spaces/{NAME}"]
    assert len(repo.commits) == 3  # empty, prepared, published
    files = served(hub)
    for path, content in plan.release.files.items():
        assert hashlib.sha256(files[path]).hexdigest() == content.sha256
        assert blob_path(content.sha256) in files
    assert Channel.loads(files[CHANNEL_PATH], "channel").release == plan.release.id
    assert set(repo.commits[1][1]) == {".gitattributes", "README.md"}


def test_blobs_are_large_files_and_pages_are_not(site: Path, hub: HubStandIn) -> None:
    publish(site, hub)
    for path, file in hub.repos[f"spaces/{NAME}"].head[1].items():
        # The client sends empty files as ordinary ones.
        wants_large = (path.startswith("blobs/") and file.data) or path.endswith(".wasm")
        assert bool(file.sha256) == bool(wants_large), path


def test_a_space_without_a_readme_gets_one_that_says_static(site: Path, hub: HubStandIn) -> None:
    publish(site, hub)
    assert b"\nsdk: static\n" in served(hub)["README.md"]


def test_a_readme_that_is_there_is_left_alone(site: Path, hub: HubStandIn) -> None:
    publish(site, hub)
    repo = hub.repos[f"spaces/{NAME}"]
    edited = dict(repo.head[1])
    edited["README.md"] = Stored(b"---\nsdk: static\n---\nmine\n", None)
    repo.commits.append(("e" * 40, edited))
    publish(write_site(site, title="second"), hub)
    assert b"mine" in served(hub)["README.md"]


def test_a_second_publish_makes_no_commit_and_a_changed_page_one(
    site: Path, hub: HubStandIn
) -> None:
    publish(site, hub)
    repo = hub.repos[f"spaces/{NAME}"]
    assert not publish(site, hub).moves
    assert len(repo.commits) == 3
    plan = publish(write_site(site, title="second"), hub)
    assert [d.path for d in plan.placements] == ["index.html"]
    assert len(plan.blobs) == 1
    assert len(repo.commits) == 4


def test_an_interrupted_upload_shows_nothing_and_is_resumed(site: Path, hub: HubStandIn) -> None:
    prepared = {
        ".gitattributes": Stored(ATTRIBUTES.encode(), None),
        "README.md": Stored(b"---\nsdk: static\n---\n", None),
    }
    hub.refusals["POST .*/commit/main"] = (503, {})
    repo = hub.repos[f"spaces/{NAME}"]
    repo.commits.append(("a" * 40, prepared))
    with pytest.raises(UnavailableError):
        publish(site, hub)
    assert CHANNEL_PATH not in served(hub)
    sent = len([line for line in hub.asked if line.startswith("PUT /lfs/")])
    assert sent
    hub.refusals.clear()
    publish(site, hub)
    assert len([line for line in hub.asked if line.startswith("PUT /lfs/")]) == sent


def test_a_rollback_restores_the_documents_from_the_repository(site: Path, hub: HubStandIn) -> None:
    first = publish(site, hub)
    before = served(hub)
    second = publish(write_site(site, title="second", seed=2), hub)
    store = open_hub(hub)
    execute(prepare_rollback(first.release.id, store), store, ignore_progress)
    now = served(hub)
    for path in first.release.files:
        assert now[path] == before[path]
    channel = Channel.loads(now[CHANNEL_PATH], "channel")
    assert (channel.release, channel.previous) == (first.release.id, second.release.id)
    assert [item.place for item in list_releases(open_hub(hub))] == [0, 1]


def test_collection_deletes_from_the_newest_tree(site: Path, hub: HubStandIn) -> None:
    first = publish(site, hub)
    second = publish(write_site(site, title="second", seed=2), hub)
    plan = collect(open_hub(hub), keep=1)
    files = served(hub)
    assert plan.dropped == (first.release.id,)
    used = {c.sha256 for c in second.release.files.values()}
    assert {p.rsplit("/", 1)[-1] for p in files if p.startswith("blobs/")} == used
    assert "README.md" in files


def test_a_commit_of_somebody_else_is_a_conflict(
    site: Path, tmp_path: Path, hub: HubStandIn
) -> None:
    publish(site, hub)
    late = open_hub(hub)
    prepared = prepare_publish(write_site(site, title="late"), late, ignore_progress)
    publish(write_site(tmp_path / "other", title="other"), hub)
    with pytest.raises(ConflictError, match="publish again"):
        execute(prepared, late, ignore_progress)
    assert b"<title>other</title>" in served(hub)["index.html"]


def test_the_parent_commit_is_what_the_hub_compares(site: Path, hub: HubStandIn) -> None:
    publish(site, hub)
    store = open_hub(hub)
    pointer = store.read_pointer()
    assert pointer is not None
    publish(write_site(site, title="second"), hub)
    with pytest.raises(ConflictError, match="412"):
        store.flip(pointer.channel, pointer)


@pytest.mark.parametrize("kind", ["models", "datasets"])
def test_models_and_datasets_hold_a_site_too(site: Path, hub: HubStandIn, kind: str) -> None:
    hub.create(f"{kind}/{NAME}", sdk=None)
    plan = publish(site, hub, kind)
    assert set(plan.release.files) <= set(served(hub, kind))
    assert "README.md" not in served(hub, kind)


def test_a_space_of_another_kind_is_refused(site: Path, hub: HubStandIn) -> None:
    hub.create(f"spaces/{NAME}", sdk="gradio")
    with pytest.raises(TargetError, match="gradio Space"):
        publish(site, hub)


def test_a_missing_repository_says_how_to_create_it(site: Path, hub: HubStandIn) -> None:
    store = open_hub(hub, name="press/nowhere")
    create = "hf repos create press/nowhere --repo-type space --space-sdk static"
    with pytest.raises(TargetError, match=create):
        prepare_publish(site, store, ignore_progress)


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (403, AccessError, "HF_TOKEN"),
        (413, FullError, "storage"),
        (412, ConflictError, "publish again"),
        (500, UnavailableError, "status page"),
    ],
)
def test_a_refused_commit_says_what_to_do(
    site: Path, hub: HubStandIn, status: int, kind: type[PublishError], says: str
) -> None:
    hub.refusals["POST .*/commit/main"] = (status, {"X-Error-Message": "refused"})
    with pytest.raises(kind, match=says):
        publish(site, hub)


def test_a_hub_that_is_down_says_what_to_check(
    site: Path, hub: HubStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("publish.retry.FIRST_WAIT_S", 0.001)
    store = HubStore("spaces", NAME, endpoint_url=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(UnavailableError, match="HF_ENDPOINT"):
        prepare_publish(site, store, ignore_progress)


def test_the_xet_protocol_uploads_the_same_release(
    site: Path, hub: HubStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    (tmp_path / "cas").mkdir()
    hub.xet_cas = f"local://{tmp_path / 'cas'}"
    plan = publish(site, hub)
    tree = hub.repos[f"spaces/{NAME}"].head[1]
    for blob in plan.blobs:
        if blob.content.nbytes:
            assert tree[blob.path].sha256 == blob.content.sha256
    assert not [line for line in hub.asked if "/lfs/" in line]
    assert list((tmp_path / "cas").rglob("*"))


def test_the_command_line_publishes_to_a_space(
    site: Path, hub: HubStandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    target = [f"hf://spaces/{NAME}", "--endpoint-url", hub.url]
    app(["publish", *target, "--site", str(site), "--dry-run"], standalone_mode=False)
    assert set(served(hub)) == set()
    app(["publish", *target, "--site", str(site)], standalone_mode=False)
    assert "https://press-models.static.hf.space" in capsys.readouterr().out
    assert served(hub)["index.html"] == (site / "index.html").read_bytes()
