"""`completions.create`: OpenAI's `text_completion` objects, whole and streamed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from .abort import AbortSignal
from .answer import Measure, model_tokenizer
from .choices import Event, answers
from .completion_answer import CompletionAsk, completion_prompt
from .completion_request import CompletionRequest
from .engine import Engine
from .loading import LoadedModel
from .logprobs import LEAST, TokenLogprobs
from .reader import FinishReason, ReadToken
from .responses import head, usage
from .sampling import bad_param
from .scoring import score
from .session import context_exceeded
from .token_text import TokenText

Scored = tuple[int, TokenLogprobs | None]
"""A token and its probability; None for one that nothing stands before."""


@dataclass(frozen=True, slots=True)
class _Told:
    """What is repeated of a prompt."""

    text: str
    tokens: tuple[Scored, ...] = ()


@dataclass(slots=True)
class _Choice:
    """A completion as it grows."""

    measure: Measure
    text: list[str] = field(default_factory=list)
    tokens: list[ReadToken] = field(default_factory=list)
    reason: FinishReason = "length"

    @property
    def likelihood(self) -> float:
        """The mean logarithm of its tokens' probabilities."""
        if not self.tokens:
            return LEAST
        return sum(item.logprobs.chosen for item in self.tokens) / len(self.tokens)


async def complete_text(
    engine: Engine, request: CompletionRequest, signal: AbortSignal | None = None
) -> dict[str, Any]:
    """The whole answer as a `text_completion` object."""
    signal = signal or AbortSignal()
    model, told = await _repeated(engine, request, signal)
    model, groups = await _drawn(engine, request, model, signal)
    choices = [
        _choice(request, model, index * request.n + place, echo, choice)
        for index, (echo, group) in enumerate(zip(told, groups, strict=True))
        for place, choice in enumerate(_best(group, request.n))
    ]
    return {
        **head(model, "text_completion", "cmpl"),
        "choices": choices,
        "usage": usage([[choice.measure for choice in group] for group in groups]),
    }


async def stream_text(
    engine: Engine, request: CompletionRequest, signal: AbortSignal | None = None
) -> AsyncGenerator[dict[str, Any]]:
    """The answer as chunks; what is repeated of a prompt comes first."""
    signal = signal or AbortSignal()
    model, told = await _repeated(engine, request, signal)
    chunks = None if model is None else _Chunks(request, model)
    if chunks is not None:
        for index in range(len(request.prompts) * request.n):
            yield chunks.repeated(index, told[index // request.n].text)
    async with aclosing(answers(engine, _asks(request), signal)) as events:
        async for event in events:
            chunks = chunks or _Chunks(request, event.answer.model)
            yield chunks.of(event)
    if chunks is not None and request.include_usage:
        yield {**chunks.head, "choices": [], "usage": chunks.usage()}


class _Chunks:
    """The chunks of one request."""

    def __init__(self, request: CompletionRequest, model: LoadedModel) -> None:
        self.head = head(model, "text_completion", "cmpl")
        if request.include_usage:
            self.head["usage"] = None
        self._request = request
        self._texts = _texts(model)
        self._lengths: dict[int, int] = {}
        self._measures: dict[int, Measure] = {}

    def repeated(self, index: int, text: str) -> dict[str, Any]:
        """The prompt of a choice."""
        self._lengths[index] = len(text)
        return {**self.head, "choices": [_chunk(index, text, None, None)]}

    def of(self, event: Event) -> dict[str, Any]:
        """A piece of a choice."""
        piece, index = event.piece, event.index
        self._measures[index] = event.answer.measure
        logprobs = None
        if self._request.logprobs is not None:
            offset = self._lengths.get(index, 0)
            scored = [(item.token, item.logprobs) for item in piece.tokens]
            logprobs = text_logprobs(scored, self._texts, offset)
            self._lengths[index] = offset + sum(map(len, logprobs["tokens"]))
        return {**self.head, "choices": [_chunk(index, piece.text, logprobs, piece.finish_reason)]}

    def usage(self) -> dict[str, Any]:
        """Of all prompts."""
        ordered = [self._measures[index] for index in sorted(self._measures)]
        n = self._request.n
        return usage([ordered[start : start + n] for start in range(0, len(ordered), n)])


def text_logprobs(scored: Sequence[Scored], texts: TokenText, offset: int) -> dict[str, Any]:
    """`logprobs` of a completion whose tokens begin at `offset` characters."""
    tokens = [texts.text_of(token) for token, _ in scored]
    offsets = []
    for text in tokens:
        offsets.append(offset)
        offset += len(text)
    return {
        "tokens": tokens,
        "token_logprobs": [found and found.chosen for _, found in scored],
        "top_logprobs": [
            found and {texts.text_of(token): value for token, value in found.top}
            for _, found in scored
        ],
        "text_offset": offsets,
    }


def _asks(request: CompletionRequest) -> list[CompletionAsk]:
    ranked = request.best_of > request.n
    return [
        CompletionAsk(request, prompt, choice, ranked)
        for prompt in request.prompts
        for choice in range(request.best_of)
    ]


async def _repeated(
    engine: Engine, request: CompletionRequest, signal: AbortSignal
) -> tuple[LoadedModel | None, list[_Told]]:
    """What is to be repeated of each prompt, and the model that was asked for it, if any."""
    told = [_Told("") for _ in request.prompts]
    if not request.echo:
        return None, told
    model_id = request.model or _loaded(engine)
    async with engine.session(model_id, signal, engine.on_progress) as model:
        for index, prompt in enumerate(request.prompts):
            tokens, _ = completion_prompt(model.documents, prompt, None)
            tokenizer = model_tokenizer(model.documents)
            text = prompt if isinstance(prompt, str) else tokenizer.decode(prompt)
            scored: tuple[Scored, ...] = ()
            if request.logprobs is not None:
                found = await score(model.session, tokens, top=request.logprobs, signal=signal)
                scored = tuple(zip(tokens, found, strict=True))
            told[index] = _Told(text, scored)
        return model, told


def _loaded(engine: Engine) -> str:
    if engine.loaded is None:
        raise bad_param("model", "no model is loaded; name one")
    return engine.loaded.documents.entry.id


async def _drawn(
    engine: Engine, request: CompletionRequest, model: LoadedModel | None, signal: AbortSignal
) -> tuple[LoadedModel, list[list[_Choice]]]:
    """The model that answered, and all answers by prompt."""
    if model is not None and request.max_tokens == 0:
        undrawn = [[_undrawn(model, prompt)] * request.n for prompt in request.prompts]
        return model, undrawn
    choices: dict[int, _Choice] = {}
    async with aclosing(answers(engine, _asks(request), signal)) as events:
        async for event in events:
            model = event.answer.model
            choice = choices.setdefault(event.index, _Choice(event.answer.measure))
            choice.text.append(event.piece.text)
            choice.tokens += event.piece.tokens
            choice.reason = event.piece.finish_reason or choice.reason
    assert model is not None, "an answer ends with a piece"
    each = request.best_of
    ordered = [choices[index] for index in range(len(choices))]
    return model, [ordered[start : start + each] for start in range(0, len(ordered), each)]


def _undrawn(model: LoadedModel, prompt: Any) -> _Choice:
    tokens, _ = completion_prompt(model.documents, prompt, None)
    if len(tokens) > model.session.context:
        raise context_exceeded(len(tokens), model.session.context)
    return _Choice(Measure(len(tokens), 0))


def _best(group: Sequence[_Choice], n: int) -> list[_Choice]:
    """The likeliest `n`, the likeliest first; as they are where that is all of them."""
    if len(group) == n:
        return list(group)
    return sorted(group, key=lambda choice: -choice.likelihood)[:n]


def _choice(
    request: CompletionRequest, model: LoadedModel, index: int, told: _Told, choice: _Choice
) -> dict[str, Any]:
    text, logprobs = told.text + "".join(choice.text), None
    if request.logprobs is not None:
        scored = [*told.tokens, *((item.token, item.logprobs) for item in choice.tokens)]
        logprobs = text_logprobs(scored, _texts(model), 0)
    return _chunk(index, text, logprobs, choice.reason)


def _chunk(
    index: int, text: str, logprobs: dict[str, Any] | None, reason: FinishReason | None
) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": logprobs, "finish_reason": reason}


def _texts(model: LoadedModel) -> TokenText:
    return TokenText(model_tokenizer(model.documents))
