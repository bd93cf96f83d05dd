"""What OpenAI's responses have in common: heads, usage, errors, probabilities of tokens.

What OpenAI has no field for sits in `usage.extra` and `error.details`, where its clients do not
look.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Sequence
from typing import Any

from .answer import Measure
from .errors import ModelpressError
from .loading import LoadedModel
from .reader import ReadToken
from .token_text import TokenText
from .tool_calls import CallDelta

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


def head(model: LoadedModel, kind: str, prefix: str) -> dict[str, Any]:
    """The fields that a response and its chunks begin with; a fresh id."""
    return {
        "id": f"{prefix}-{secrets.token_hex(12)}",
        "object": kind,
        "created": int(time.time()),
        "model": model.documents.entry.id,
        "system_fingerprint": fingerprint(model),
    }


def fingerprint(model: LoadedModel) -> str:
    """The same where plan and weights are: where the same seed gives the same answer."""
    documents = model.documents
    digests = documents.variant.plan.sha256 + documents.manifest.weights.sha256
    return f"fp_{hashlib.sha256(digests.encode()).hexdigest()[:12]}"


def usage(groups: Sequence[Sequence[Measure]]) -> dict[str, Any]:
    """OpenAI's usage object of the answers to each prompt, with this engine's times under `extra`.

    A prompt is counted once, as cached as its first answer found it.
    """
    firsts = [group[0] for group in groups]
    all_ = [measure for group in groups for measure in group]
    prompt = sum(first.prompt_tokens for first in firsts)
    completion = sum(measure.completion_tokens for measure in all_)
    reasoning = sum(measure.reasoning_tokens for measure in all_)
    decode = sum(measure.decode_tok_s for measure in all_) / len(all_)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": sum(first.cached_tokens for first in firsts)},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
        "extra": {
            "ttft_s": round(firsts[0].ttft_s, 4),
            "prefill_tok_s": round(firsts[0].prefill_tok_s, 2),
            "decode_tok_s": round(decode, 2),
        },
    }


def chat_logprobs(tokens: Sequence[ReadToken], texts: TokenText) -> dict[str, Any]:
    """`logprobs` of a chat choice."""
    content = [
        {
            **_token(texts, item.token, item.logprobs.chosen),
            "top_logprobs": [_token(texts, token, value) for token, value in item.logprobs.top],
        }
        for item in tokens
    ]
    return {"content": content, "refusal": None}


def _token(texts: TokenText, token: int, logprob: float) -> dict[str, Any]:
    return {
        "token": texts.text_of(token),
        "logprob": logprob,
        "bytes": list(texts.bytes_of(token)),
    }


def call_delta(part: CallDelta) -> dict[str, Any]:
    """A part of a call in a chunk; the first has all the fields."""
    if part.name is None:
        return {"index": part.index, "function": {"arguments": part.arguments}}
    function = {"name": part.name, "arguments": part.arguments}
    return {"index": part.index, "id": part.id, "type": "function", "function": function}


def add_call(calls: list[dict[str, Any]], part: CallDelta) -> None:
    """Let the calls of a whole answer grow by a part."""
    if part.name is not None:
        function = {"name": part.name, "arguments": part.arguments}
        calls.append({"id": part.id, "type": "function", "function": function})
    else:
        calls[part.index]["function"]["arguments"] += part.arguments


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
