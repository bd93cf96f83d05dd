"""The host: everything the engine needs from where it runs, passed in by whoever boots it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .executor import Executor
from .storage import Storage
from .tokenizer import Tokenizer

TokenizerFactory = Callable[[str, str | None], Tokenizer]
"""Makes a tokenizer from the texts of tokenizer.json and, when there is one,
tokenizer_config.json; raises ModelpressError "bad_format" when they are not what they say."""


@dataclass(frozen=True, slots=True)
class Host:
    """A device, a place with files, and a way to read tokenizers."""

    executor: Executor
    storage: Storage
    tokenizer: TokenizerFactory
