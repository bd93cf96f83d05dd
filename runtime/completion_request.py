"""A request to continue a text, parsed at the edge: every field is honoured or refused by name.

Fields and ranges are OpenAI's (`completions.create`), plus `top_k`, `min_p` and
`repetition_penalty`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .request_fields import (
    MAX_CHOICES,
    SAMPLING_FIELDS,
    check_known,
    check_object,
    check_text,
    flag,
    include_usage,
    integer,
    logit_bias,
    optional,
    sampling_fields,
    stops,
)
from .sampling import MAX_SEED, SamplingParams, bad_param

MAX_PROMPTS = 128
MAX_CHARACTERS = 4_000_000
MAX_TOKENS_DEFAULT = 16
"""OpenAI's, so that a forgotten field does not fill the context."""
MAX_LOGPROBS = 5
FIELDS = frozenset(
    {
        *SAMPLING_FIELDS,
        "best_of",
        "echo",
        "logit_bias",
        "logprobs",
        "max_tokens",
        "model",
        "n",
        "prompt",
        "stop",
        "stream",
        "stream_options",
        "suffix",
    }
)

Prompt = str | tuple[int, ...]
"""A text, or its token ids, special ones included."""


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """A well-formed request. `sampling` holds only what the request itself sets."""

    prompts: tuple[Prompt, ...]
    model: str | None
    stream: bool
    include_usage: bool
    sampling: Mapping[str, Any]
    stop: tuple[str, ...]
    max_tokens: int
    """0 draws nothing: with `echo` and `logprobs` it tells how likely the prompt is."""
    n: int = 1
    best_of: int = 1
    """Answers to each prompt, of which the `n` likeliest are given."""
    echo: bool = False
    suffix: str | None = None
    """What follows the text that is to be filled in."""
    logprobs: int | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)

    def params(self, defaults: SamplingParams, choice: int) -> SamplingParams:
        """The model's defaults under the request's own values; each choice has its own seed."""
        params = replace(defaults, **self.sampling)
        if params.seed is None or choice == 0:
            return params
        return replace(params, seed=(params.seed + choice) & MAX_SEED)


def parse_completion_request(data: Any) -> CompletionRequest:
    """Check a decoded JSON request; raises ModelpressError "bad_request", naming the field."""
    check_object(data)
    check_known(data, FIELDS, {}, "a request for a completion")
    stream, n = flag(data, "stream"), integer(data, "n", 1, MAX_CHOICES) or 1
    max_tokens = integer(data, "max_tokens", 0, 2**31 - 1)
    request = CompletionRequest(
        prompts=_prompts(data.get("prompt")),
        model=optional(data, "model", str, "a string"),
        stream=stream,
        include_usage=include_usage(data, stream),
        sampling=sampling_fields(data),
        stop=stops(data.get("stop")),
        max_tokens=MAX_TOKENS_DEFAULT if max_tokens is None else max_tokens,
        n=n,
        best_of=integer(data, "best_of", 1, MAX_CHOICES) or n,
        echo=flag(data, "echo"),
        suffix=_suffix(data),
        logprobs=integer(data, "logprobs", 0, MAX_LOGPROBS),
        logit_bias=logit_bias(data),
    )
    _check_together(request)
    return request


def _check_together(request: CompletionRequest) -> None:
    """Fields that exclude each other."""
    if request.best_of < request.n:
        raise bad_param("best_of", "best_of must be at least n")
    if request.stream and request.best_of > request.n:
        raise bad_param("best_of", "best_of cannot be streamed: the best is known at the end")
    if len(request.prompts) * request.best_of > MAX_CHOICES:
        raise bad_param("n", f"a request may ask for at most {MAX_CHOICES} completions in all")
    if request.suffix is not None and request.echo:
        raise bad_param("echo", "echo and suffix exclude each other")
    if request.suffix is not None and not all(isinstance(p, str) for p in request.prompts):
        raise bad_param("suffix", "suffix needs prompts that are texts")
    if request.max_tokens == 0 and not request.echo:
        raise bad_param("max_tokens", "max_tokens 0 needs echo: true, or nothing is left to say")
    if request.echo and request.stream and request.logprobs is not None:
        raise bad_param("echo", "echo with logprobs cannot be streamed; leave out stream")


def _suffix(data: Mapping[str, Any]) -> str | None:
    suffix = optional(data, "suffix", str, "a string")
    if suffix is None:
        return None
    return _text(suffix, "suffix")


def _prompts(value: Any) -> tuple[Prompt, ...]:
    """A text, texts, token ids, or lists of token ids; no prompt at all is an empty text."""
    if value is None:
        return ("",)
    if isinstance(value, str):
        return (_text(value, "prompt"),)
    if not isinstance(value, list) or not value:
        raise bad_param(
            "prompt", "prompt must be a text, a list of texts, token ids, or a list of token ids"
        )
    if all(type(item) is int for item in value):
        return (_tokens(value, "prompt"),)
    if len(value) > MAX_PROMPTS:
        raise bad_param("prompt", f"prompt may hold at most {MAX_PROMPTS} texts")
    places = ((item, f"prompt[{i}]") for i, item in enumerate(value))
    return tuple(_text(p, at) if isinstance(p, str) else _tokens(p, at) for p, at in places)


def _text(value: str, where: str) -> str:
    if len(value) > MAX_CHARACTERS:
        raise bad_param(where, f"{where} may hold at most {MAX_CHARACTERS} characters")
    check_text(value, where)
    return value


def _tokens(value: Any, where: str) -> tuple[int, ...]:
    if not isinstance(value, list) or not value or not all(type(item) is int for item in value):
        raise bad_param(where, f"{where} must be a text or token ids, at least one")
    if not all(0 <= item < 2**31 for item in value):
        raise bad_param(where, f"{where} holds a number that is no token id")
    return tuple(value)
