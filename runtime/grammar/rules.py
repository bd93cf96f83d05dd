"""What a grammar is made of, and its text in the EBNF that matchers read.

An expression matches texts:

* `Literal(text)`; `Chars(ranges)`: one character of the code point ranges, both ends included;
* `Sequence(items)`; `Choice(items)`; `Repeat(item, low, high)`, `high` None for no end;
* `Reference(name)`: what the rule of that name matches;
* `Until(end)`: any text up to and with the first `end`;
* `Dispatch(tags, again)`: free text in which a tag's trigger goes on as its rule says; then free
  text again, or the end where not `again`.

`Grammar` holds rules by name. `text` leaves out what can never be completed (a rule that needs
itself), refuses a grammar of which nothing is left, and one that is too large to compile soon.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .characters import BEYOND_ASCII, Ranges, without
from .errors import Unsatisfiable, refused
from .utf8 import byte_ranges

MAX_CHARACTERS = 400_000


@dataclass(frozen=True, slots=True)
class Literal:
    """Exactly `text`; the empty one matches nothing written."""

    text: str


@dataclass(frozen=True, slots=True)
class Chars:
    """One character whose code point lies in one of `ranges`."""

    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after the other."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Any one of `items`."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """`item` from `low` to `high` times."""

    item: Expression
    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class Reference:
    """The rule `name`."""

    name: str


@dataclass(frozen=True, slots=True)
class Until:
    """Any text up to the first `end`, and `end` itself."""

    end: str


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Free text; after a trigger, the rule paired with it must follow."""

    tags: tuple[tuple[str, Reference], ...]
    again: bool = True


Expression = Literal | Chars | Sequence | Choice | Repeat | Reference | Until | Dispatch
EMPTY = Literal("")
ANYTHING = r"([^\u0000-\u007f] | [\u0000-\u007f])"


def sequence(*items: Expression | str) -> Expression:
    """`items` in a row; texts are literals, neighbours of which become one."""
    flat: list[Expression] = []
    for item in items:
        part = Literal(item) if isinstance(item, str) else item
        for one in part.items if isinstance(part, Sequence) else (part,):
            if isinstance(one, Literal) and flat and isinstance(flat[-1], Literal):
                flat[-1] = Literal(flat[-1].text + one.text)
            elif one != EMPTY:
                flat.append(one)
    return flat[0] if len(flat) == 1 else Sequence(tuple(flat)) if flat else EMPTY


def choice(items: Iterable[Expression]) -> Expression:
    """Any of `items`; raises Unsatisfiable when there is none."""
    flat = tuple(dict.fromkeys(items))
    if not flat:
        raise Unsatisfiable
    return flat[0] if len(flat) == 1 else Choice(flat)


def optional(item: Expression) -> Expression:
    """`item` or nothing."""
    return Repeat(item, 0, 1)


@dataclass(slots=True)
class Grammar:
    """Rules by name; the first text asked for decides what they are worth."""

    rules: dict[str, Expression] = field(default_factory=dict)

    def reserve(self, hint: str) -> Reference:
        """A name for a rule to come."""
        stem = "".join(c if c.isascii() and c.isalnum() else "_" for c in hint)[:40] or "rule"
        stem = stem if stem[0].isalpha() else f"r{stem}"
        name, number = stem, 1
        while name in self.rules or name == "root":
            number += 1
            name = f"{stem}_{number}"
        self.rules[name] = EMPTY
        return Reference(name)

    def add(self, hint: str, rule: Expression) -> Reference:
        """A reference to `rule` under a name like `hint`."""
        reference = self.reserve(hint)
        self.rules[reference.name] = rule
        return reference

    def text(self, root: Expression, *, param: str) -> str:
        """The grammar that matches `root`.

        Raises Unsatisfiable when it matches no text, "bad_request" naming `param` when it is too
        large.
        """
        from .lowering import Lowering

        rules = completable({**self.rules, "root": root})
        if "root" not in rules:
            raise Unsatisfiable
        lowering = Lowering(param)
        quick = {name: lowering.lowered(rules[name]) for name in _reached(rules)}
        quick |= lowering.further
        text = "".join(f"{name} ::= {_written(rule)}\n" for name, rule in quick.items())
        if len(text) > MAX_CHARACTERS:
            raise refused(
                param,
                f"it makes a grammar of {len(text)} characters and {MAX_CHARACTERS} is the most; "
                "use fewer or smaller repetitions, or fewer alternatives",
            )
        return text


def completable(rules: dict[str, Expression]) -> dict[str, Expression]:
    """The rules that some finite text matches, without the choices that none does."""
    good: set[str] = set()
    while True:
        found = {name for name, rule in rules.items() if _ends(rule, good)}
        if found == good:
            break
        good = found
    return {name: _pruned(rules[name], good) for name in rules if name in good}


def _ends(item: Expression, good: set[str]) -> bool:
    match item:
        case Reference(name):
            return name in good
        case Sequence(items):
            return all(_ends(one, good) for one in items)
        case Choice(items):
            return any(_ends(one, good) for one in items)
        case Repeat(inner, low, _):
            return low == 0 or _ends(inner, good)
    return True


def _pruned(item: Expression, good: set[str]) -> Expression:
    match item:
        case Sequence(items):
            return Sequence(tuple(_pruned(one, good) for one in items))
        case Choice(items):
            return choice(_pruned(one, good) for one in items if _ends(one, good))
        case Repeat(inner, low, high):
            return Repeat(_pruned(inner, good), low, high) if _ends(inner, good) else EMPTY
        case Dispatch(tags, again):
            return Dispatch(tuple(tag for tag in tags if _ends(tag[1], good)), again)
    return item


def _reached(rules: dict[str, Expression]) -> list[str]:
    """Names of the rules that "root" needs, itself first."""
    reached, waiting = {"root": None}, ["root"]
    while waiting:
        for name in _references(rules[waiting.pop()]):
            if name not in reached:
                reached[name] = None
                waiting.append(name)
    return list(reached)


def _references(item: Expression) -> list[str]:
    match item:
        case Reference(name):
            return [name]
        case Sequence(items) | Choice(items):
            return [name for one in items for name in _references(one)]
        case Repeat(inner, _, _):
            return _references(inner)
        case Dispatch(tags, _):
            return [reference.name for _, reference in tags]
    return []


def _written(item: Expression) -> str:
    match item:
        case Literal(text):
            return _quoted(text)
        case Chars(ranges):
            return _class(ranges)
        case Sequence(items):
            return " ".join(_grouped(one) for one in items)
        case Choice(items):
            return " | ".join(_grouped(one) for one in items)
        case Repeat(inner, low, high):
            return _grouped(inner) + _times(low, high)
        case Reference(name):
            return name
        case Until(end):
            return (
                f"TagDispatch(stop_eos=false, stop_str=({_quoted(end)}), loop_after_dispatch=false)"
            )
        case Dispatch(tags, again):
            pairs = "".join(f"({_quoted(trigger)}, {rule.name}), " for trigger, rule in tags)
            return f"TagDispatch({pairs}stop_eos=true, loop_after_dispatch={str(again).lower()})"


def _grouped(item: Expression) -> str:
    simple = isinstance(item, Literal | Chars | Reference)
    return _written(item) if simple else f"({_written(item)})"


def _times(low: int, high: int | None) -> str:
    short = {(0, None): "*", (1, None): "+", (0, 1): "?", (1, 1): "{1,1}"}
    if (low, high) in short:
        return short[low, high]
    return f"{{{low},{'' if high is None else high}}}"


def _quoted(text: str) -> str:
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    plain = character.isascii() and (character.isalnum() or character in " {}[]():,._-<>/|=#;")
    return character if plain else _code(ord(character))


def _class(ranges: Ranges) -> str:
    """One character of `ranges`.

    The matcher takes a range beyond ASCII for one of single bytes (a code point's low eight bits),
    so those are written as the bytes of UTF-8; and exclusion for that of ASCII characters, with
    which it is quickest.
    """
    plain = tuple((low, min(high, 0x7F)) for low, high in ranges if low <= 0x7F)
    rest = tuple((max(low, 0x80), high) for low, high in ranges if high >= 0x80)
    if rest == BEYOND_ASCII:
        barred = without(((0, 0x7F),), plain)
        return f"[^{_ranges(barred)}]" if barred else ANYTHING
    options = [f"[{_ranges(plain)}]"] if plain else []
    options += [" ".join(_byte(*pair) for pair in one) for one in byte_ranges(rest)]
    return options[0] if len(options) == 1 and plain else f"({' | '.join(options)})"


def _ranges(ranges: Iterable[tuple[int, int]]) -> str:
    return "".join(
        _in_class(low) + (f"-{_in_class(high)}" if low < high else "") for low, high in ranges
    )


def _byte(low: int, high: int) -> str:
    # A range of one is taken for a character, so that it has to look like more.
    return f"[{_code(low + 0x100)}-{_code(high + (0x200 if low == high else 0x100))}]"


def _in_class(code: int) -> str:
    return chr(code) if chr(code).isalnum() else _code(code)


def _code(code: int) -> str:
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
