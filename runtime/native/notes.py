"""Notes in this user's cache folder."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path


def default_folder() -> Path:
    """`$MODELPRESS_CACHE`, else where this platform wants what can be made again."""
    given = os.environ.get("MODELPRESS_CACHE")
    if given:
        return Path(given)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "modelpress"


class FolderNotes:
    """A file a note, below `root`, which is made when something is to be kept."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def read(self, key: str) -> str | None:
        """The text kept under `key`; None when there is none that can be read."""
        return await asyncio.to_thread(self._read, key)

    async def write(self, key: str, text: str) -> None:
        """Keep `text`, whole or not at all: two processes may write the same note."""
        await asyncio.to_thread(self._write, key, text)

    def _read(self, key: str) -> str | None:
        try:
            return self._path(key).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    def _write(self, key: str, text: str) -> None:
        path = self._path(key)
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(text, encoding="utf-8")
            part.replace(path)
        except OSError:
            # A read-only or full disk: the same is found out again next time.
            with contextlib.suppress(OSError):
                part.unlink()

    def _path(self, key: str) -> Path:
        return self._root / f"{key}.json"
