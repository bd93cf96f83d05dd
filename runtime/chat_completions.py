"""`chat.completions.create`: OpenAI's responses and chunks, field for field.

What OpenAI has no field for sits in `usage.extra`, where its clients do not look.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from .abort import AbortSignal
from .answer import Measure
from .chat_request import ChatRequest
from .engine import Answer, Engine
from .errors import ModelpressError

STATUS = {
    "aborted": 499,
    "bad_request": 400,
    "context_length_exceeded": 400,
    "model_not_found": 404,
    "network": 502,
    "out_of_memory": 507,
    "quota_exceeded": 507,
}
"""HTTP status by error code; every other code is 500."""


async def complete(
    engine: Engine, request: ChatRequest, signal: AbortSignal | None = None
) -> dict[str, Any]:
    """The whole answer as a `chat.completion` object."""
    text, reason = [], None
    async with engine.answer(request, signal) as answer:
        head = _head(answer, "chat.completion")
        async for piece in answer.pieces:
            text.append(piece.text)
            reason = piece.finish_reason
    message = {"role": "assistant", "content": "".join(text), "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
    return {**head, "choices": [choice], "usage": usage(answer.measure)}


async def stream(
    engine: Engine, request: ChatRequest, signal: AbortSignal | None = None
) -> AsyncGenerator[dict[str, Any]]:
    """The answer as `chat.completion.chunk` objects.

    First the role, then text, then `finish_reason`; with `include_usage` a last chunk without
    choices, and `usage: null` in those before. Close the generator to stop early.
    """
    async with engine.answer(request, signal) as answer, aclosing(answer.pieces):
        head = _head(answer, "chat.completion.chunk")
        if request.include_usage:
            head["usage"] = None
        role: dict[str, Any] = {"role": "assistant", "content": ""}
        async for piece in answer.pieces:
            if role:
                yield {**head, "choices": [_choice(role, None)]}
                role = {}
            if piece.text:
                yield {**head, "choices": [_choice({"content": piece.text}, None)]}
            if piece.finish_reason is not None:
                yield {**head, "choices": [_choice({}, piece.finish_reason)]}
        if request.include_usage:
            yield {**head, "choices": [], "usage": usage(answer.measure)}


def usage(measure: Measure) -> dict[str, Any]:
    """OpenAI's usage object, with this engine's times under `extra`."""
    return {
        "prompt_tokens": measure.prompt_tokens,
        "completion_tokens": measure.completion_tokens,
        "total_tokens": measure.prompt_tokens + measure.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": measure.cached_tokens},
        "extra": {
            "ttft_s": round(measure.ttft_s, 4),
            "prefill_tok_s": round(measure.prefill_tok_s, 2),
            "decode_tok_s": round(measure.decode_tok_s, 2),
        },
    }


def error_object(error: ModelpressError) -> dict[str, Any]:
    """OpenAI's error object; `details` is an extension."""
    status = error_status(error)
    return {
        "error": {
            "message": error.message,
            "type": "invalid_request_error" if status in (400, 404) else "server_error",
            "param": error.details.get("param"),
            "code": error.code,
            "details": error.details,
        }
    }


def error_status(error: ModelpressError) -> int:
    """The HTTP status that fits an error."""
    return STATUS.get(error.code, 500)


def _head(answer: Answer, kind: str) -> dict[str, Any]:
    documents = answer.model.documents
    return {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": kind,
        "created": int(time.time()),
        "model": documents.entry.id,
        "system_fingerprint": f"fp_{documents.scheme.manifest.sha256[:12]}",
    }


def _choice(delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
