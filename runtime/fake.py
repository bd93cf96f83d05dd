"""Fakes of a hub's files, a tokenizer and models: small real implementations, for tests and trials.

The device's is in `fake_executor.py`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence

from .errors import ModelpressError
from .manifest import File
from .weights import Chunk

NextToken = Callable[[tuple[int, ...]], int]
"""A model: the tokens of a sequence to the one that follows."""


class FakeTokenizer:
    """Bytes as tokens; 256 begins a text (`<s>`), 257 ends a turn (`</s>`)."""

    SPECIAL: Mapping[str, int] = {"<s>": 256, "</s>": 257}
    VOCAB_SIZE = 258

    def encode(self, text: str) -> list[int]:
        """UTF-8 bytes, special tokens as one id."""
        ids: list[int] = []
        while text:
            for name, token in self.SPECIAL.items():
                if text.startswith(name):
                    ids.append(token)
                    text = text[len(name) :]
                    break
            else:
                ids.extend(text[0].encode())
                text = text[1:]
        return ids

    def encode_whole(self, text: str) -> list[int]:
        """As `encode`, between the two special tokens."""
        return [256, *self.encode(text), 257]

    def decode(self, ids: Sequence[int]) -> str:
        """The bytes among `ids`, read as UTF-8."""
        return bytes(i for i in ids if i < 256).decode(errors="replace")

    def piece(self, token: int) -> str | None:
        """`<0x0A>` for a byte, the name of a special token."""
        names = {id: name for name, id in self.SPECIAL.items()}
        return f"<0x{token:02X}>" if token < 256 else names.get(token)

    def special_ids(self) -> frozenset[int]:
        """Both names."""
        return frozenset(self.SPECIAL.values())


def fake_tokenizer(tokenizer: str, config: str | None) -> FakeTokenizer:
    """A tokenizer factory that reads neither file."""
    return FakeTokenizer()


class FakeStorage:
    """A hub in memory. `files` maps paths to bytes; verified like any storage."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self.reads: list[str] = []

    async def registry(self) -> str:
        """The text of registry.json."""
        return self._bytes("registry.json").decode()

    async def text(self, file: File) -> str:
        """A file's text."""
        return self._verified(file.path, file.sha256).decode()

    async def chunk(self, chunk: Chunk) -> bytes:
        """A chunk's bytes."""
        return self._verified(chunk.path, chunk.sha256)

    def _bytes(self, path: str) -> bytes:
        self.reads.append(path)
        if path not in self.files:
            raise ModelpressError("network", f"{path} is not there (404)", details={"status": 404})
        return self.files[path]

    def _verified(self, path: str, sha256: str) -> bytes:
        data = self._bytes(path)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ModelpressError("integrity", f"{path} is corrupted", details={"path": path})
        return data


def hashed_token(sequence: tuple[int, ...]) -> int:
    """A printable byte that depends on every token and its place."""
    digest = hashlib.sha256(repr(sequence).encode()).digest()
    return 32 + digest[0] % 95


FAKE_WIDTH = 16


def fake_vector(tokens: Sequence[int]) -> list[float]:
    """`FAKE_WIDTH` numbers that depend on every token and its place; the vector's length is 1."""
    digest = hashlib.sha256(repr(tuple(tokens)).encode()).digest()
    values = [byte - 127.5 for byte in digest[:FAKE_WIDTH]]
    size = math.sqrt(sum(value * value for value in values))
    return [value / size for value in values]


def reply(text: str, *, stop: int = 257) -> NextToken:
    """A model that answers every prompt ending in `>` with `text`, then stops."""
    answer = [*text.encode(), stop]

    def next_token(sequence: tuple[int, ...]) -> int:
        # The answer so far is what follows the last mark; `text` itself must not hold one.
        mark = ord(">")
        so_far: int = sequence[::-1].index(mark) if mark in sequence else 0
        answered: int = answer[min(so_far, len(answer) - 1)]
        return answered

    return next_token
