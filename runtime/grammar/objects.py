"""Objects: members in the order of the schema, then further ones."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from . import characters
from .errors import Unsatisfiable
from .json_text import COLON, COMMA, NEEDS_ESCAPE, PLAIN, in_string, literal, quoted
from .regex import parse_pattern
from .rules import (
    EMPTY,
    Chars,
    Expression,
    Grammar,
    Repeat,
    choice,
    optional,
    sequence,
)


@dataclass(frozen=True, slots=True)
class Member:
    """A declared member: its text from the name on, and whether it must be there."""

    text: Expression
    required: bool


def members(
    grammar: Grammar,
    declared: Sequence[Member],
    further: Expression | None,
    most: int | None,
) -> Expression:
    """An object of `declared` members in order, then up to `most` of `further`."""
    if further is None or most == 0:
        following: Expression = EMPTY
        alone: Expression = EMPTY
    else:
        following = Repeat(sequence(COMMA, further), 0, most)
        rest = None if most is None else most - 1
        alone = optional(sequence(further, Repeat(sequence(COMMA, further), 0, rest)))
    begun: Expression = following
    fresh: Expression = alone
    for member in reversed(declared):
        after = begun
        begun = sequence(COMMA, member.text, after)
        entered = sequence(member.text, after)
        if not member.required:
            begun = choice((begun, after))
            fresh = choice((entered, fresh))
        else:
            fresh = entered
        begun = grammar.add("members", begun)
        fresh = grammar.add("members", fresh)
    return sequence("{", fresh, "}")


def named(name: str, value: Expression) -> Expression:
    """The member `name`."""
    return sequence(literal(name), COLON, value)


def unnamed(value: Expression, taken: Collection[str]) -> Expression:
    """A member of a name that is none of `taken`.

    It begins with another character than those do, and is written without escapes: telling more
    names apart would take the matcher's time for every character of them.
    """
    return sequence(quoted(_begins_otherwise(taken)), COLON, value)


def patterned(pattern: str, value: Expression, path: str) -> Expression:
    """A member whose name matches `pattern`."""
    any_character = Chars(PLAIN)
    name = parse_pattern(pattern, path, in_string).found_in(any_character)
    return sequence(quoted(name), COLON, value)


def _begins_otherwise(names: Collection[str]) -> Expression:
    """The inside of plain strings that begin as none of `names` does."""
    plain = [name for name in names if not any(map(_needs_escape, name))]
    anything = Repeat(Chars(PLAIN), 0, None)
    if not plain:
        return anything
    first = characters.without(PLAIN, characters.of({name[0] for name in plain if name}))
    if not first:
        raise Unsatisfiable
    rest = sequence(Chars(first), anything)
    return rest if "" in plain else optional(rest)


def _needs_escape(character: str) -> bool:
    return any(low <= ord(character) <= high for low, high in NEEDS_ESCAPE)
