"""JSON as requests and responses carry it: strict in, compact out."""

from __future__ import annotations

import json
from typing import Any

from .errors import ModelpressError

MAX_CHARACTERS = 32_000_000
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def read_json(text: str) -> Any:
    """The value of a request's text; "bad_request" when it is no JSON or too long."""
    if len(text) > MAX_CHARACTERS:
        raise ModelpressError("bad_request", "the request is larger than 32 million characters")
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ModelpressError("bad_request", f"the request is not JSON: {error}") from error


def write_json(value: Any) -> str:
    """The text of a response."""
    return _ENCODER.encode(value)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
