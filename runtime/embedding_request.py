"""A request for embeddings, parsed at the edge: every field is honoured or refused by name.

Fields are OpenAI's (`embeddings.create`), plus `prompt_name` (which of the model's prompts is
written before each text, such as "query") and `truncate` (true cuts what is too long instead of
refusing it).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from .errors import ModelpressError
from .request_fields import check_text, optional
from .sampling import bad_param

MAX_INPUTS = 2048
MAX_CHARACTERS = 4_000_000
FIELDS = frozenset(
    {"dimensions", "encoding_format", "input", "model", "prompt_name", "truncate", "user"}
)

Input = str | tuple[int, ...]
"""A text, or its token ids, special ones included."""


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """What to make vectors of. `model` None is the loaded one, `dimensions` None all of them."""

    inputs: tuple[Input, ...]
    model: str | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    prompt_name: str | None = None
    truncate: bool = False


def parse_embedding_request(data: Any) -> EmbeddingRequest:
    """ModelpressError "bad_request" names the field in `details.param`."""
    if not isinstance(data, dict):
        raise ModelpressError("bad_request", "a request must be a JSON object")
    for name in data:
        if name not in FIELDS:
            short = str(name)[:80]
            raise bad_param(short, f"{short!r} is not a field of a request for embeddings")
    optional(data, "user", str, "a string")
    encoding = optional(data, "encoding_format", str, "a string") or "float"
    if encoding not in ("float", "base64"):
        raise bad_param("encoding_format", 'encoding_format must be "float" or "base64"')
    dimensions = optional(data, "dimensions", int, "a whole number")
    if dimensions is not None and dimensions < 1:
        raise bad_param("dimensions", "dimensions must be at least 1")
    inputs = _inputs(data.get("input"))
    prompt_name = optional(data, "prompt_name", str, "a string")
    if prompt_name is not None and not all(isinstance(item, str) for item in inputs):
        raise bad_param("prompt_name", "prompt_name needs texts: token ids are taken as they are")
    return EmbeddingRequest(
        inputs=inputs,
        model=optional(data, "model", str, "a string"),
        encoding_format="base64" if encoding == "base64" else "float",
        dimensions=dimensions,
        prompt_name=prompt_name,
        truncate=optional(data, "truncate", bool, "true or false") or False,
    )


def _inputs(value: Any) -> tuple[Input, ...]:
    """A text, texts, token ids, or lists of token ids; never empty, nor anything in it."""
    if isinstance(value, str):
        return (_text(value, "input"),)
    if not isinstance(value, list) or not value:
        raise bad_param(
            "input", "input must be a text, a list of texts, token ids, or a list of token ids"
        )
    if all(type(item) is int for item in value):
        return (_tokens(value, "input"),)
    if len(value) > MAX_INPUTS:
        raise bad_param("input", f"input may hold at most {MAX_INPUTS} texts")
    if all(isinstance(item, str) for item in value):
        texts = tuple(_text(item, f"input[{i}]") for i, item in enumerate(value))
        if sum(map(len, texts)) > MAX_CHARACTERS:
            raise bad_param("input", f"input may hold at most {MAX_CHARACTERS} characters")
        return texts
    return tuple(_tokens(item, f"input[{i}]") for i, item in enumerate(value))


def _text(value: str, where: str) -> str:
    if not value:
        raise bad_param(where, f"{where} must not be empty")
    if len(value) > MAX_CHARACTERS:
        raise bad_param(where, f"{where} may hold at most {MAX_CHARACTERS} characters")
    check_text(value, where)
    return value


def _tokens(value: Any, where: str) -> tuple[int, ...]:
    if not isinstance(value, list) or not value or not all(type(item) is int for item in value):
        raise bad_param(where, f"{where} must be token ids, at least one, or a text")
    if not all(0 <= item < 2**31 for item in value):
        raise bad_param(where, f"{where} holds a number that is no token id")
    return tuple(value)
