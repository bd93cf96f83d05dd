"""Rules as the matcher is quick with: repetitions as recursion, with what follows inside.

The matcher prepares the states of plain rules once, and works out those of nested repetitions
again for every token, which takes a hundred times as long. So `item*` before `rest` becomes a
rule `r ::= rest | item r`, and a counted repetition a chain of such rules.
"""

from __future__ import annotations

from .errors import refused
from .rules import (
    EMPTY,
    Chars,
    Choice,
    Expression,
    Literal,
    Reference,
    Repeat,
    Sequence,
    choice,
    sequence,
)

MAX_WIDE = 64
"""Steps of counted repetitions of nearly any character. Each costs about 0.2 s of preparing with a
vocabulary of 150,000 tokens."""
MAX_STEPS = 20_000
WIDE = 20
"""Characters from which on a step is a wide one."""


class Lowering:
    """One grammar's; makes further rules as it goes."""

    def __init__(self, param: str) -> None:
        self._param = param
        self._names: dict[Expression, Reference] = {}
        self._steps = self._wide = 0
        self.further: dict[str, Expression] = {}
        """The rules made."""

    def lowered(self, item: Expression) -> Expression:
        """The same language; "bad_request" naming `param` for repetitions that count too far."""
        match item:
            case Choice(items):
                return choice(self.lowered(one) for one in items)
            case Sequence(items):
                return self._in_a_row(items)
            case Repeat():
                return self._in_a_row((item,))
        return item

    def _in_a_row(self, items: tuple[Expression, ...]) -> Expression:
        rest: Expression = EMPTY
        for item in reversed(items):
            if isinstance(item, Repeat):
                rest = self._repeated(item, rest)
            else:
                rest = sequence(self.lowered(item), rest)
        return rest

    def _repeated(self, repeat: Repeat, rest: Expression) -> Expression:
        item, low, high = repeat.item, repeat.low, repeat.high
        if (low, high) == (0, 1):
            after = self._short(rest)
            return self._named(choice((sequence(self.lowered(item), after), after)))
        item = self.lowered(item)
        self._count(item, repeat)
        options, rest = self._options(item), self._short(rest)
        if high is None:
            turn = self._reserved()
            self.further[turn.name] = self._turn(rest, options, turn)
            step: Expression = turn
        else:
            step = rest
            for _ in range(high - low):
                step = self._named(self._turn(rest, options, step))
        for _ in range(low):
            step = sequence(self._named(choice(options)) if len(options) > 1 else options[0], step)
        return step

    def _options(self, item: Expression) -> tuple[Expression, ...]:
        """The ways of one turn, each short enough to write once for every turn."""
        if isinstance(item, Choice) and len(item.items) <= 8:
            return tuple(map(self._short, item.items))
        return (self._short(item),)

    def _turn(
        self, rest: Expression, options: tuple[Expression, ...], step: Expression
    ) -> Expression:
        # Every way by itself: the matcher prepares the states of a rule, not those of groups in it.
        return choice((rest, *(sequence(option, step) for option in options)))

    def _count(self, item: Expression, repeat: Repeat) -> None:
        steps = repeat.low if repeat.high is None else repeat.high
        self._steps += steps * _size(item)
        self._wide += steps if self._is_wide(item) else 0
        # Before anything is written out: what is repeated in a repetition multiplies.
        if self._steps > MAX_STEPS or self._wide > MAX_WIDE:
            raise refused(
                self._param,
                f"counts more repetitions than can be prepared: {self._wide} of any characters "
                f"({MAX_WIDE} at most), {self._steps} in all ({MAX_STEPS} at most); use smaller "
                "lengths and counts, or none",
            )

    def _is_wide(self, item: Expression) -> bool:
        if isinstance(item, Choice):
            return any(self._is_wide(one) for one in item.items)
        if isinstance(item, Chars):
            return sum(high - low + 1 for low, high in item.ranges) >= WIDE
        # What a rule of the grammar matches is not looked at; values of JSON are wide.
        return isinstance(item, Reference)

    def _short(self, item: Expression) -> Expression:
        """`item`, or a rule of it when it is not short to write twice."""
        parts = item.items if isinstance(item, Sequence) else (item,)
        simple = len(parts) <= 2 and all(
            isinstance(one, Reference | Chars) or (isinstance(one, Literal) and len(one.text) <= 8)
            for one in parts
        )
        return item if simple else self._named(item)

    def _named(self, item: Expression) -> Reference:
        if item not in self._names:
            reference = self._names[item] = self._reserved()
            self.further[reference.name] = item
        return self._names[item]

    def _reserved(self) -> Reference:
        reference = Reference(f"part_{len(self.further)}")
        self.further[reference.name] = EMPTY
        return reference


def _size(item: Expression) -> int:
    match item:
        case Literal(text):
            return max(1, len(text))
        case Sequence(items) | Choice(items):
            return sum(map(_size, items))
    return 1
