"""An answer: a chat request made into a prompt, and drawn tokens made into pieces of text.

Knows templates, tokenizers and stop strings; not devices, nor the shape of OpenAI's JSON.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal

from .chat import Message
from .chat_request import ChatRequest
from .errors import ModelpressError
from .loading import Documents, no_chat
from .manifest import Manifest
from .sampling import SamplingParams, bad_param
from .session import Generation
from .tokenizer import Detokenizer, StopStrings, Tokenizer

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an answer's text, never a part of a character; the last has `finish_reason`."""

    text: str
    finish_reason: FinishReason | None = None


@dataclass(slots=True)
class Measure:
    """Counts and times (seconds) of one answer, filled in while it runs."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int = 0
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
        return self.first - self.started

    @property
    def prefill_tok_s(self) -> float:
        """Prompt tokens computed (not cached) a second of waiting for the first token."""
        return (self.prompt_tokens - self.cached_tokens) / self.ttft_s if self.first else 0.0

    @property
    def decode_tok_s(self) -> float:
        """Tokens a second between the first and the last."""
        elapsed = self.last - self.first
        return (self.completion_tokens - 1) / elapsed if elapsed > 0 else 0.0


def plan_generation(documents: Documents, request: ChatRequest) -> Generation:
    """The prompt's tokens and everything else that decides the answer.

    Raises "bad_request" when the template refuses the messages or they make no token.
    """
    tokenizer = chat_tokenizer(documents)
    if documents.template is None:
        raise no_chat(documents, "chat_template.jinja")
    manifest = documents.manifest
    text = documents.template.render(with_system(request.messages, manifest))
    prompt = tuple(tokenizer.encode(text))
    if not prompt:
        raise bad_param("messages", "these messages make an empty prompt")
    return Generation(
        prompt=prompt,
        params=request.params(SamplingParams.from_defaults(manifest.sampling)),
        stop_ids=frozenset(manifest.stop_token_ids),
        max_tokens=request.max_tokens,
    )


def chat_tokenizer(documents: Documents) -> Tokenizer:
    """The model's tokenizer; FormatError when it has none."""
    if documents.tokenizer is None:
        raise no_chat(documents, "tokenizer.json")
    return documents.tokenizer


def with_system(messages: Sequence[Message], manifest: Manifest) -> tuple[Message, ...]:
    """The messages, after the model's own system prompt when they bring none."""
    if manifest.system_prompt is None or any(m.role == "system" for m in messages):
        return tuple(messages)
    return (Message("system", manifest.system_prompt), *messages)


async def pieces(
    tokens: AsyncGenerator[int],
    tokenizer: Tokenizer,
    request: ChatRequest,
    stop_ids: frozenset[int],
    measure: Measure,
) -> AsyncGenerator[Piece]:
    """Text as it becomes certain; the last piece, perhaps empty, says why the answer ended.

    An abort after the first token is an ordinary end ("stop"); before it, it is an error.
    """
    detokenizer, stops = Detokenizer(tokenizer), StopStrings(request.stop)
    reason: FinishReason = "length"
    try:
        async with aclosing(tokens):
            async for token in tokens:
                measure.token()
                if token in stop_ids:
                    reason = "stop"
                    break
                text = stops.push(detokenizer.push(token))
                if text:
                    yield Piece(text)
                if stops.matched is not None:
                    break
    except ModelpressError as error:
        if error.code != "aborted" or not measure.completion_tokens:
            raise
        reason = "stop"
    tail = stops.push(detokenizer.finish())
    tail += stops.finish()
    yield Piece(tail, "stop" if stops.matched is not None else reason)
