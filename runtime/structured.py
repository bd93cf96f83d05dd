"""Structured answers of one model: grammars over its vocabulary, and constraints made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .errors import ModelpressError
from .grammar.constraint import GrammarConstraint
from .grammar.matcher import GrammarFactory, Grammars, Vocabulary
from .grammar.rules import Chars, Expression, Grammar, Repeat, Until, choice, sequence
from .reasoning import ThinkMarks, think_marks
from .response_format import grammar_text
from .tokenizer import Tokenizer
from .tool_formats import tool_format


def written_marks(template: str) -> tuple[str, ...]:
    """Marks of a template that a model writes itself: around its reasoning and its calls."""
    marks, format_ = think_marks(template), tool_format(template)
    found = () if marks is None else (marks.begin, marks.end)
    return found if format_ is None else (*found, *format_.marks)


LINES = Repeat(Chars(((0x0A, 0x0A),)), 0, 2)
"""What may stand between reasoning and the answer."""
Write = Callable[[Grammar], Expression]


class Structured:
    """What a loaded model keeps for structured answers; opened at the first one."""

    def __init__(
        self, factory: GrammarFactory | None, tokenizer: Tokenizer, vocabulary: Vocabulary
    ) -> None:
        self._factory, self._tokenizer, self._vocabulary = factory, tokenizer, vocabulary
        self._grammars: Grammars | None = None
        self._last: tuple[object, object, str] = (None, None, "")

    @property
    def spelled(self) -> Mapping[int, str]:
        """Special tokens that answers may hold as text."""
        return self._vocabulary.spelled

    def constraint(
        self, write: Write, param: str, *, asked: object, state: object
    ) -> GrammarConstraint:
        """For one answer: what `write` allows. "bad_request" names `param` for what is refused,
        "unsupported_device" where the host has no grammars.

        What is `asked` for and the `state` in which the answer begins decide what is written: the
        choices of a request share both, and one text.
        """
        if self._grammars is None:
            if self._factory is None:
                raise ModelpressError(
                    "unsupported_device",
                    f"{param} is not available here: this host has no compiler of grammars",
                    details={"param": param},
                )
            self._grammars = self._factory(self._tokenizer, self._vocabulary)
        if self._last[0] is not asked or self._last[1] != state:
            self._last = (asked, state, grammar_text(write, param))
        return GrammarConstraint(self._grammars, self._last[2], self._tokenizer)


def after_reasoning(write: Write, marks: ThinkMarks, *, is_open: bool) -> Write:
    """`write` behind reasoning: what the prompt has opened, or the model may open."""

    def written(grammar: Grammar) -> Expression:
        answer = grammar.add("answer", write(grammar))
        thought = sequence(Until(marks.end), LINES, answer)
        return thought if is_open else choice((sequence(marks.begin, thought), answer))

    return written
