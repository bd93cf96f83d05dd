"""The tokenizer over the `tokenizers` package, from a model's own tokenizer.json."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer

from ..errors import FormatError


class HfTokenizer:
    """See `Tokenizer`."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer

    def encode(self, text: str) -> list[int]:
        """Token ids; nothing is added."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def encode_whole(self, text: str) -> list[int]:
        """Token ids with the special tokens of tokenizer.json's post-processor."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=True).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text without special tokens."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text

    def piece(self, token: int) -> str | None:
        """The vocabulary's spelling."""
        piece: str | None = self._tokenizer.id_to_token(token)
        return piece

    def special_ids(self) -> frozenset[int]:
        """Tokens that stand for no text."""
        added = self._tokenizer.get_added_tokens_decoder()
        return frozenset(token for token, entry in added.items() if entry.special)


def open_tokenizer(tokenizer: str, config: str | None) -> HfTokenizer:
    """A tokenizer from the text of tokenizer.json; FormatError when it is none."""
    try:
        return HfTokenizer(Tokenizer.from_str(tokenizer))
    # The package raises bare Exception for whatever its parser dislikes.
    except Exception as error:
        raise FormatError("tokenizer.json", f"is not a tokenizer ({error})") from error
