"""Tokenizers, and text out of a stream of tokens.

A token is bytes, not characters: one character may span tokens, and how a token reads may depend
on the one before it. `Detokenizer` gives out text as soon as it can no longer change, at a cost a
token that does not grow with the answer; `StopStrings` cuts it before a stop string.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

REPLACEMENT = "\ufffd"
# A character has at most four bytes, so at most three tokens of an incomplete one are pending.
MAX_INCOMPLETE = 3
MAX_WINDOW = 16


class Tokenizer(Protocol):
    """Text to token ids and back. Knows nothing of chats, prompts or models.

    Both directions are synchronous; a host whose library is not opens it before it passes the
    factory in.
    """

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`. Special tokens written in the text become their single ids;
        nothing (no beginning-of-text token) is added."""
        ...

    def encode_whole(self, text: str) -> list[int]:
        """Token ids of `text` with the special tokens that its model was trained to see around
        it."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids` without special tokens; incomplete UTF-8 becomes U+FFFD."""
        ...

    def piece(self, token: int) -> str | None:
        """How the vocabulary spells `token`, special ones too; None for an id that it has not.
        `token_text.py` reads the spelling."""
        ...

    def special_ids(self) -> frozenset[int]:
        """Tokens that stand for no text: beginnings, ends, roles."""
        ...


class Detokenizer:
    """Text of a growing sequence, piece by piece; never a part of a character.

    Decodes a short window: a few tokens already given out, for context, and those still pending.
    While the window's text no longer begins with what was given out (byte-fallback tokenizers
    read a run of bytes with an incomplete character as broken altogether), it waits.
    """

    __slots__ = ("_boundary", "_given", "_tokenizer", "_window")

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._window: list[int] = []
        self._boundary = 0
        self._given = ""

    def push(self, token: int) -> str:
        """The text that `token` completes; empty while a character is incomplete."""
        self._window.append(token)
        text = self._tokenizer.decode(self._window)
        if len(self._window) > MAX_WINDOW:
            text = self._shorten(text)
        if not text.startswith(self._given):
            return ""
        end = max(len(self._given), len(text) - _incomplete(text))
        piece, self._given = text[len(self._given) : end], text[:end]
        if end == len(text):
            self._slide()
        return piece

    def finish(self) -> str:
        """What is still pending, an incomplete character as U+FFFD."""
        text = self._tokenizer.decode(self._window)
        if not text.startswith(self._given):
            self._given = ""
            text = self._tokenizer.decode(self._window[self._boundary :])
        piece = text[len(self._given) :]
        self._window, self._boundary, self._given = [], 0, ""
        return piece

    def _slide(self) -> None:
        """Keep the tokens of the last piece as context, and drop what was context before it."""
        window = self._window[self._boundary :][-MAX_WINDOW:]
        given = self._tokenizer.decode(window)
        if given or len(self._window) > MAX_WINDOW:
            self._window, self._given = window, given
        # Only special tokens: without text before it the next word would lose its space.
        self._boundary = len(self._window)

    def _shorten(self, text: str) -> str:
        """A long run of broken characters: only its last tokens can still become text."""
        if not text.startswith(self._given):
            self._window, self._given = self._window[self._boundary :], ""
            self._boundary = 0
            return self._tokenizer.decode(self._window)
        pending = len(text) - len(self._given)
        window = self._window[-MAX_INCOMPLETE - 1 :]
        shorter = self._tokenizer.decode(window)
        if pending <= len(shorter):
            self._window, self._boundary = window, 0
            self._given = shorter[: len(shorter) - pending]
            return shorter
        return text


def _incomplete(text: str) -> int:
    """How many trailing U+FFFD may be the start of a character."""
    count = 0
    while count < MAX_INCOMPLETE and count < len(text) and text[-1 - count] == REPLACEMENT:
        count += 1
    return count


class StopStrings:
    """Finds the first stop string in streamed text, holding back what may become one.

    Knuth-Morris-Pratt over each stop string: constant work a character, whatever their lengths.
    """

    __slots__ = ("_failures", "_held", "_states", "_stops", "matched")

    def __init__(self, stops: Sequence[str]) -> None:
        assert all(stops)
        self._stops = tuple(stops)
        self._failures = tuple(_failure_table(stop) for stop in stops)
        self._states = [0] * len(self._stops)
        self._held = ""
        self.matched: str | None = None

    def push(self, text: str) -> str:
        """Text that is safe to give out. After a match (`matched`) there is never more."""
        if self.matched is not None:
            return ""
        if not self._stops:
            return text
        buffer = self._held + text
        for i in range(len(self._held), len(buffer)):
            finished = [stop for n, stop in enumerate(self._stops) if self._advance(n, buffer[i])]
            if finished:
                self.matched = max(finished, key=len)
                self._held = ""
                return buffer[: i + 1 - len(self.matched)]
        cut = len(buffer) - max(self._states)
        self._held = buffer[cut:]
        return buffer[:cut]

    def finish(self) -> str:
        """What was held back and turned out to be no stop string."""
        held, self._held = self._held, ""
        return held

    def _advance(self, n: int, character: str) -> bool:
        stop, failure, state = self._stops[n], self._failures[n], self._states[n]
        while state and stop[state] != character:
            state = failure[state - 1]
        state += stop[state] == character
        self._states[n] = state
        return state == len(stop)


def _failure_table(word: str) -> tuple[int, ...]:
    """Length of the longest proper border of each prefix of `word`."""
    table, state = [0] * len(word), 0
    for i in range(1, len(word)):
        while state and word[state] != word[i]:
            state = table[state - 1]
        state += word[state] == word[i]
        table[i] = state
    return tuple(table)
