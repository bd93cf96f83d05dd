"""Store: the target of a publish, as the publisher sees it.

Implementations: `S3Store`, `DirectoryStore`, `HubStore`. Each translates the errors of its client
into `PublishError`s and retries what is worth retrying; the publisher does neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from runtime.progress import OnProgress

from .documents import Channel, Release
from .plan import Inventory, Upload


@dataclass(frozen=True, slots=True)
class Pointer:
    """The channel as it was read, and the store's name for exactly that state of it."""

    channel: Channel
    version: str


class Store(Protocol):
    """Paths are relative to the target. Every method raises PublishError and nothing else."""

    @property
    def target(self) -> str:
        """The target as the user writes it."""
        ...

    @property
    def url(self) -> str:
        """Where a visitor finds the site, or how to serve it."""
        ...

    @property
    def atomic(self) -> bool:
        """Whether nothing that is written shows before `flip` succeeds."""
        ...

    def read_pointer(self) -> Pointer | None:
        """The channel being served; None before the first publish."""
        ...

    def read_release(self, id: str) -> Release:
        """Raises ReleaseError when there is none of this id."""
        ...

    def release_ids(self) -> tuple[str, ...]:
        """Releases whose documents are at the target, served or not."""
        ...

    def inventory(self, documents: Sequence[Upload]) -> Inventory:
        """All blobs, and which of `documents` already have the right bytes and labels."""
        ...

    def put_blobs(self, blobs: Sequence[Upload], on_progress: OnProgress) -> None:
        """Create blobs whose `source` is given; one that exists already is left alone."""
        ...

    def exclusive(self) -> AbstractContextManager[None]:
        """Keep other publishers out. Raises ConflictError when one is in."""
        ...

    def put_release(self, release: Release) -> None:
        """Write a release's document."""
        ...

    def place(self, documents: Sequence[Upload], on_progress: OnProgress) -> None:
        """Point documents at their blobs, which are at the target."""
        ...

    def flip(self, channel: Channel, expected: Pointer | None) -> None:
        """Write the channel if it is still `expected`; else raise ConflictError."""
        ...

    def delete(self, paths: Iterable[str]) -> None:
        """Remove paths; one that is already gone is no error."""
        ...

    def verify(self, uploads: Sequence[Upload]) -> None:
        """Ask the store what it holds. Raises IntegrityError naming the first that differs."""
        ...
