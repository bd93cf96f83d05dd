"""What a host has to bring for grammars: a compiler for one vocabulary, and matchers.

GrammarFactory(tokenizer, vocabulary) -> Grammars
await Grammars.matcher(text)          -> Matcher, for one sequence
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ..tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a grammar must know of a model besides its tokenizer."""

    size: int
    """Tokens that the model has logits for."""
    stop_ids: frozenset[int]
    """What ends an answer: allowed where a text may end, and only there."""
    spelled: Mapping[int, str] = field(default_factory=dict)
    """Special tokens that texts may hold, with what they stand for; all others are never drawn."""


class Matcher(Protocol):
    """Follows one sequence through a grammar."""

    async def mask(self) -> bytes:
        """The tokens that may come next, u32[ceil(size / 32)], little endian."""
        ...

    def accept(self, token: int) -> bool:
        """Go on with `token`; False, and nothing changes, when it is not allowed."""
        ...

    def forced_text(self) -> str:
        """The longest text that must come next, whatever is drawn."""
        ...


class Grammars(Protocol):
    """Grammars over one vocabulary. What was compiled is kept and taken up again."""

    async def matcher(self, grammar: str) -> Matcher:
        """A matcher at the start of the grammar with this text (`rules.Grammar.text`)."""
        ...


GrammarFactory = Callable[[Tokenizer, Vocabulary], Grammars]
"""Cheap: the vocabulary is read when the first grammar is compiled. Raises ModelpressError where
the host lacks what it takes."""
