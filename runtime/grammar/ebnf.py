"""Grammars that users write, in the EBNF of GBNF and xgrammar.

    root ::= "yes" | "no" (", " reason)?     # `root` is where it starts
    reason ::= [a-z ]{1,40}

Texts in double quotes, classes `[a-z]` and `[^a-z]`, groups, `|`, `*`, `+`, `?`, `{n,m}`, names of
rules, `#` comments. Escapes: \\n \\r \\t \\\\ \\" \\xAB \\uABCD \\UABCDEF01. A rule goes on over
lines until the next one begins.
"""

from __future__ import annotations

import re

from . import characters
from .characters import Ranges
from .errors import Unsatisfiable, refused
from .rules import Chars, Expression, Grammar, Literal, Reference, Repeat, choice, sequence

MAX_CHARACTERS = 100_000
MAX_DEPTH = 64
MAX_REPEAT = 10_000
TOKEN = re.compile(
    r"\s*(?:#[^\n]*\s*)*(?:(?P<define>[A-Za-z_][\w-]*)\s*::=|(?P<name>[A-Za-z_][\w-]*)"
    r'|"(?P<text>(?:[^"\\\n]|\\.)*)"|\[(?P<not>\^?)(?P<class>(?:[^\]\\\n]|\\.)*)\]'
    r"|\{\s*(?P<low>\d{1,6})\s*(?P<comma>,?)\s*(?P<high>\d{0,6})\s*\}|(?P<mark>[()|*+?])|(?P<end>\Z))"
)
ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))|(.)", re.S)
PLAIN = {"n": "\n", "r": "\r", "t": "\t"}


def ebnf_rule(grammar: Grammar, text: str, param: str) -> Expression:
    """The rule `root` of a grammar's text; GrammarError names the line of what is wrong."""
    if len(text) > MAX_CHARACTERS:
        raise refused(param, f"longer than {MAX_CHARACTERS} characters")
    return _Parser(grammar, text, param).root()


class _Parser:
    """One grammar; its rules get names of their own beside those of others."""

    def __init__(self, grammar: Grammar, text: str, param: str) -> None:
        self._grammar, self._text, self._param = grammar, text, param
        self._at = 0
        self._names: dict[str, Reference] = {}
        self._defined: set[str] = set()
        self._token = self._read()

    def root(self) -> Expression:
        while self._token.lastgroup != "end":
            name = self._token["define"]
            if name is None:
                raise self._refused("a rule begins with its name and ::=")
            if name in self._defined:
                raise self._refused(f"the rule {name} is there twice")
            self._defined.add(name)
            self._advance()
            self._grammar.rules[self._rule(name).name] = self._choice(0)
        missing = sorted(self._names.keys() - self._defined)
        if "root" not in self._defined:
            missing = ["root"]
        if missing:
            raise self._refused(f"there is no rule {missing[0]}")
        return self._names["root"]

    def _rule(self, name: str) -> Reference:
        if name not in self._names:
            self._names[name] = self._grammar.reserve(f"user_{name}")
        return self._names[name]

    def _choice(self, depth: int) -> Expression:
        if depth > MAX_DEPTH:
            raise self._refused(f"groups are nested deeper than {MAX_DEPTH}")
        options = [self._sequence(depth)]
        while self._token["mark"] == "|":
            self._advance()
            options.append(self._sequence(depth))
        return choice(options)

    def _sequence(self, depth: int) -> Expression:
        items = []
        while self._token["define"] is None and self._token.lastgroup != "end":
            if self._token["mark"] in ("|", ")"):
                break
            items.append(self._repeated(self._item(depth)))
        return sequence(*items)

    def _item(self, depth: int) -> Expression:
        token = self._token
        self._advance()
        if token["name"] is not None:
            return self._rule(token["name"])
        if token["text"] is not None:
            return Literal("".join(chr(code) for code, _ in self._codes(token["text"])))
        if token["class"] is not None:
            return self._class(token["class"], bool(token["not"]))
        if token["mark"] != "(":
            raise self._refused("a repetition has nothing to repeat")
        inside = self._choice(depth + 1)
        if self._token["mark"] != ")":
            raise self._refused("a group is not closed")
        self._advance()
        return inside

    def _repeated(self, item: Expression) -> Expression:
        bounds = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        token = self._token
        if token["mark"] in bounds and token["mark"]:
            low, high = bounds[token["mark"]]
        elif token["low"] is not None:
            low = int(token["low"])
            high = int(token["high"]) if token["high"] else (None if token["comma"] else low)
        else:
            return item
        if max(low, high or 0) > MAX_REPEAT or (high is not None and high < low):
            raise self._refused(f"a repetition must count upwards, to {MAX_REPEAT} at most")
        self._advance()
        return Repeat(item, low, high)

    def _class(self, text: str, negative: bool) -> Expression:
        codes, ranges, index = self._codes(text), list[tuple[int, int]](), 0
        while index < len(codes):
            low = high = codes[index][0]
            if index + 2 < len(codes) and codes[index + 1] == (ord("-"), False):
                high, index = codes[index + 2][0], index + 2
            if high < low:
                raise self._refused("a range of a class must go upwards")
            ranges.append((low, high))
            index += 1
        members: Ranges = characters.without(tuple(ranges), (characters.SURROGATES,))
        members = characters.complement(members) if negative else members
        if not members:
            raise Unsatisfiable
        return Chars(members)

    def _codes(self, text: str) -> list[tuple[int, bool]]:
        """Code points, and whether each was escaped."""
        found = []
        for match in ESCAPE.finditer(text):
            number = match[1] or match[2] or match[3]
            code = int(number, 16) if number else ord(PLAIN.get(match[4], match[4] or match[5]))
            if code > characters.LAST or 0xD800 <= code <= 0xDFFF:
                raise self._refused(f"\\{match[0][1:]} is no character")
            found.append((code, match[5] is None))
        return found

    def _advance(self) -> None:
        self._token = self._read()

    def _read(self) -> re.Match[str]:
        token = TOKEN.match(self._text, self._at)
        if token is None:
            raise self._refused("this is no part of a rule")
        self._at = token.end()
        return token

    def _refused(self, message: str) -> Exception:
        line = self._text.count("\n", 0, self._at) + 1
        return refused(self._param, f"line {line}: {message}")
