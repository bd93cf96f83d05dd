"""How a single token is written: its bytes, which need not be whole characters.

Vocabularies spell bytes in one of three ways: a printable stand-in for each byte (GPT-2,
`bytes_to_unicode`), "▁" for a space and `<0x0A>` for bytes that no piece has (SentencePiece), or
plain text. Which one, the pieces of a short text tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Literal

from .tokenizer import Tokenizer

Spelling = Literal["byte_level", "byte_fallback", "raw"]
SPACE_BYTE = "Ġ"
SPACE_PIECE = "▁"
BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class TokenText:
    """The texts of a tokenizer's single tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        pieces = "".join(tokenizer.piece(token) or "" for token in tokenizer.encode("a b"))
        self._by_bytes = SPACE_BYTE in pieces
        self._by_pieces = SPACE_PIECE in pieces

    @property
    def spelling(self) -> Spelling:
        """How the vocabulary spells bytes: GPT-2's way, SentencePiece's, or plainly."""
        if self._by_bytes:
            return "byte_level"
        return "byte_fallback" if self._by_pieces else "raw"

    def bytes_of(self, token: int) -> bytes:
        """The bytes of `token`; a special token is its name, an unknown id nothing."""
        piece = self._tokenizer.piece(token)
        if piece is None:
            return b""
        if match := BYTE_PIECE.fullmatch(piece):
            return bytes([int(match[1], 16)])
        if self._by_bytes and all(character in _byte_of() for character in piece):
            return bytes(_byte_of()[character] for character in piece)
        return (piece.replace(SPACE_PIECE, " ") if self._by_pieces else piece).encode()

    def text_of(self, token: int) -> str:
        """The text of `token`, with U+FFFD for what is no whole character."""
        return self.bytes_of(token).decode(errors="replace")


def special_names(tokenizer: Tokenizer, names: Iterable[str]) -> dict[int, str]:
    """Those of `names` that are special tokens by id: they leave no trace in decoded text."""
    found = {}
    for name in names:
        ids = tokenizer.encode(name)
        if len(ids) == 1 and tokenizer.decode(ids) == "":
            found[ids[0]] = name
    return found


@cache
def _byte_of() -> dict[str, int]:
    """The byte that each stand-in is for: printable Latin-1 stands for itself, the other 68 bytes
    are U+0100 and on, in order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in printable}
    others = [byte for byte in range(256) if byte not in table.values()]
    return table | {chr(0x100 + i): byte for i, byte in enumerate(others)}
