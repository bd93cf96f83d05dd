"""Notes: small texts that a host keeps from one visit to the next, such as what was measured here.

A place that cannot keep them (full, read-only) is no error: what a note says can be found out
again. A note may be damaged or out of date when it is read; whoever reads it checks.
"""

from __future__ import annotations

from typing import Protocol


class Notes(Protocol):
    """Texts by key. A key is made of letters, digits, "-" and "/"."""

    async def read(self, key: str) -> str | None:
        """The text kept under `key`, or None."""
        ...

    async def write(self, key: str, text: str) -> None:
        """Keep `text` under `key` if this place can, in place of the one before."""
        ...


class MemoryNotes:
    """Notes that last as long as the object."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    async def read(self, key: str) -> str | None:
        """The text kept under `key`, or None."""
        return self.texts.get(key)

    async def write(self, key: str, text: str) -> None:
        """Keep `text`."""
        self.texts[key] = text
