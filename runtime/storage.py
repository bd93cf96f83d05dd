"""Storage: verified bytes of a hub, wherever they lie.

An implementation checks the sha256 before it returns a byte: an unverified byte never leaves it.
"""

from __future__ import annotations

from typing import Protocol

from .manifest import File
from .weights import Chunk


class Storage(Protocol):
    """Errors are ModelpressError: `network` (with the HTTP status), `integrity`,
    `quota_exceeded`, `aborted`."""

    async def registry(self) -> str:
        """The text of registry.json, fresh when the network answers, else the last one kept."""
        ...

    async def text(self, file: File) -> str:
        """The verified text of a hub file."""
        ...

    async def chunk(self, chunk: Chunk) -> bytes:
        """The verified bytes of a weight chunk."""
        ...
