"""Thinking models: what they write before their answer, told apart by the marks of their template.

A template that knows reasoning names the marks around it; some write the opening one themselves,
as the end of the prompt. Models whose template has no such marks do not think, as far as is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .tokenizer import Tokenizer

Kind = Literal["content", "reasoning"]


@dataclass(frozen=True, slots=True)
class ThinkMarks:
    """What stands before and after the reasoning."""

    begin: str
    end: str

    def is_open(self, prompt: str) -> bool:
        """Whether the model goes on thinking where `prompt` ends."""
        return prompt.rstrip().endswith(self.begin)

    def is_settled(self, prompt: str) -> bool:
        """Whether `prompt` ends with reasoning that is over."""
        return prompt.rstrip().endswith(self.end)

    def closed(self, prompt: str) -> str:
        """`prompt` with empty reasoning at its end, so that the model answers at once."""
        if self.is_settled(prompt):
            return prompt
        opened = prompt.rstrip() if self.is_open(prompt) else prompt + self.begin
        return f"{opened}\n\n{self.end}\n\n"

    def special_ids(self, tokenizer: Tokenizer) -> dict[int, str]:
        """Marks that are special tokens: they leave no trace in decoded text."""
        found = {}
        for mark in (self.begin, self.end):
            ids = tokenizer.encode(mark)
            if len(ids) == 1 and tokenizer.decode(ids) == "":
                found[ids[0]] = mark
        return found


MARKS = (
    ThinkMarks("<think>", "</think>"),
    ThinkMarks("[THINK]", "[/THINK]"),
    ThinkMarks("<|START_THINKING|>", "<|END_THINKING|>"),
    ThinkMarks("<seed:think>", "</seed:think>"),
    ThinkMarks("<thinking>", "</thinking>"),
    ThinkMarks("<reasoning>", "</reasoning>"),
)


def think_marks(template: str) -> ThinkMarks | None:
    """The marks that a template's text names; None when it has none."""
    return next((m for m in MARKS if m.begin in template or m.end in template), None)


class ReasoningSplitter:
    """Parts streamed text into reasoning and content; white space around the marks is dropped.

    The answer may open with reasoning, once. A mark that never closes leaves all of it reasoning.
    """

    __slots__ = ("_blank", "_held", "_marks", "_trim", "state")

    def __init__(self, marks: ThinkMarks | None, *, is_open: bool) -> None:
        """`is_open` when the prompt has opened the reasoning already."""
        self._marks = marks
        self._held = ""
        self._blank = ""
        self._trim = is_open
        self.state: Literal["start", "reasoning", "content"] = "content"
        if marks is not None:
            self.state = "reasoning" if is_open else "start"

    def push(self, text: str) -> list[tuple[Kind, str]]:
        """What `text` adds, in order; nothing while a mark may be in the making."""
        self._held += text
        parts: list[tuple[Kind, str]] = []
        if self._marks is not None and self.state == "start":
            self._begin(self._marks.begin)
        if self._marks is not None and self.state == "reasoning":
            parts += self._think(self._marks.end)
        if self.state == "content":
            parts += self.finish()
        return parts

    def finish(self) -> list[tuple[Kind, str]]:
        """What was held back and turned out to be no mark."""
        held, self._held = self._held, ""
        return self._given("reasoning" if self.state == "reasoning" else "content", held)

    def _begin(self, mark: str) -> None:
        """Leave the start as soon as it is known whether the opening mark stands there."""
        seen = self._held.lstrip()
        if seen.startswith(mark):
            self.state, self._trim, self._held = "reasoning", True, seen[len(mark) :]
        elif not mark.startswith(seen):
            self.state = "content"

    def _think(self, mark: str) -> list[tuple[Kind, str]]:
        """Reasoning up to the closing mark, or up to what may become it."""
        before, found, after = self._held.partition(mark)
        if not found:
            cut = len(before) - _overlap(before, mark)
            before, after = before[:cut], before[cut:]
        self._held = after
        parts = self._given("reasoning", before)
        if found:
            self.state, self._trim, self._blank = "content", True, ""
        return parts

    def _given(self, kind: Kind, text: str) -> list[tuple[Kind, str]]:
        """Without white space behind a mark, and in reasoning without that at its end so far."""
        if self._trim:
            text = text.lstrip()
            self._trim = not text
        if kind == "reasoning":
            text = self._blank + text
            kept = text.rstrip()
            self._blank, text = text[len(kept) :], kept
        return [(kind, text)] if text else []


def _overlap(text: str, mark: str) -> int:
    """Length of the longest end of `text` that `mark` begins with."""
    longest = min(len(text), len(mark) - 1)
    return next((n for n in range(longest, 0, -1) if mark.startswith(text[-n:])), 0)
