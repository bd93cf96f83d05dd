"""Storage over a folder: a hub or a site on this machine, verified like one from far away."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

from ..errors import ModelpressError
from ..manifest import File
from ..weights import Chunk


class FolderStorage:
    """Reads below `root`, the folder that holds registry.json."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def registry(self) -> str:
        """The text of registry.json."""
        return _decoded(await asyncio.to_thread(self._bytes, "registry.json"), "registry.json")

    async def text(self, file: File) -> str:
        """The verified text of a hub file."""
        data = await asyncio.to_thread(self._verified, file.path, file.nbytes, file.sha256)
        return _decoded(data, file.path)

    async def chunk(self, chunk: Chunk) -> bytes:
        """The verified bytes of a weight chunk."""
        return await asyncio.to_thread(self._verified, chunk.path, chunk.nbytes, chunk.sha256)

    def _bytes(self, path: str) -> bytes:
        try:
            return (self._root / path).read_bytes()
        except FileNotFoundError as error:
            raise ModelpressError(
                "network",
                f"{path} is not in {self._root}; build it with `modelpress build`",
                details={"path": path, "status": 404},
            ) from error
        except OSError as error:
            raise ModelpressError(
                "network", f"{path} cannot be read: {error}", details={"path": path}
            ) from error

    def _verified(self, path: str, nbytes: int, sha256: str) -> bytes:
        data = self._bytes(path)
        if len(data) != nbytes or hashlib.sha256(data).hexdigest() != sha256:
            raise ModelpressError(
                "integrity",
                f"{path} is corrupted: {len(data)} bytes whose sha256 is not {sha256}; "
                "build the model again with `modelpress build`",
                details={"path": path, "sha256": sha256},
            )
        return data


def _decoded(data: bytes, path: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ModelpressError(
            "integrity", f"{path} is not UTF-8 text: {error}", details={"path": path}
        ) from error
