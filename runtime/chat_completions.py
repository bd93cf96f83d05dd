"""`chat.completions.create`: OpenAI's responses and chunks, field for field."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from .abort import AbortSignal
from .answer import Measure, model_tokenizer
from .chat_answer import ChatAsk
from .chat_request import ChatRequest
from .choices import Event, answers
from .engine import Answer, Engine
from .reader import FinishReason, ReadToken
from .responses import add_call, call_delta, chat_logprobs, head, usage
from .token_text import TokenText


@dataclass(slots=True)
class _Choice:
    """A choice as it grows."""

    measure: Measure
    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    tokens: list[ReadToken] = field(default_factory=list)
    reason: FinishReason | None = None
    calls: list[dict[str, Any]] = field(default_factory=list)

    def add(self, event: Event) -> None:
        piece = event.piece
        if piece.call is not None:
            add_call(self.calls, piece.call)
        (self.content if piece.kind == "content" else self.reasoning).append(piece.text)
        self.tokens += piece.tokens
        self.reason = piece.finish_reason

    def message(self) -> dict[str, Any]:
        content = "".join(self.content)
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
        if self.calls:
            message |= {"content": content or None, "tool_calls": self.calls}
        if self.reasoning:
            message["reasoning_content"] = "".join(self.reasoning)
        return message


async def complete(
    engine: Engine, request: ChatRequest, signal: AbortSignal | None = None
) -> dict[str, Any]:
    """The whole answer as a `chat.completion` object."""
    choices: dict[int, _Choice] = {}
    answer: Answer | None = None
    async with aclosing(answers(engine, _asks(request), signal)) as events:
        async for event in events:
            answer = event.answer
            choices.setdefault(event.index, _Choice(answer.measure)).add(event)
    assert answer is not None, "an answer ends with a piece"
    texts = _texts(answer, request)
    ordered = [choices[index] for index in range(request.n)]
    return {
        **head(answer.model, "chat.completion", "chatcmpl"),
        "choices": [
            {
                "index": index,
                "message": choice.message(),
                "logprobs": texts and chat_logprobs(choice.tokens, texts),
                "finish_reason": choice.reason,
            }
            for index, choice in enumerate(ordered)
        ],
        "usage": usage([[choice.measure for choice in ordered]]),
    }


async def stream(
    engine: Engine, request: ChatRequest, signal: AbortSignal | None = None
) -> AsyncGenerator[dict[str, Any]]:
    """The answer as `chat.completion.chunk` objects.

    For each choice the role, then text, then `finish_reason`; with `include_usage` a last chunk
    without choices, and `usage: null` in those before. Close the generator to stop early.
    """
    chunks: _Chunks | None = None
    async with aclosing(answers(engine, _asks(request), signal)) as events:
        async for event in events:
            chunks = chunks or _Chunks(request, event.answer)
            for chunk in chunks.of(event):
                yield chunk
    if chunks is not None and request.include_usage:
        yield {**chunks.head, "choices": [], "usage": chunks.usage()}


class _Chunks:
    """The chunks of one request."""

    def __init__(self, request: ChatRequest, answer: Answer) -> None:
        self.head = head(answer.model, "chat.completion.chunk", "chatcmpl")
        if request.include_usage:
            self.head["usage"] = None
        self._texts = _texts(answer, request)
        self._measures: dict[int, Measure] = {}

    def of(self, event: Event) -> list[dict[str, Any]]:
        """What a piece adds."""
        piece, deltas = event.piece, list[dict[str, Any]]()
        if event.index not in self._measures:
            self._measures[event.index] = event.answer.measure
            deltas.append(self._chunk(event.index, {"role": "assistant", "content": ""}))
        if piece.call is not None:
            deltas.append(self._chunk(event.index, {"tool_calls": [call_delta(piece.call)]}))
        if piece.text or piece.tokens:
            name = "content" if piece.kind == "content" else "reasoning_content"
            told = chat_logprobs(piece.tokens, self._texts) if self._texts else None
            deltas.append(self._chunk(event.index, {name: piece.text}, logprobs=told))
        if piece.finish_reason is not None:
            deltas.append(self._chunk(event.index, {}, reason=piece.finish_reason))
        return deltas

    def usage(self) -> dict[str, Any]:
        """Of all choices."""
        return usage([[self._measures[index] for index in sorted(self._measures)]])

    def _chunk(
        self,
        index: int,
        delta: dict[str, Any],
        *,
        reason: FinishReason | None = None,
        logprobs: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        return {**self.head, "choices": [choice]}


def _asks(request: ChatRequest) -> list[ChatAsk]:
    return [ChatAsk(request, choice) for choice in range(request.n)]


def _texts(answer: Answer, request: ChatRequest) -> TokenText | None:
    """Spells tokens, where the request asks for their probabilities."""
    if request.logprobs is None:
        return None
    return TokenText(model_tokenizer(answer.model.documents))
