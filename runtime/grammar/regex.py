"""Regular expressions as ECMAScript writes them (ECMA-262, with the flag u), as expressions.

Characters, classes, groups, alternatives and counted repetitions; lazy marks are read and change
nothing. `^` and `$` stand at the ends of the whole or of its top alternatives. What looks around
or back (`(?=`, `\\b`, `\\1`), and named properties, are refused with their place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import characters
from .characters import Ranges
from .errors import refused
from .rules import EMPTY, Chars, Expression, Repeat, choice, sequence

MAX_PATTERN = 4_000
MAX_REPEAT = 10_000
MAX_DEPTH = 64
CLASSES = {
    "d": characters.DIGITS,
    "w": characters.WORD,
    "s": characters.SPACES,
}
CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "0": "\0"}
SYNTAX = frozenset("^$\\.*+?()[]{}|/-")

Atom = Callable[[Ranges], Expression]
"""How one character of a set is written: as it is, or as in a JSON string."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern's top alternatives; each says at which of its ends it is anchored."""

    options: tuple[tuple[bool, Expression, bool], ...]

    def whole(self) -> Expression:
        """Texts that match from end to end, whether anchors say so or not."""
        return choice(item for _, item, _ in self.options)

    def found_in(self, any_character: Expression) -> Expression:
        """Texts that hold a match: what `pattern` of a JSON schema asks for."""
        rest = Repeat(any_character, 0, None)
        return choice(
            sequence(EMPTY if start else rest, item, EMPTY if end else rest)
            for start, item, end in self.options
        )


def raw(ranges: Ranges) -> Expression:
    """A character as it is."""
    return Chars(ranges)


def parse_pattern(text: str, param: str, atom: Atom = raw) -> Pattern:
    """Read a regular expression; "bad_request" naming `param` where it is none or not supported.

    Raises Unsatisfiable when `atom` can write no character of a class.
    """
    if len(text) > MAX_PATTERN:
        raise refused(param, f"the pattern is longer than {MAX_PATTERN} characters")
    return _Reader(text, param, atom).pattern()


class _Reader:
    """One pass over the text."""

    def __init__(self, text: str, param: str, atom: Atom) -> None:
        self._text, self._param, self._atom = text, param, atom
        self._at = 0

    def pattern(self) -> Pattern:
        options = [self._option()]
        while self._take("|"):
            options.append(self._option())
        if self._at < len(self._text):
            raise self._refused("a bracket closes that was not opened")
        return Pattern(tuple(options))

    def _option(self) -> tuple[bool, Expression, bool]:
        start = self._take("^")
        item = self._sequence(1)
        return start, item, self._take("$")

    def _sequence(self, depth: int) -> Expression:
        if depth > MAX_DEPTH:
            raise self._refused(f"groups are nested deeper than {MAX_DEPTH}")
        items = []
        while (next_ := self._peek()) not in ("", "|", ")"):
            if next_ == "$" and depth == 1 and self._text[self._at + 1 : self._at + 2] in ("", "|"):
                break
            items.append(self._repeated(self._term(depth)))
        return sequence(*items)

    def _term(self, depth: int) -> Expression:
        character = self._next()
        match character:
            case "(":
                return self._group(depth)
            case "[":
                return self._atom(self._class())
            case ".":
                return self._atom(characters.complement(characters.LINE_ENDS))
            case "\\":
                return self._atom(self._escape())
            case "^" | "$":
                raise self._refused(f"{character} is supported at the ends of a pattern only")
            case "*" | "+" | "?" | "{":
                raise self._refused(f"{character} has nothing to repeat")
            case "]" | "}":
                raise self._refused(f"write \\{character} for the character {character}")
        return self._atom(characters.of(character))

    def _group(self, depth: int) -> Expression:
        if self._take("?"):
            if self._text.startswith("<", self._at) and self._text[self._at + 1] not in "=!":
                end = self._text.find(">", self._at)
                self._at = end + 1 if end >= 0 else len(self._text)
            elif not self._take(":"):
                raise self._refused("groups that look ahead or behind are not supported")
        options = [self._sequence(depth + 1)]
        while self._take("|"):
            options.append(self._sequence(depth + 1))
        if not self._take(")"):
            raise self._refused("a group is not closed")
        return choice(options)

    def _repeated(self, item: Expression) -> Expression:
        bounds = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        mark = self._peek()
        if mark in bounds and mark:
            self._at += 1
            low, high = bounds[mark]
        elif mark == "{":
            low, high = self._braces()
        else:
            return item
        self._take("?")
        if self._peek() in ("*", "+", "?", "{") and self._peek():
            raise self._refused("a repetition is repeated; put it in a group")
        return Repeat(item, low, high)

    def _braces(self) -> tuple[int, int | None]:
        end = self._text.find("}", self._at)
        first, comma, last = self._text[self._at + 1 : end if end > 0 else None].partition(",")
        plain = (first + last).isascii() and first.isdigit() and (last.isdigit() or not last)
        if end < 0 or not plain or len(first + last) > 12:
            raise self._refused("braces must hold {n}, {n,} or {n,m}")
        low = int(first)
        high = (int(last) if last else None) if comma else low
        if (high is not None and high < low) or max(low, high or 0) > MAX_REPEAT:
            raise self._refused(f"a repetition must count upwards, to {MAX_REPEAT} at most")
        self._at = end + 1
        return low, high

    def _class(self) -> Ranges:
        negative, found = self._take("^"), []
        while (character := self._next("a class is not closed")) != "]":
            low = self._member(character)
            dash = self._text[self._at : self._at + 1] == "-"
            if dash and self._text[self._at + 1 : self._at + 2] not in ("", "]"):
                self._at += 1
                low = self._span(low, self._member(self._next()))
            found.append(low)
        members = characters.union(*found)
        return characters.complement(members) if negative else members

    def _span(self, first: Ranges, last: Ranges) -> Ranges:
        low, high = first[0][0], last[0][0]
        if first != ((low, low),) or last != ((high, high),) or low > high:
            raise self._refused("a range of a class must go from one character to a later one")
        return characters.without(((low, high),), (characters.SURROGATES,))

    def _member(self, character: str) -> Ranges:
        if character != "\\":
            return characters.of(character)
        if self._take("b"):
            return characters.of("\b")
        return characters.of("-") if self._take("-") else self._escape()

    def _escape(self) -> Ranges:
        character = self._next("a pattern must not end in \\")
        if character.lower() in CLASSES:
            members = CLASSES[character.lower()]
            return members if character.islower() else characters.complement(members)
        if character in CONTROLS and not (character == "0" and self._peek().isdigit()):
            return characters.of(CONTROLS[character])
        if character == "c" and (letter := self._peek()).isascii() and letter.isalpha():
            self._at += 1
            return characters.of(chr(ord(letter) % 32))
        if character in "xu":
            return self._code(character)
        if character in SYNTAX or not (character.isalnum() or character == "_"):
            return characters.of(character)
        raise self._refused(f"\\{character} is not supported")

    def _code(self, kind: str) -> Ranges:
        digits = self._digits({"x": 2, "u": 4}[kind], kind)
        code = int(digits, 16)
        if 0xD800 <= code < 0xDC00 and self._text.startswith("\\u", self._at):
            self._at += 2
            code = 0x10000 + ((code - 0xD800) << 10) + (int(self._digits(4, "u"), 16) - 0xDC00)
        if 0xD800 <= code <= 0xDFFF or code > characters.LAST:
            raise self._refused("half a surrogate pair is no character")
        return ((code, code),)

    def _digits(self, count: int, kind: str) -> str:
        if kind == "u" and self._take("{"):
            end = self._text.find("}", self._at)
            digits = self._text[self._at : max(end, self._at)]
            self._at = end + 1
        else:
            digits = self._text[self._at : self._at + count]
            self._at += count
            if len(digits) < count:
                digits = ""
        if not digits or len(digits) > 6 or any(c not in "0123456789abcdefABCDEF" for c in digits):
            raise self._refused(f"\\{kind} must be followed by hexadecimal digits")
        return digits

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self, otherwise: str = "the pattern ends too early") -> str:
        character = self._peek()
        if not character:
            raise self._refused(otherwise)
        self._at += 1
        return character

    def _take(self, character: str) -> bool:
        found = self._peek() == character
        self._at += found
        return found

    def _refused(self, message: str) -> Exception:
        return refused(self._param, f"at character {self._at} of the pattern: {message}")
