"""An answer in the making: what is asked of a model, its measure, and its pieces of text.

Knows when an answer ends; not templates or prompts (`chat_answer.py`, `completion_answer.py`), nor
devices, nor the shape of OpenAI's JSON.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

from .errors import ModelpressError
from .loading import Documents, no_chat
from .reader import FinishReason, Piece, Reader
from .session import Generation
from .tokenizer import Tokenizer

__all__ = ["AnswerPlan", "Ask", "FinishReason", "Measure", "Piece", "model_tokenizer", "pieces"]


@dataclass(frozen=True, slots=True)
class AnswerPlan:
    """What the device is to generate, and what makes text of it. For one answer."""

    generation: Generation
    reader: Reader


class Ask(Protocol):
    """One answer that is asked for."""

    @property
    def model(self) -> str | None:
        """Who is asked; None for the loaded model."""
        ...

    @property
    def turns(self) -> int:
        """How many of the oldest turns of a conversation may be left out when it is too long."""
        ...

    def without(self, turns: int) -> Ask:
        """The same without that many."""
        ...

    def plan(self, documents: Documents) -> AnswerPlan:
        """The answer's plan for a model; "bad_request" when it cannot do what is asked."""
        ...


@dataclass(slots=True)
class Measure:
    """Counts and times (seconds) of one answer, filled in while it runs."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    started: float = field(default_factory=time.perf_counter)
    first: float = 0.0
    last: float = 0.0

    def token(self) -> None:
        """Another token arrived."""
        self.completion_tokens += 1
        self.last = time.perf_counter()
        self.first = self.first or self.last

    @property
    def ttft_s(self) -> float:
        """Time to the first token."""
        return self.first - self.started if self.first else 0.0

    @property
    def prefill_tok_s(self) -> float:
        """Prompt tokens computed (not cached) a second of waiting for the first token."""
        return (self.prompt_tokens - self.cached_tokens) / self.ttft_s if self.first else 0.0

    @property
    def decode_tok_s(self) -> float:
        """Tokens a second between the first and the last."""
        elapsed = self.last - self.first
        return (self.completion_tokens - 1) / elapsed if elapsed > 0 else 0.0


def model_tokenizer(documents: Documents) -> Tokenizer:
    """The model's tokenizer; FormatError when it has none."""
    if documents.tokenizer is None:
        raise no_chat(documents, "tokenizer.json")
    return documents.tokenizer


async def pieces(
    tokens: AsyncGenerator[int], reader: Reader, measure: Measure
) -> AsyncGenerator[Piece]:
    """Text as it becomes certain; the last piece, perhaps empty, says why the answer ended.

    An abort after the first token is an ordinary end ("stop"); before it, it is an error.
    """
    reason: FinishReason = "length"
    try:
        async with aclosing(tokens):
            async for token in tokens:
                measure.token()
                for piece in reader.push(token):
                    yield piece
                measure.reasoning_tokens = reader.reasoning_tokens
                if reader.stopped:
                    break
    except ModelpressError as error:
        if error.code != "aborted" or not measure.completion_tokens:
            raise
        reason = "stop"
    for piece in reader.finish("stop" if reader.stopped else reason):
        yield piece
