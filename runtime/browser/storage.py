"""The Storage and Notes over the TypeScript object, which fetches, verifies and keeps."""

from __future__ import annotations

from typing import Any

from js import AbortController

from ..manifest import File
from ..weights import Chunk
from .errors import Translator


class BrowserStorage:
    """`host` is a HostStorage of host.ts. A cancelled call stops its download."""

    def __init__(self, host: Any, translator: Translator) -> None:
        self._host = host
        self._translator = translator

    async def registry(self) -> str:
        controller = AbortController.new()
        try:
            with self._translator:
                text: str = await self._host.registry(controller.signal)
                return text
        finally:
            controller.abort()

    async def text(self, file: File) -> str:
        controller = AbortController.new()
        try:
            with self._translator:
                text: str = await self._host.text(
                    file.path, file.nbytes, file.sha256, controller.signal
                )
                return text
        finally:
            controller.abort()

    async def read(self, key: str) -> str | None:
        """A note of an earlier visit."""
        with self._translator:
            text: str = await self._host.note(key)
        return text or None

    async def write(self, key: str, text: str) -> None:
        """Keep a note for the next visit."""
        with self._translator:
            await self._host.writeNote(key, text)

    async def chunk(self, chunk: Chunk) -> bytes:
        controller = AbortController.new()
        try:
            with self._translator:
                array = await self._host.chunk(
                    chunk.sha256, chunk.offset, chunk.nbytes, controller.signal
                )
                data: bytes = array.to_bytes()
                return data
        finally:
            controller.abort()
