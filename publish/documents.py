"""The two documents that publishing adds to a site: releases and the channel.

A release maps every path of a site to the sha256 and size of its bytes; its id is derived from
that map, so the same site always makes the same release. The channel names the release being
served and is the only document whose change makes a site appear. Knows nothing about stores.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from runtime import codec
from runtime.errors import FormatError

from .errors import TargetError

RELEASE_FORMAT = 1
CHANNEL_FORMAT = 1
CHANNEL_PATH = "channels/stable.json"
LOCK_PATH = "channels/stable.lock"
REGISTRY_PATH = "registry.json"
RESERVED = ("channels/", "releases/")
Document = TypeVar("Document", "Release", "Channel")
REMEDY = "publish with the version of modelpress that wrote it, or with a newer one"


@dataclass(frozen=True, slots=True)
class Content:
    """What bytes a path holds: sha256 in hexadecimal, size in bytes."""

    sha256: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class Release:
    """A complete site: every path and its content, blobs included."""

    format: int
    id: str
    files: Mapping[str, Content]

    @classmethod
    def of(cls, files: Mapping[str, Content]) -> Release:
        """The release these files make."""
        return cls(RELEASE_FORMAT, release_id(files), dict(sorted(files.items())))

    @classmethod
    def loads(cls, text: bytes, where: str) -> Release:
        """Raises TargetError when the text is not a release or its id is not its content's."""
        release = _loads(cls, text, where, RELEASE_FORMAT)
        if release.id != release_id(release.files):
            raise TargetError(f"{where} is damaged: its files do not make the id {release.id}")
        return release

    def dumps(self) -> bytes:
        return codec.dumps(self).encode()

    @property
    def path(self) -> str:
        return release_path(self.id)

    @property
    def nbytes(self) -> int:
        """Bytes of all paths; content that two paths share counts twice."""
        return sum(content.nbytes for content in self.files.values())


@dataclass(frozen=True, slots=True)
class Channel:
    """The release being served. `history` lists releases, the one being served first."""

    format: int
    release: str
    sequence: int
    """Grows by one with every change, so that a reader can refuse to go back in time."""
    registry: str
    """sha256 of the release's registry.json."""
    previous: str | None
    history: tuple[str, ...]

    @classmethod
    def loads(cls, text: bytes, where: str) -> Channel:
        """Raises TargetError when the text is not a channel of this version's format."""
        return _loads(cls, text, where, CHANNEL_FORMAT)

    def dumps(self) -> bytes:
        return codec.dumps(self).encode()

    def keeping(self, history: tuple[str, ...]) -> Channel:
        """The same release served, with older ones forgotten."""
        previous = self.previous if self.previous in history else None
        return replace(self, sequence=self.sequence + 1, previous=previous, history=history)


def next_channel(current: Channel | None, release: Release) -> Channel:
    """The channel that serves `release` after `current`."""
    older = current.history if current else ()
    previous = current.release if current else None
    if previous == release.id:
        previous = current.previous if current else None
    return Channel(
        format=CHANNEL_FORMAT,
        release=release.id,
        sequence=current.sequence + 1 if current else 1,
        registry=release.files[REGISTRY_PATH].sha256,
        previous=previous,
        history=(release.id, *(id for id in older if id != release.id)),
    )


def release_id(files: Mapping[str, Content]) -> str:
    """Sixteen hexadecimal digits that stand for exactly these files."""
    return hashlib.sha256(codec.dumps(dict(files)).encode()).hexdigest()[:16]


def release_path(id: str) -> str:
    """Where the document of a release lies, relative to the target."""
    return f"releases/{id}.json"


def _loads(cls: type[Document], text: bytes, where: str, format: int) -> Document:
    try:
        data = codec.loads(dict, text, where)
        codec.check_format(data, format, where, REMEDY)
        document: Document = codec.decode(cls, data, where)
    except FormatError as error:
        raise TargetError(str(error)) from error
    return document
