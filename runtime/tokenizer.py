"""Tokenizers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Tokenizer(Protocol):
    """Text to token ids and back. Knows nothing of chats, prompts or models.

    Both directions are synchronous; a host whose library is not opens it before it passes the
    factory in.
    """

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`. Special tokens written in the text become their single ids;
        nothing (no beginning-of-text token) is added."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids` without special tokens; incomplete UTF-8 becomes U+FFFD."""
        ...
