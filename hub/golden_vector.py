"""The vector of one text that is kept with a model of embeddings, to check devices against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime.manifest import Embedding

from .errors import UnsupportedError
from .golden import open_tokenizer
from .tokenizer_files import TokenizerFiles

if TYPE_CHECKING:
    from collections.abc import Iterable

TEXT = "The quick brown fox jumps over the lazy dog."
DIGITS = 7
"""What a float32 holds."""


def golden_text(files: TokenizerFiles, embedding: Embedding) -> list[int]:
    """Token ids of `TEXT`, special tokens included.

    CheckpointError when tokenizer.json is none, UnsupportedError when it gives tokens of a text
    other types than 0, which the engine does not write.
    """
    tokenizer = open_tokenizer(files)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    encoding = tokenizer.encode(TEXT)
    if any(encoding.type_ids):
        raise UnsupportedError("tokenizer.json gives tokens of a single text other types than 0")
    ids: list[int] = encoding.ids
    return ids[: embedding.max_tokens]


def rounded(values: Iterable[Any]) -> tuple[float, ...]:
    """As many digits as the numbers have."""
    return tuple(float(f"{value:.{DIGITS}g}") for value in values)
