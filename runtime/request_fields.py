"""Fields that requests of several kinds share, checked at the edge.

Each function takes the decoded JSON object and gives back a checked value, or raises
ModelpressError "bad_request" with the field's name in `details.param`. Ranges are OpenAI's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from .errors import ModelpressError
from .logprobs import BIAS_PAIRS
from .sampling import SamplingParams, bad_param

MAX_STOPS = 4
MAX_STOP_CHARACTERS = 1_000
MAX_CHOICES = 128
MAX_BIAS = 100.0
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
IDENTIFICATION: Mapping[str, type] = {
    "metadata": dict,
    "prompt_cache_key": str,
    "safety_identifier": str,
    "user": str,
}
"""Fields that say nothing about the answer, with their types."""


def check_object(data: Any) -> None:
    """A request is a JSON object."""
    if not isinstance(data, dict):
        raise ModelpressError("bad_request", "a request must be a JSON object")


def check_known(
    data: Mapping[Any, Any],
    known: Collection[str],
    quiet: Mapping[str, tuple[Any, ...]],
    kind: str,
) -> None:
    """Every field is in `known`, says nothing, or has one of the values of `quiet` that ask for
    nothing; `kind` names the request in messages."""
    for name, value in data.items():
        short = str(name)[:80]
        if name in IDENTIFICATION:
            optional(data, name, IDENTIFICATION[name], f"a JSON {IDENTIFICATION[name].__name__}")
        elif name in quiet:
            if not any(type(value) is type(one) and value == one for one in quiet[name]):
                raise bad_param(short, f"{short} is not supported with this value; leave it out")
        elif name not in known:
            raise bad_param(short, f"{short!r} is not a field of {kind}")


def optional(data: Mapping[str, Any], name: str, cls: type, words: str) -> Any:
    """The value of `name`, of exactly the type `cls`; None when there is none."""
    value = data.get(name)
    if value is not None and type(value) is not cls:
        raise bad_param(name, f"{name} must be {words}")
    return value


def integer(data: Mapping[str, Any], name: str, low: int, high: int) -> int | None:
    """A whole number from `low` to `high`, or None."""
    value = optional(data, name, int, "a whole number")
    if value is not None and not low <= value <= high:
        raise bad_param(name, f"{name} must lie between {low} and {high}")
    return int(value) if value is not None else None


def flag(data: Mapping[str, Any], name: str) -> bool:
    """true or false; false when there is none."""
    return bool(optional(data, name, bool, "true or false"))


def sampling_fields(data: Mapping[str, Any]) -> dict[str, Any]:
    """What the request says of drawing: arguments of `SamplingParams`."""
    sampling = {n: data[n] for n in SAMPLING_FIELDS if data.get(n) is not None}
    SamplingParams(**sampling)  # refuses bad values here, before a model is looked at
    return sampling


def include_usage(data: Mapping[str, Any], stream: bool) -> bool:
    """`stream_options.include_usage`."""
    options = optional(data, "stream_options", dict, "an object")
    if options is None:
        return False
    if not stream:
        raise bad_param("stream_options", "stream_options needs stream: true")
    for name, value in options.items():
        # Obfuscation pads chunks against eavesdroppers on a network: false is what happens here.
        if name == "include_obfuscation" and value is False:
            continue
        if name != "include_usage" or not isinstance(value, bool):
            raise bad_param(
                "stream_options", "stream_options knows one field, include_usage: true or false"
            )
    return bool(options.get("include_usage", False))


def stops(value: Any) -> tuple[str, ...]:
    """`stop`: a string or up to `MAX_STOPS`."""
    if value is None:
        return ()
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or len(items) > MAX_STOPS:
        raise bad_param("stop", f"stop must be a string or a list of at most {MAX_STOPS} strings")
    for stop in items:
        if not isinstance(stop, str) or not 0 < len(stop) <= MAX_STOP_CHARACTERS:
            raise bad_param(
                "stop", f"each stop must be a string of 1 to {MAX_STOP_CHARACTERS} characters"
            )
        check_text(stop, "stop")
    return tuple(dict.fromkeys(items))


def logit_bias(data: Mapping[str, Any]) -> dict[int, float]:
    """`logit_bias`: token ids, written as strings, to numbers from -100 to 100."""
    given = optional(data, "logit_bias", dict, "an object of token ids and numbers") or {}
    if len(given) > BIAS_PAIRS:
        raise bad_param("logit_bias", f"logit_bias may name at most {BIAS_PAIRS} tokens")
    bias: dict[int, float] = {}
    for key, value in given.items():
        if not isinstance(key, str) or len(key) > 10 or not (key.isascii() and key.isdigit()):
            raise bad_param("logit_bias", f"{str(key)[:20]!r} is no token id")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not -MAX_BIAS <= value <= MAX_BIAS:
            raise bad_param(
                "logit_bias", f"each bias must lie between -{MAX_BIAS:g} and {MAX_BIAS:g}"
            )
        if int(key) in bias:
            raise bad_param("logit_bias", f"token {int(key)} is named twice")
        bias[int(key)] = float(value)
    return bias


def check_text(text: str, where: str) -> None:
    """Text that can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise bad_param(where, f"{where} holds half a surrogate pair, which is no text") from error
