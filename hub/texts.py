"""The texts that a build tries a model on: what the model itself says, or a file somebody gave.

A text is a tuple of token ids. It knows no weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import SourceError
from .golden import QUESTION, golden_prompt, open_tokenizer
from .rounding import Floats
from .tokenizer_files import TokenizerFiles

Text = tuple[int, ...]
Logits = Callable[[Sequence[int], int], Floats]
"""f32[n, vocab] after each of n tokens, the first of which is at the position given."""

OWN, QUESTIONS = "own", "questions"
"""Names of texts without a file: with the model's answers, and without."""
LENGTH = 256
"""Tokens of a text."""
ANSWER = 48
"""Tokens a model adds to a question."""
HELD_OUT = 4
"""Of a file's texts every fourth is kept to measure with."""
MOST = 32
"""Texts of a file that are read."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts to choose by and others to measure with; `name` says where the latter are from."""

    name: str
    calibration: tuple[Text, ...]
    measured: tuple[Text, ...]

    def within(self, vocab_size: int) -> bool:
        """Whether there are texts to measure with, of ids that the model knows."""
        every = (*self.calibration, *self.measured)
        return bool(self.measured) and max(max(text) for text in every) < vocab_size


def questions(
    chat: TokenizerFiles, system_prompt: str | None, suggestions: Sequence[str], length: int
) -> tuple[Text, ...]:
    """Every suggestion as the model is asked it, at most `length` tokens of each."""
    asked = suggestions or (QUESTION,)
    return tuple(tuple(golden_prompt(chat, system_prompt, [q])[:length]) for q in asked)


def answered(text: Text, logits: Logits, stops: Sequence[int], length: int) -> Text:
    """`text` and the greedy continuation, up to a stop token or `length` tokens in all."""
    tokens, rows = list(text), logits(text, 0)
    for _ in range(min(ANSWER, length - len(text))):
        tokens.append(int(np.argmax(rows[-1])))
        if tokens[-1] in stops or len(tokens) == length:
            break
        rows = logits(tokens[-1:], len(tokens) - 1)
    return tuple(tokens)


def read_texts(file: Path, chat: TokenizerFiles, length: int) -> Texts:
    """A file of UTF-8 text in pieces of at most `length` tokens; SourceError when it cannot be
    read or has too little in it."""
    try:
        content = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{file}: cannot be read as UTF-8 text ({error})") from error
    ids: list[int] = open_tokenizer(chat).encode(content, add_special_tokens=False).ids
    length = min(length, max(2, len(ids) // HELD_OUT))
    pieces = [tuple(ids[i : i + length]) for i in range(0, len(ids) - length + 1, length)][:MOST]
    if len(pieces) < HELD_OUT:
        raise SourceError(f"{file}: {len(ids)} tokens are too few; give a text of a page or more")
    held = tuple(pieces[HELD_OUT - 1 :: HELD_OUT])
    rest = tuple(p for i, p in enumerate(pieces) if i % HELD_OUT != HELD_OUT - 1)
    return Texts(file.name, rest, held)
