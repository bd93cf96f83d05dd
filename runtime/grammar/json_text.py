"""JSON as models write it: on one line, `, ` and `: ` between. Its strings, numbers, any value."""

from __future__ import annotations

import json
from typing import Any

from . import characters
from .characters import Ranges
from .errors import Unsatisfiable
from .rules import (
    Chars,
    Choice,
    Expression,
    Grammar,
    Literal,
    Reference,
    Repeat,
    choice,
    optional,
    sequence,
)

COMMA, COLON = ", ", ": "
NEEDS_ESCAPE = characters.union(((0, 0x1F),), characters.of('"\\'))
PLAIN = characters.complement(NEEDS_ESCAPE)
SHORT = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
DIGIT = Chars(characters.DIGITS)
NATURAL = choice(
    (Literal("0"), sequence(Chars(((0x31, 0x39),)), Repeat(DIGIT, 0, 15))),
)
"""At most 16 digits: enough for every whole number that JavaScript holds."""
INTEGER = sequence(optional(Literal("-")), NATURAL)
NUMBER = sequence(
    INTEGER,
    optional(sequence(".", Repeat(DIGIT, 1, 16))),
    optional(sequence(Chars(characters.of("eE")), optional(Chars(characters.of("+-"))), DIGIT)),
)
CHARACTER = Choice((Chars(PLAIN), sequence("\\", Chars(characters.of('"\\/bfnrt')))))
"""One character inside a string. Nothing is written by its number: what needs an escape has a
short one, but for a few controls that no text holds."""


def literal(value: Any) -> Literal:
    """A value with nothing left open; Unsatisfiable when JSON cannot write it."""
    text = json.dumps(value, ensure_ascii=False, separators=(COMMA, COLON), allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Unsatisfiable from error
    return Literal(text)


def in_string(ranges: Ranges) -> Expression:
    """One character of `ranges` inside a string; Unsatisfiable when none can be written."""
    options: list[Expression] = []
    plain = characters.without(ranges, NEEDS_ESCAPE)
    if plain:
        options.append(Chars(plain))
    for character, escaped in SHORT.items():
        if any(low <= ord(character) <= high for low, high in ranges):
            options.append(Literal(escaped))
    return choice(options)


def quoted(inside: Expression) -> Expression:
    """A string of `inside`."""
    return sequence('"', inside, '"')


class AnyValue:
    """The rules of any JSON value, made when first asked for."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._value: Reference | None = None

    @property
    def value(self) -> Reference:
        """Anything."""
        if self._value is None:
            self._value = self._grammar.reserve("any_value")
            self._grammar.rules[self._value.name] = Choice(
                (
                    self.object,
                    self.array,
                    self.string,
                    NUMBER,
                    *map(Literal, ("true", "false", "null")),
                )
            )
        return self._value

    @property
    def string(self) -> Expression:
        """Any string."""
        return quoted(Repeat(CHARACTER, 0, None))

    @property
    def array(self) -> Expression:
        """Any array."""
        return sequence("[", optional(listed(self.value, 0, None)), "]")

    @property
    def object(self) -> Expression:
        """Any object."""
        member = sequence(self.string, COLON, self.value)
        return sequence("{", optional(listed(member, 0, None)), "}")


def listed(item: Expression, low: int, high: int | None) -> Expression:
    """`item` from max(1, low) to `high` times with commas between."""
    rest = None if high is None else high - 1
    return sequence(item, Repeat(sequence(COMMA, item), max(0, low - 1), rest))
