"""`response_format`: what an answer must look like.

OpenAI's `text`, `json_object` and `json_schema`; and `{"type": "regex", "regex": ...}`,
`{"type": "grammar", "grammar": ...}` (EBNF) and `{"type": "structural_tag", "format": {...}}`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .grammar.ebnf import ebnf_rule
from .grammar.errors import GrammarError, Unsatisfiable, refused
from .grammar.regex import parse_pattern
from .grammar.rules import Expression, Grammar
from .grammar.schema import schema_value
from .grammar.tags import tagged_text
from .sampling import bad_param

PARAM = "response_format"
MAX_VALUES = 50_000
"""JSON values within one request's schema."""
MAX_NESTING = 200
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """A checked format; `value` is what its type asks for."""

    type: str
    value: Any

    def write(self, grammar: Grammar) -> Expression:
        """What the answer must match."""
        return WRITERS[self.type](grammar, self.value)


def parse_response_format(value: Any) -> ResponseFormat | None:
    """None for free text. "bad_request" names by path what is wrong or not supported."""
    if value is None:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise bad_param(PARAM, "response_format must be an object with a type")
    check_size(value, PARAM)
    kind = value["type"]
    if kind not in FIELDS:
        raise bad_param(f"{PARAM}.type", f"unknown type; known are {', '.join(sorted(FIELDS))}")
    for name in value:
        if name not in ("type", FIELDS[kind]):
            raise bad_param(f"{PARAM}.{str(name)[:60]}", f"no field of the format {kind}")
    if kind == "text":
        return None
    content = value.get(FIELDS[kind])
    if kind == "json_schema":
        content = _schema_of(content)
    format_ = ResponseFormat(kind, content)
    grammar_text(format_.write, PARAM)
    return format_


def grammar_text(write: Callable[[Grammar], Expression], param: str) -> str:
    """The text of a grammar; "bad_request" when nothing at all satisfies what is asked."""
    grammar = Grammar()
    try:
        return grammar.text(write(grammar), param=param)
    except Unsatisfiable as error:
        raise GrammarError(param, "nothing can satisfy it: its parts exclude each other") from error
    except RecursionError as error:
        raise GrammarError(param, "nested too deeply") from error


def check_size(value: Any, param: str) -> None:
    """Refuse what is nested too deeply or holds too much to be looked at in a moment."""
    level, seen = [value], 0
    for _ in range(MAX_NESTING):
        seen += len(level)
        if seen > MAX_VALUES:
            raise refused(param, f"more than {MAX_VALUES} JSON values")
        inside = [one for one in level if isinstance(one, dict | list)]
        level = [
            item for one in inside for item in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return
    raise refused(param, f"nested deeper than {MAX_NESTING}")


def _schema_of(value: Any) -> Any:
    where = f"{PARAM}.json_schema"
    if not isinstance(value, dict):
        raise bad_param(where, f"{where} must be an object with name and schema")
    for name in value:
        if name not in ("name", "description", "schema", "strict"):
            raise bad_param(f"{where}.{str(name)[:60]}", "no field of json_schema")
    name, strict = value.get("name"), value.get("strict")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise bad_param(f"{where}.name", "must be 1 to 64 letters, digits, _ and -")
    if not isinstance(value.get("description"), str | None):
        raise bad_param(f"{where}.description", "must be text")
    if not isinstance(strict, bool | None):
        raise bad_param(f"{where}.strict", "must be true or false; both are kept strictly")
    if "schema" not in value:
        raise bad_param(f"{where}.schema", "is missing")
    return value["schema"]


def _regex(grammar: Grammar, value: Any) -> Expression:
    param = f"{PARAM}.regex"
    if not isinstance(value, str):
        raise refused(param, "must be text")
    return parse_pattern(value, param).whole()


def _grammar(grammar: Grammar, value: Any) -> Expression:
    param = f"{PARAM}.grammar"
    if not isinstance(value, str):
        raise refused(param, "must be text")
    return ebnf_rule(grammar, value, param)


FIELDS: Mapping[str, str] = {
    "grammar": "grammar",
    "json_object": "type",
    "json_schema": "json_schema",
    "regex": "regex",
    "structural_tag": "format",
    "text": "type",
}
"""By type, the field that says more."""
WRITERS: Mapping[str, Callable[[Grammar, Any], Expression]] = {
    "grammar": _grammar,
    "json_object": lambda grammar, _: schema_value(grammar, {"type": "object"}, PARAM),
    "json_schema": lambda grammar, value: schema_value(
        grammar, value, f"{PARAM}.json_schema.schema"
    ),
    "regex": _regex,
    "structural_tag": lambda grammar, value: tagged_text(grammar, value, f"{PARAM}.format"),
}
