"""The reader: drawn tokens in, pieces of text out, with what was asked to be told of each token.

Whole characters only, reasoning apart from content, nothing of a stop string. Probabilities come
with the content that their tokens made; those of reasoning are dropped with its marks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from .logprobs import TokenLogprobs, read_record
from .reasoning import Kind, ReasoningSplitter, ThinkMarks
from .token_text import TokenText
from .tokenizer import Detokenizer, StopStrings, Tokenizer
from .tool_calls import CallDelta, CallSplitter
from .tool_formats import ToolFormat

FinishReason = Literal["stop", "length", "tool_calls"]
CERTAIN = TokenLogprobs(0.0, ())
"""Of a token that was forced: nothing else could be drawn."""


@dataclass(frozen=True, slots=True)
class ReadToken:
    """A token of the content and its probabilities."""

    token: int
    logprobs: TokenLogprobs


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an answer's text, never a part of a character; the last has `finish_reason`.

    `tokens` are those that became text since the piece before, where probabilities are asked for.
    """

    text: str
    finish_reason: FinishReason | None = None
    kind: Kind = "content"
    tokens: tuple[ReadToken, ...] = ()
    call: CallDelta | None = None
    """Part of a call of a tool; then there is no text."""


@dataclass(frozen=True, slots=True)
class ReaderOptions:
    """How an answer is read."""

    stop_ids: frozenset[int] = frozenset()
    stops: tuple[str, ...] = ()
    marks: ThinkMarks | None = None
    is_open: bool = False
    """Whether the prompt has begun the reasoning."""
    settled: bool = False
    """Whether there is no reasoning, or the prompt has ended it."""
    top_logprobs: int | None = None
    """How many alternatives are told of each token; None tells nothing."""
    bias: Mapping[int, float] = field(default_factory=dict)
    tools: ToolFormat | None = None
    """How calls of tools are written; None where none are made."""
    spelled: Mapping[int, str] = field(default_factory=dict)
    """Special tokens that are read as text."""


class Reader:
    """Reads one answer."""

    def __init__(self, tokenizer: Tokenizer, options: ReaderOptions) -> None:
        self._options = options
        self._detokenizer = Detokenizer(tokenizer)
        self._stops = StopStrings(options.stops)
        marks = options.marks
        self._splitter = ReasoningSplitter(marks, is_open=options.is_open)
        self._calls = CallSplitter(options.tools) if options.tools else None
        self._special = {
            **(marks.special_ids(tokenizer) if marks else {}),
            **(options.spelled if options.tools else {}),
        }
        self._texts = TokenText(tokenizer) if options.top_logprobs is not None else None
        self._records: list[TokenLogprobs] = []
        self._pending: list[ReadToken] = []
        self._undecided = 0
        self.reasoning_tokens = 0
        self.stopped = False

    def arrived(self, token: int, record: bytes | None) -> None:
        """The device's record of a token that `push` will get next."""
        top, bias = self._options.top_logprobs or 0, self._options.bias.get(token, 0.0)
        self._records.append(CERTAIN if record is None else read_record(record, top=top, bias=bias))

    def push(self, token: int) -> Iterator[Piece]:
        """What `token` makes certain."""
        record = self._records.pop(0) if self._records else CERTAIN
        if token in self._options.stop_ids:
            self.stopped = True
            return
        if self._texts is not None:
            self._pending.append(ReadToken(token, record))
        before = self._splitter.state
        text = self._detokenizer.push(token) + self._special.get(token, "")
        yield from self._pieces(self._splitter.push(text))
        states = (before, self._splitter.state)
        # Tokens at the start are of reasoning if what they become is its mark.
        self._undecided += 1
        if "reasoning" in states:
            self.reasoning_tokens += self._undecided
            self._pending.clear()
        if states[1] != "start":
            self._undecided = 0

    def finish(self, reason: FinishReason) -> Iterator[Piece]:
        """What was held back; the last piece has the reason of the end."""
        parts = [*self._splitter.push(self._detokenizer.finish()), *self._splitter.finish()]
        yield from self._pieces(parts)
        if self._calls is not None:
            yield from self._parts(self._calls.finish())
            if self._calls.calls and reason == "stop":
                reason = "tool_calls"
        text = self._stops.finish()
        if self._stops.matched is not None:
            reason = "stop"
        yield Piece(text, reason, tokens=self._taken(text) if self._stops.matched is None else ())

    def _pieces(self, parts: Collection[tuple[Kind, str]]) -> Iterator[Piece]:
        for kind, text in parts:
            if kind == "reasoning":
                yield Piece(text, kind=kind)
            elif self._calls is not None:
                yield from self._parts(self._calls.push(text))
            else:
                yield from self._parts((text,))
        self.stopped = self.stopped or self._stops.matched is not None

    def _parts(self, parts: Iterable[str | CallDelta]) -> Iterator[Piece]:
        """Content, which a stop string may end, and calls, which none does."""
        for part in parts:
            if isinstance(part, CallDelta):
                self._pending.clear()
                yield Piece("", call=part)
            elif given := self._stops.push(part):
                yield Piece(given, tokens=self._taken(given))

    def _taken(self, text: str) -> tuple[ReadToken, ...]:
        """The tokens that have become text; where a stop string ends it, those that begin in it."""
        pending, self._pending = self._pending, []
        if self._stops.matched is None or self._texts is None:
            return tuple(pending)
        length, taken = 0, []
        for item in pending:
            if length < len(text):
                taken.append(item)
            length += len(self._texts.text_of(item.token))
        return tuple(taken)
