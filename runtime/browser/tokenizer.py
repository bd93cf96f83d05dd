"""The Tokenizer over the TypeScript object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pyodide.ffi import to_js

from .errors import Translator


class BrowserTokenizer:
    """`host` is a Tokenizer of tokenizer.ts."""

    def __init__(self, host: Any) -> None:
        self._host = host

    @property
    def host(self) -> Any:
        """The TypeScript object."""
        return self._host

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._host.encode(text).to_py().tolist()
        return ids

    def encode_whole(self, text: str) -> list[int]:
        ids: list[int] = self._host.encodeWhole(text).to_py().tolist()
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        text: str = self._host.decode(to_js(list(ids)))
        return text

    def piece(self, token: int) -> str | None:
        piece: str | None = self._host.piece(token)
        return piece

    def special_ids(self) -> frozenset[int]:
        return frozenset(self._host.specialIds().to_py().tolist())


def tokenizer_factory(
    make: Callable[[str, str], Any], translator: Translator
) -> Callable[[str, str | None], BrowserTokenizer]:
    """The host's TokenizerFactory over `hostTokenizer` of host.ts."""

    def factory(text: str, config: str | None) -> BrowserTokenizer:
        with translator:
            return BrowserTokenizer(make(text, config or ""))

    return factory
