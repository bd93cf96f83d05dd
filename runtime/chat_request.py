"""A chat request, parsed at the edge: every field is honoured or refused by name.

Field names and ranges are OpenAI's (`chat.completions.create`), plus `top_k`, `min_p` and
`repetition_penalty`. `user`, `metadata`, `safety_identifier`, `prompt_cache_key`, `store` (false)
and `service_tier` ("auto" or "default") say nothing about the answer and are accepted; everything
else that this engine cannot honour is an error, never ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .chat import Message
from .errors import ModelpressError
from .sampling import SamplingParams, bad_param

MAX_MESSAGES = 10_000
MAX_CHARACTERS = 4_000_000
MAX_STOPS = 4
MAX_STOP_CHARACTERS = 1_000
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
SAMPLING_FIELDS = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "seed",
)
LATER: Mapping[str, tuple[Any, ...]] = {
    "audio": (None,),
    "function_call": (None, "none"),
    "functions": (None, []),
    "logit_bias": (None, {}),
    "logprobs": (None, False),
    "modalities": (None, ["text"]),
    "n": (None, 1),
    "parallel_tool_calls": (None, True, False),
    "prediction": (None,),
    "reasoning_effort": (None,),
    "response_format": (None, {"type": "text"}),
    "service_tier": (None, "auto", "default"),
    "store": (None, False),
    "tool_choice": (None, "none", "auto"),
    "tools": (None, []),
    "top_logprobs": (None,),
    "verbosity": (None,),
    "web_search_options": (None,),
}
"""OpenAI fields not supported yet, each with the values that ask for nothing."""
IDENTIFICATION: Mapping[str, type] = {
    "metadata": dict,
    "prompt_cache_key": str,
    "safety_identifier": str,
    "user": str,
}


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

    def params(self, defaults: SamplingParams) -> SamplingParams:
        """The model's defaults under the request's own values."""
        return replace(defaults, **self.sampling)


def parse_chat_request(data: Any) -> ChatRequest:
    """Check a decoded JSON request; raises ModelpressError "bad_request", naming the field."""
    if not isinstance(data, dict):
        raise ModelpressError("bad_request", "a request must be a JSON object")
    for name, value in data.items():
        _check_known(name, value)
    stream = _optional(data, "stream", bool, "true or false") or False
    sampling = {n: data[n] for n in SAMPLING_FIELDS if data.get(n) is not None}
    SamplingParams(**sampling)  # refuses bad values here, before a model is looked at
    return ChatRequest(
        messages=_messages(data.get("messages")),
        model=_optional(data, "model", str, "a string"),
        stream=stream,
        include_usage=_include_usage(data, stream),
        sampling=sampling,
        stop=_stops(data.get("stop")),
        max_tokens=_max_tokens(data),
    )


def _check_known(name: Any, value: Any) -> None:
    if name in IDENTIFICATION:
        if value is not None and not isinstance(value, IDENTIFICATION[name]):
            raise bad_param(name, f"{name} must be a JSON {IDENTIFICATION[name].__name__}")
    elif name in LATER:
        if not any(type(value) is type(quiet) and value == quiet for quiet in LATER[name]):
            raise bad_param(name, f"{name} is not supported yet; leave it out")
    elif name not in FIELDS:
        raise bad_param(str(name)[:80], f"{str(name)[:80]!r} is not a field of a chat request")


FIELDS = frozenset(
    {
        *SAMPLING_FIELDS,
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "stop",
        "stream",
        "stream_options",
    }
)


def _optional(data: Mapping[str, Any], name: str, cls: type, words: str) -> Any:
    value = data.get(name)
    if value is not None and type(value) is not cls:
        raise bad_param(name, f"{name} must be {words}")
    return value


def _include_usage(data: Mapping[str, Any], stream: bool) -> bool:
    options = _optional(data, "stream_options", dict, "an object")
    if options is None:
        return False
    if not stream:
        raise bad_param("stream_options", "stream_options needs stream: true")
    for name, value in options.items():
        if name != "include_usage" or not isinstance(value, bool):
            raise bad_param(
                "stream_options", "stream_options knows one field, include_usage: true or false"
            )
    return bool(options.get("include_usage", False))


def _max_tokens(data: Mapping[str, Any]) -> int | None:
    values = {}
    for name in ("max_tokens", "max_completion_tokens"):
        value = _optional(data, name, int, "a whole number")
        if value is not None:
            if not 1 <= value <= 2**31 - 1:
                raise bad_param(name, f"{name} must be at least 1")
            values[name] = value
    if len(set(values.values())) > 1:
        raise bad_param("max_tokens", "max_tokens and max_completion_tokens disagree")
    return next(iter(values.values()), None)


def _stops(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or len(stops) > MAX_STOPS:
        raise bad_param("stop", f"stop must be a string or a list of at most {MAX_STOPS} strings")
    for stop in stops:
        if not isinstance(stop, str) or not 0 < len(stop) <= MAX_STOP_CHARACTERS:
            raise bad_param(
                "stop", f"each stop must be a string of 1 to {MAX_STOP_CHARACTERS} characters"
            )
        check_text(stop, "stop")
    return tuple(dict.fromkeys(stops))


def _messages(value: Any) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise bad_param("messages", "messages must be a list of at least one message")
    if len(value) > MAX_MESSAGES:
        raise bad_param("messages", f"messages may hold at most {MAX_MESSAGES}")
    messages = tuple(_message(item, f"messages[{i}]") for i, item in enumerate(value))
    if sum(len(m.content) for m in messages) > MAX_CHARACTERS:
        raise bad_param("messages", f"messages may hold at most {MAX_CHARACTERS} characters")
    return messages


def _message(value: Any, where: str) -> Message:
    if not isinstance(value, dict):
        raise bad_param(where, f"{where} must be an object with role and content")
    role = value.get("role")
    if not isinstance(role, str) or role not in ROLES:
        known = ", ".join(ROLES)
        raise bad_param(f"{where}.role", f"{where}.role must be one of: {known}")
    for name, item in value.items():
        if name not in ("role", "content") and item is not None:
            place = f"{where}.{str(name)[:80]}"
            raise bad_param(place, f"{place} is not supported yet; leave it out")
    return Message(ROLES[role], _content(value.get("content"), f"{where}.content"))


def _content(value: Any, where: str) -> str:
    parts = value if isinstance(value, list) else [{"type": "text", "text": value}]
    if not parts:
        raise bad_param(where, f"{where} must not be an empty list")
    return "".join(_text_part(part, where) for part in parts)


def _text_part(part: Any, where: str) -> str:
    if not isinstance(part, dict) or part.get("type") != "text" or set(part) != {"type", "text"}:
        raise bad_param(
            where, f"{where} must be a string or a list of text parts; other parts come later"
        )
    text = part["text"]
    if not isinstance(text, str):
        raise bad_param(where, f"{where} must be text")
    check_text(text, where)
    return text


def check_text(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise bad_param(where, f"{where} holds half a surrogate pair, which is no text") from error
