"""What to send where, decided before anything is written. Pure: values in, values out.

Order is what keeps a site whole while it changes. Blobs go first, under their digests, where no
reader looks yet. Then documents are pointed at their blobs: parts before the pages that use them,
the registry after the pages, the channel after everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from runtime.weights import blob_path

from .content_types import BINARY, IMMUTABLE, cache_control, content_type, is_blob
from .documents import REGISTRY_PATH, Channel, Content, Release, next_channel, release_path

ENTRY_NAMES = frozenset({"sw.js", "shell.json"})
ENTRY_ENDINGS = (".html", ".htm")


class Phase(IntEnum):
    """When an upload happens; all of one phase is done before the next begins."""

    BLOBS = 1
    ASSETS = 2
    ENTRIES = 3
    REGISTRY = 4


@dataclass(frozen=True, slots=True)
class Upload:
    """One path of the target: its bytes, its labels, its turn.

    `source` is the local file with these bytes; None when only the target has them (a rollback).
    """

    path: str
    content: Content
    content_type: str
    cache_control: str
    phase: Phase
    source: Path | None


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a target holds: blobs as digest -> size, and which documents need no change."""

    blobs: Mapping[str, int]
    current: frozenset[str]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a publish or a rollback will do, and what it will leave alone."""

    release: Release
    channel: Channel
    """The channel to write last."""
    before: Channel | None
    blobs: tuple[Upload, ...]
    present: tuple[Upload, ...]
    """Blobs that are at the target already."""
    damaged: tuple[str, ...]
    """Paths of blobs at the target whose size is wrong; removed before they are sent again."""
    placements: tuple[Upload, ...]
    unchanged: tuple[Upload, ...]

    @property
    def moves(self) -> bool:
        """Whether anything at the target changes."""
        served = self.before.release if self.before else None
        return bool(self.blobs or self.placements) or served != self.release.id


@dataclass(frozen=True, slots=True)
class GcPlan:
    """Paths to delete, and the channel that no longer remembers the dropped releases."""

    channel: Channel
    kept: tuple[str, ...]
    dropped: tuple[str, ...]
    paths: tuple[str, ...]
    nbytes: int


def phase_of(path: str) -> Phase:
    """The turn of a document: parts, then the pages that a visitor enters by, then the registry."""
    if path == REGISTRY_PATH:
        return Phase.REGISTRY
    name = path.rsplit("/", 1)[-1]
    is_entry = name in ENTRY_NAMES or name.endswith(ENTRY_ENDINGS)
    return Phase.ENTRIES if is_entry else Phase.ASSETS


def document_uploads(release: Release, root: Path | None) -> tuple[Upload, ...]:
    """The documents of a release in the order they are placed; `root` is the local site."""
    documents = [
        Upload(
            path=path,
            content=content,
            content_type=content_type(path),
            cache_control=cache_control(path, content.sha256),
            phase=phase_of(path),
            source=root / path if root else None,
        )
        for path, content in release.files.items()
        if not is_blob(path)
    ]
    return tuple(sorted(documents, key=lambda upload: (upload.phase, upload.path)))


def blob_uploads(release: Release, root: Path | None) -> tuple[Upload, ...]:
    """Every distinct content of a release as a blob; documents too, so any can be restored."""
    sources = {content.sha256: (path, content) for path, content in release.files.items()}
    return tuple(
        Upload(
            path=blob_path(sha256),
            content=content,
            content_type=BINARY,
            cache_control=IMMUTABLE,
            phase=Phase.BLOBS,
            source=root / path if root else None,
        )
        for sha256, (path, content) in sorted(sources.items())
    )


def plan_release(
    release: Release, root: Path | None, *, held: Inventory, before: Channel | None
) -> Plan:
    """What serving `release` takes, given what the target holds and which channel it serves."""
    blobs = blob_uploads(release, root)
    documents = document_uploads(release, root)
    present = {b.path for b in blobs if held.blobs.get(b.content.sha256) == b.content.nbytes}
    known = {b.path for b in blobs if b.content.sha256 in held.blobs}
    return Plan(
        release=release,
        channel=next_channel(before, release),
        before=before,
        blobs=tuple(b for b in blobs if b.path not in present),
        present=tuple(b for b in blobs if b.path in present),
        damaged=tuple(sorted(known - present)),
        placements=tuple(d for d in documents if d.path not in held.current),
        unchanged=tuple(d for d in documents if d.path in held.current),
    )


def plan_gc(
    channel: Channel, releases: Mapping[str, Release], *, blobs: Mapping[str, int], keep: int
) -> GcPlan:
    """Delete what no kept release uses. `releases` are all at the target, by id; `keep` >= 1.

    Kept are the first `keep` of the channel's history. Only blobs and documents of dropped
    releases go: a file that no release ever named is not ours to delete.
    """
    kept = channel.history[:keep]
    dropped = tuple(sorted(set(releases) - set(kept)))
    wanted = {c.sha256 for id in kept for c in releases[id].files.values()}
    documents = _documents(releases[id] for id in dropped)
    for path in _documents(releases[id] for id in kept):
        documents.pop(path, None)
    garbage = {blob_path(sha): size for sha, size in blobs.items() if sha not in wanted}
    paths = (*sorted(documents), *sorted(garbage), *(release_path(id) for id in dropped))
    nbytes = sum(documents.values()) + sum(garbage.values())
    return GcPlan(channel.keeping(kept), kept, dropped, paths, nbytes)


def sample(uploads: Iterable[Upload], limit: int) -> tuple[Upload, ...]:
    """At most `limit` of them, spread evenly; the last, which is the most important, included."""
    items = tuple(uploads)
    if len(items) <= limit:
        return items
    return tuple(items[(i + 1) * len(items) // limit - 1] for i in range(limit))


def _documents(releases: Iterable[Release]) -> dict[str, int]:
    return {
        path: content.nbytes
        for release in releases
        for path, content in release.files.items()
        if not is_blob(path)
    }
