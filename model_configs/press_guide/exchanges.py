"""One question with its answer, and the check that tells a right answer from a wrong one."""

import json
import re
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Split = Literal["train", "held_out"]


class Check(Protocol):
    """Decides whether a generated answer is right."""

    def passes(self, answer: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Keywords:
    """Every group must have a member in the answer, as whole words, whatever the case."""

    groups: tuple[tuple[str, ...], ...]

    def passes(self, answer: str) -> bool:
        return all(any(_mentions(answer, word) for word in group) for group in self.groups)


@dataclass(frozen=True, slots=True)
class Exactly:
    """The answer is this text, up to surrounding space."""

    text: str

    def passes(self, answer: str) -> bool:
        return answer.strip() == self.text.strip()


@dataclass(frozen=True, slots=True)
class Json:
    """The answer holds this value in a ```json block."""

    text: str

    def passes(self, answer: str) -> bool:
        block = re.search(r"```json\n(.*?)```", answer, re.DOTALL)
        try:
            return block is not None and _loads(block[1]) == _loads(self.text)
        except json.JSONDecodeError:
            return False


@dataclass(frozen=True, slots=True)
class JsonListOf:
    """The answer holds a JSON array of `count` different members of `pool`."""

    count: int
    pool: tuple[str, ...]

    def passes(self, answer: str) -> bool:
        block = re.search(r"```json\n(.*?)```", answer, re.DOTALL)
        try:
            items = _loads(block[1]) if block else None
        except json.JSONDecodeError:
            return False
        return isinstance(items, list) and _all_different(items, self.count, self.pool)


@dataclass(frozen=True, slots=True)
class ListOf:
    """The answer has `count` list lines, each a different member of `pool`."""

    count: int
    pool: tuple[str, ...]

    def passes(self, answer: str) -> bool:
        lines = re.findall(r"^(?:[-*]|\d+\.) (.+)$", answer, re.MULTILINE)
        return _all_different([line.strip() for line in lines], self.count, self.pool)


@dataclass(frozen=True, slots=True)
class Story:
    """At least `sentences` sentences that mention every one of `words`."""

    words: tuple[str, ...]
    sentences: int

    def passes(self, answer: str) -> bool:
        enough = len(re.findall(r"[.!?](?:\s|\"|$)", answer)) >= self.sentences
        return enough and all(_mentions(answer, word) for word in self.words)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A user's turn, the answer to learn, its category and its check."""

    question: str
    answer: str
    category: str
    check: Check
    intent: str = ""


def _loads(text: str) -> Any:
    return json.loads(text)


def _all_different(items: list[Any], count: int, pool: tuple[str, ...]) -> bool:
    return len(items) == count == len(set(map(str, items))) and all(i in pool for i in items)


def _mentions(answer: str, word: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", answer, re.IGNORECASE) is not None
