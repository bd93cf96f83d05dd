"""What is sent where, decided without any store."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from publish.content_types import IMMUTABLE, REVALIDATE, cache_control, content_type
from publish.documents import Channel, Content, Release, next_channel
from publish.errors import TargetError
from publish.plan import (
    Inventory,
    Phase,
    blob_uploads,
    document_uploads,
    phase_of,
    plan_gc,
    plan_release,
    sample,
)
from runtime.weights import blob_path

NOTHING = Inventory({}, frozenset())


def content(text: str) -> Content:
    return Content(hashlib.sha256(text.encode()).hexdigest(), len(text))


def release(**texts: str) -> Release:
    files = {name.replace("__", "/").replace("_", "."): content(t) for name, t in texts.items()}
    return Release.of({"registry.json": content("registry"), **files})


def chunk(text: str) -> tuple[str, Content]:
    found = content(text)
    return blob_path(found.sha256), found


def test_the_id_is_the_contents_and_not_the_order() -> None:
    a = Release.of({"a": content("1"), "b": content("2")})
    b = Release.of({"b": content("2"), "a": content("1")})
    assert a.id == b.id
    assert a.id != Release.of({"a": content("2"), "b": content("1")}).id
    assert len(a.id) == 16


def test_a_release_survives_its_document_and_a_tampered_one_is_refused() -> None:
    made = release(index_html="page")
    assert Release.loads(made.dumps(), "here") == made
    tampered = made.dumps().replace(content("page").sha256.encode(), b"0" * 64)
    with pytest.raises(TargetError, match="damaged"):
        Release.loads(tampered, "here")


def test_a_channel_counts_up_and_puts_the_served_release_first() -> None:
    a, b = release(index_html="a"), release(index_html="b")
    first = next_channel(None, a)
    second = next_channel(first, b)
    third = next_channel(second, a)
    assert [c.sequence for c in (first, second, third)] == [1, 2, 3]
    assert (third.release, third.previous, third.history) == (a.id, b.id, (a.id, b.id))
    assert next_channel(third, a).previous == b.id
    assert Channel.loads(third.dumps(), "here") == third


@pytest.mark.parametrize(
    ("path", "phase"),
    [
        ("engine/client.js", Phase.ASSETS),
        ("models/a/q4/manifest.json", Phase.ASSETS),
        ("models/a/registry.json", Phase.ASSETS),
        ("index.html", Phase.ENTRIES),
        ("chat/index.html", Phase.ENTRIES),
        ("sw.js", Phase.ENTRIES),
        ("shell.json", Phase.ENTRIES),
        ("registry.json", Phase.REGISTRY),
    ],
)
def test_the_turn_of_a_document(path: str, phase: Phase) -> None:
    assert phase_of(path) is phase


def test_equal_contents_are_one_blob_and_documents_are_blobs_too() -> None:
    path, found = chunk("weights")
    made = Release.of({"registry.json": content("r"), "a.txt": content("r"), path: found})
    assert {b.path for b in blob_uploads(made, None)} == {path, blob_path(content("r").sha256)}
    assert [d.path for d in document_uploads(made, None)] == ["a.txt", "registry.json"]


def test_what_is_there_is_skipped_and_a_wrong_size_is_sent_again() -> None:
    made = release(index_html="page", a_js="code")
    held = Inventory(
        {content("page").sha256: 4, content("code").sha256: 3}, frozenset({"index.html"})
    )
    plan = plan_release(made, None, held=held, before=None)
    assert [b.content for b in plan.present] == [content("page")]
    assert plan.damaged == (blob_path(content("code").sha256),)
    assert {b.content for b in plan.blobs} == {content("code"), content("registry")}
    assert [d.path for d in plan.placements] == ["a.js", "registry.json"]
    assert [d.path for d in plan.unchanged] == ["index.html"]


def test_nothing_moves_only_when_all_is_there_and_served() -> None:
    made = release(index_html="page")
    held = Inventory({c.sha256: c.nbytes for c in made.files.values()}, frozenset(made.files))
    served = next_channel(None, made)
    assert not plan_release(made, None, held=held, before=served).moves
    assert plan_release(made, None, held=held, before=None).moves
    assert plan_release(made, None, held=NOTHING, before=served).moves


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sets(st.sampled_from("abcdefgh"), min_size=1), min_size=1, max_size=6))
def test_collection_never_takes_what_a_kept_release_uses(contents: list[set[str]]) -> None:
    made = [Release.of({"registry.json": content("r"), **dict(map(chunk, c))}) for c in contents]
    channel: Channel | None = None
    for one in made:
        channel = next_channel(channel, one)
    assert channel is not None
    releases = {one.id: one for one in made}
    blobs = {c.sha256: c.nbytes for one in made for c in one.files.values()}
    for keep in range(1, len(made) + 1):
        plan = plan_gc(channel, releases, blobs=blobs, keep=keep)
        used = {blob_path(c.sha256) for id in plan.kept for c in releases[id].files.values()}
        assert not used & set(plan.paths)
        everything = {blob_path(sha256) for sha256 in blobs}
        assert {p for p in plan.paths if p.startswith("blobs/")} == everything - used
        assert plan.channel.history == plan.kept == channel.history[:keep]


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 200), st.integers(1, 40))
def test_a_sample_is_spread_and_ends_with_the_last(count: int, limit: int) -> None:
    uploads = document_uploads(Release.of({f"{i:03}": content(str(i)) for i in range(count)}), None)
    taken = sample(uploads, limit)
    assert len(taken) == min(count, limit) == len(set(taken))
    assert taken[-1:] == uploads[-1:]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.wasm", "application/wasm"),
        ("a.mjs", "text/javascript; charset=utf-8"),
        ("a.JS", "text/javascript; charset=utf-8"),
        ("a.d.ts", "text/plain; charset=utf-8"),
        ("a.webmanifest", "application/manifest+json"),
        ("a.svg", "image/svg+xml"),
        ("fonts/a.woff2", "font/woff2"),
        ("blobs/sha256/ab/abcd", "application/octet-stream"),
        ("a.unknown", "application/octet-stream"),
        ("v1.2/LICENSE", "application/octet-stream"),
    ],
)
def test_content_types(path: str, expected: str) -> None:
    assert content_type(path) == expected


def test_only_a_name_with_its_own_digest_is_kept_for_a_year() -> None:
    sha256 = content("code").sha256
    assert cache_control(f"engine/app.{sha256[:8]}.js", sha256) == IMMUTABLE
    assert cache_control(f"engine/app-{sha256[:12]}.js", sha256) == IMMUTABLE
    assert cache_control("engine/app.0123abcd.js", sha256) == REVALIDATE
    assert cache_control(f"engine/app.{sha256[:7]}.js", sha256) == REVALIDATE
    assert cache_control("index.html", sha256) == REVALIDATE
    assert cache_control(blob_path(sha256), sha256) == IMMUTABLE
