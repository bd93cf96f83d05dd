"""A chat request, parsed at the edge: every field is honoured or refused by name.

Field names and ranges are OpenAI's (`chat.completions.create`), plus `top_k`, `min_p`,
`repetition_penalty` and `chat_template_kwargs`. `user`, `metadata`, `safety_identifier`,
`prompt_cache_key`, `store` (false) and `service_tier` ("auto" or "default") say nothing about the
answer and are accepted; everything else that this engine cannot honour is an error, never ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .chat import RESERVED, Message
from .chat_messages import parse_messages
from .logprobs import TOP
from .overflow import parse_overflow
from .request_fields import (
    MAX_CHOICES,
    SAMPLING_FIELDS,
    check_known,
    check_object,
    flag,
    include_usage,
    integer,
    logit_bias,
    optional,
    sampling_fields,
    stops,
)
from .response_format import ResponseFormat, parse_response_format
from .sampling import MAX_SEED, SamplingParams, bad_param
from .tools import ToolUse, parse_tools

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
MAX_TEMPLATE_FIELDS = 32
QUIET: Mapping[str, tuple[Any, ...]] = {
    "audio": (None,),
    "function_call": (None, "none"),
    "functions": (None, []),
    "modalities": (None, ["text"]),
    "prediction": (None,),
    "prompt_cache_retention": (None, "in_memory", "in-memory"),
    "service_tier": (None, "auto", "default"),
    "store": (None, False),
    "verbosity": (None, "medium"),
    "web_search_options": (None,),
}
"""OpenAI's fields that are not honoured, each with the values that ask for nothing."""
FIELDS = frozenset(
    {
        *SAMPLING_FIELDS,
        "chat_template_kwargs",
        "context_overflow",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "n",
        "parallel_tool_calls",
        "reasoning_effort",
        "response_format",
        "stop",
        "stream",
        "stream_options",
        "tool_choice",
        "tools",
        "top_logprobs",
    }
)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A well-formed request. `sampling` holds only what the request itself sets."""

    messages: tuple[Message, ...]
    model: str | None
    stream: bool
    include_usage: bool
    sampling: Mapping[str, Any]
    stop: tuple[str, ...]
    max_tokens: int | None
    n: int = 1
    logprobs: int | None = None
    """How many alternatives are told of each token; None tells no probabilities at all."""
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    reasoning_effort: str | None = None
    context_overflow: str = "error"
    """What to do with a conversation that outgrows the context: see `overflow.py`."""
    template_fields: Mapping[str, Any] = field(default_factory=dict)
    """Variables for the chat template, such as `enable_thinking`."""
    format: ResponseFormat | None = None
    """What the answer must look like; None for free text."""
    tools: ToolUse | None = None
    """What may be called; None where nothing may."""

    def params(self, defaults: SamplingParams, choice: int = 0) -> SamplingParams:
        """The model's defaults under the request's own values; each choice has its own seed."""
        params = replace(defaults, **self.sampling)
        if params.seed is None or choice == 0:
            return params
        return replace(params, seed=(params.seed + choice) & MAX_SEED)


def parse_chat_request(data: Any) -> ChatRequest:
    """Check a decoded JSON request; raises ModelpressError "bad_request", naming the field."""
    check_object(data)
    check_known(data, FIELDS, QUIET, "a chat request")
    stream = flag(data, "stream")
    format_, tools = parse_response_format(data.get("response_format")), parse_tools(data)
    if format_ is not None and tools is not None:
        raise bad_param("response_format", "response_format and tools cannot be asked for together")
    return ChatRequest(
        messages=parse_messages(data.get("messages")),
        model=optional(data, "model", str, "a string"),
        stream=stream,
        include_usage=include_usage(data, stream),
        sampling=sampling_fields(data),
        stop=stops(data.get("stop")),
        max_tokens=_max_tokens(data),
        n=integer(data, "n", 1, MAX_CHOICES) or 1,
        logprobs=_logprobs(data),
        logit_bias=logit_bias(data),
        reasoning_effort=_effort(data),
        context_overflow=parse_overflow(data),
        template_fields=_template_fields(data),
        format=format_,
        tools=tools,
    )


def _max_tokens(data: Mapping[str, Any]) -> int | None:
    names = ("max_tokens", "max_completion_tokens")
    values = {integer(data, name, 1, 2**31 - 1) for name in names} - {None}
    if len(values) > 1:
        raise bad_param("max_tokens", "max_tokens and max_completion_tokens disagree")
    return next(iter(values), None)


def _logprobs(data: Mapping[str, Any]) -> int | None:
    top = integer(data, "top_logprobs", 0, TOP)
    if flag(data, "logprobs"):
        return top or 0
    if top is not None:
        raise bad_param("top_logprobs", "top_logprobs needs logprobs: true")
    return None


def _effort(data: Mapping[str, Any]) -> str | None:
    effort = optional(data, "reasoning_effort", str, "a string")
    if effort is not None and effort not in EFFORTS:
        raise bad_param(
            "reasoning_effort", f"reasoning_effort must be one of: {', '.join(EFFORTS)}"
        )
    return None if effort is None else str(effort)


def _template_fields(data: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values only: a template is a program, and its input stays small."""
    name = "chat_template_kwargs"
    fields = optional(data, name, dict, "an object") or {}
    if len(fields) > MAX_TEMPLATE_FIELDS:
        raise bad_param(name, f"{name} may hold at most {MAX_TEMPLATE_FIELDS} fields")
    for key, value in fields.items():
        where = f"{name}.{str(key)[:80]}"
        if not key.isidentifier() or key in RESERVED:
            raise bad_param(where, f"{where} cannot be set by a request")
        if not isinstance(value, str | int | float | None) or len(str(value)) > 1000:
            raise bad_param(where, f"{where} must be a short text, a number, true, false or null")
    return dict(fields)
