"""Calls of tools out of streamed text: what stands around them, names, arguments as they come.

The text was written under the grammar of the same format, so its parts come in that order; text
that ends early (the token budget) leaves a call with the arguments so far.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .tool_formats import ToolFormat

ALPHABET = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class CallDelta:
    """A part of the call with that number; the first part has `id` and `name`."""

    index: int
    id: str | None
    name: str | None
    arguments: str


def call_id() -> str:
    """Nine letters and digits: some templates refuse any other id."""
    return "".join(secrets.choice(ALPHABET) for _ in range(9))


class CallSplitter:
    """Parts text into content and calls; white space beside calls is dropped."""

    def __init__(self, format_: ToolFormat) -> None:
        self._format = format_
        self._state: Literal["text", "name", "arguments", "behind"] = "text"
        self._held = ""
        self._begun = False
        self._depth, self._in_string, self._escaped = 0, False, False
        self.calls = 0

    def push(self, text: str) -> Iterator[str | CallDelta]:
        """What `text` makes certain, in order."""
        self._held += text
        while True:
            state, length = self._state, len(self._held)
            if state == "text":
                yield from self._text()
            elif state == "name":
                yield from self._name()
            elif state == "arguments":
                yield from self._arguments()
            else:
                self._behind()
            if (self._state, len(self._held)) == (state, length):
                return

    def finish(self) -> Iterator[str | CallDelta]:
        """What was held back and turned out to be text."""
        held, self._held = self._held, ""
        if self._state == "text" and (held.strip() or not self.calls):
            yield held

    def _text(self) -> Iterator[str]:
        mark, held = self._format.begin, self._held
        if self._format.bare:
            at = 0 if not self._begun and held.startswith(mark) else -1
            kept = len(held) if not self._begun and mark.startswith(held) else 0
        else:
            at, kept = held.find(mark), _overlap(held, mark)
        if at >= 0:
            before, self._held = held[:at].rstrip(), held[at + len(mark) :]
            self._state = "name"
        else:
            # White space may yet stand before a call.
            before = held[: len(held) - kept].rstrip()
            self._held = held[len(before) :]
        if self.calls and not self._begun:
            before = before.lstrip()
        if before:
            self._begun = True
            yield before

    def _name(self) -> Iterator[CallDelta]:
        head = self._format.opening + self._format.head
        name, found, rest = self._held.removeprefix(head).partition(self._format.middle)
        if found:
            self._held, self._state = rest, "arguments"
            self._depth = 0
            self.calls += 1
            yield CallDelta(self.calls - 1, call_id(), name, "")

    def _arguments(self) -> Iterator[CallDelta]:
        """Up to the brace that closes the object."""
        for at, character in enumerate(self._held):
            if self._ends(character):
                part, self._held = self._held[: at + 1], self._held[at + 1 :]
                self._state = "behind"
                yield CallDelta(self.calls - 1, None, None, part)
                return
        part, self._held = self._held, ""
        if part:
            yield CallDelta(self.calls - 1, None, None, part)

    def _ends(self, character: str) -> bool:
        """Whether the object is complete with `character`."""
        if self._escaped:
            self._escaped = False
        elif self._in_string:
            self._escaped = character == "\\"
            self._in_string = character != '"'
        elif character == '"':
            self._in_string = True
        else:
            self._depth += {"{": 1, "}": -1}.get(character, 0)
            return character == "}" and not self._depth
        return False

    def _behind(self) -> None:
        """After the arguments: another call of the list, or the end of it."""
        format_ = self._format
        ending = format_.tail + format_.closing
        if format_.separator is not None:
            more = format_.tail + format_.separator
            if self._held.startswith(more):
                self._held = format_.opening + self._held[len(more) :]
                self._state = "name"
                return
        if self._held.startswith(ending):
            self._held = self._held[len(ending) :]
            self._state, self._begun = "text", False


def _overlap(text: str, mark: str) -> int:
    """Length of the longest end of `text` that `mark` begins with."""
    longest = min(len(text), len(mark) - 1)
    return next((n for n in range(longest, 0, -1) if mark.startswith(text[-n:])), 0)
