"""Phrase templates: `(a|b)` chooses, `[x]` may be left out, both nest; the rest is literal.

One template is one way to say a thing; its expansions differ in words, not in shape. Brackets
cannot be written literally, which questions do not need.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several sequences; each part of a sequence is text or another choice."""

    options: tuple[tuple["str | Choice", ...], ...]


Sequence = tuple["str | Choice", ...]
CLOSERS = {"(": ")", "[": "]"}


@cache
def parse(template: str) -> Sequence:
    """Read a template; ValueError names the template whose brackets do not match."""
    options, end = _options(template, 0, "")
    if end != len(template) or len(options) != 1:
        raise ValueError(f"unbalanced brackets or a bare '|' in template {template!r}")
    return options[0]


def _options(template: str, start: int, closer: str) -> tuple[tuple[Sequence, ...], int]:
    options: list[Sequence] = []
    parts: list[str | Choice] = []
    index = start
    while index < len(template) and template[index] != closer:
        character = template[index]
        if character in CLOSERS:
            inner, index = _options(template, index + 1, CLOSERS[character])
            parts.append(Choice(inner if character == "(" else (*inner, ())))
        elif character == "|":
            options.append(tuple(parts))
            parts = []
        elif character in ")]":
            raise ValueError(f"unexpected {character!r} in template {template!r}")
        else:
            parts.append(character)
        index += 1
    if index >= len(template) and closer:
        raise ValueError(f"missing {closer!r} in template {template!r}")
    options.append(tuple(parts))
    return tuple(options), index


def expand(template: str, rng: random.Random) -> str:
    """One expansion, drawn with `rng`."""
    return _tidy(_draw(parse(template), rng))


def _draw(sequence: Sequence, rng: random.Random) -> str:
    return "".join(
        part if isinstance(part, str) else _draw(rng.choice(part.options), rng) for part in sequence
    )


def expansions(template: str) -> Iterator[str]:
    """Every expansion, in a fixed order."""
    return (_tidy(text) for text in _enumerate(parse(template)))


def _enumerate(sequence: Sequence) -> Iterator[str]:
    if not sequence:
        yield ""
        return
    head, *tail = sequence
    for rest in _enumerate(tuple(tail)):
        if isinstance(head, str):
            yield head + rest
        else:
            for option in head.options:
                for text in _enumerate(option):
                    yield text + rest


def _tidy(text: str) -> str:
    return " ".join(text.split())


def normal_form(text: str) -> str:
    """Lower case, letters and digits only: two texts with one normal form ask the same words."""
    kept = "".join(c if c.isalnum() else " " for c in text.lower().replace("'", ""))
    return " ".join(kept.split())
