"""Structural tags: free text, schemas and patterns put together by begins and ends.

The format is xgrammar's (`{"type": ...}` objects): const_string, any_text, json_schema, regex,
grammar, sequence, or, tag, triggered_tags, tags_with_separator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from . import characters
from .ebnf import ebnf_rule
from .errors import refused
from .regex import parse_pattern
from .rules import (
    EMPTY,
    Chars,
    Dispatch,
    Expression,
    Grammar,
    Repeat,
    Until,
    choice,
    sequence,
)
from .schema import schema_value

MAX_DEPTH = 16
MAX_TAGS = 512
ANY_TEXT = Repeat(Chars(characters.ANY), 0, None)


def tagged_text(grammar: Grammar, format_: Any, param: str, depth: int = 0) -> Expression:
    """What a structural tag's format matches; GrammarError names what is wrong with it."""
    if not isinstance(format_, dict) or not isinstance(format_.get("type"), str):
        raise refused(param, "must be an object with a type")
    if depth > MAX_DEPTH:
        raise refused(param, f"formats are nested deeper than {MAX_DEPTH}")
    kind = format_["type"]
    if kind not in KINDS:
        raise refused(f"{param}.type", f"unknown; known are {', '.join(sorted(KINDS))}")
    fields, write = KINDS[kind]
    for name in format_:
        if name != "type" and name not in fields:
            raise refused(f"{param}.{str(name)[:60]}", f"no field of {kind}")
    return write(grammar, format_, param, depth)


def _const(grammar: Grammar, format_: Mapping[str, Any], param: str, depth: int) -> Expression:
    return sequence(_text(format_, "value", param))


def _any(grammar: Grammar, format_: Mapping[str, Any], param: str, depth: int) -> Expression:
    return ANY_TEXT


def _schema(grammar: Grammar, format_: Mapping[str, Any], param: str, depth: int) -> Expression:
    return schema_value(grammar, format_.get("json_schema"), f"{param}.json_schema")


def _regex(grammar: Grammar, format_: Mapping[str, Any], param: str, depth: int) -> Expression:
    return parse_pattern(_text(format_, "pattern", param), f"{param}.pattern").whole()


def _grammar(grammar: Grammar, format_: Mapping[str, Any], param: str, depth: int) -> Expression:
    return ebnf_rule(grammar, _text(format_, "grammar", param), f"{param}.grammar")


def _sequence(grammar: Grammar, format_: Mapping[str, Any], param: str, depth: int) -> Expression:
    parts = _list(format_, "elements", param)
    return sequence(
        *(
            tagged_text(grammar, one, f"{param}.elements[{i}]", depth + 1)
            for i, one in enumerate(parts)
        )
    )


def _or(grammar: Grammar, format_: Mapping[str, Any], param: str, depth: int) -> Expression:
    parts = _list(format_, "elements", param)
    return choice(
        tagged_text(grammar, one, f"{param}.elements[{i}]", depth + 1)
        for i, one in enumerate(parts)
    )


def _tag(grammar: Grammar, format_: Mapping[str, Any], param: str, depth: int) -> Expression:
    begin, end = _text(format_, "begin", param), _text(format_, "end", param)
    content = format_.get("content")
    if isinstance(content, dict) and content.get("type") == "any_text" and end:
        return sequence(begin, Until(end))
    return sequence(begin, tagged_text(grammar, content, f"{param}.content", depth + 1), end)


def _triggered(grammar: Grammar, format_: Mapping[str, Any], param: str, depth: int) -> Expression:
    if format_.get("at_least_one"):
        raise refused(f"{param}.at_least_one", "not supported; put a tag before in a sequence")
    triggers = _list(format_, "triggers", param)
    tags = _list(format_, "tags", param)
    rules = []
    for trigger in triggers:
        if not isinstance(trigger, str) or not trigger:
            raise refused(f"{param}.triggers", "must be texts")
        matching = [
            _behind(grammar, tag, trigger, f"{param}.tags[{index}]", depth)
            for index, tag in enumerate(tags)
            if isinstance(tag, dict) and str(tag.get("begin", "")).startswith(trigger)
        ]
        if not matching:
            raise refused(f"{param}.triggers", f"no tag begins with {trigger[:60]!r}")
        rules.append((trigger, grammar.add("tag", choice(matching))))
    for index, tag in enumerate(tags):
        begin = tag.get("begin") if isinstance(tag, dict) else None
        if not isinstance(begin, str) or not any(begin.startswith(one) for one in triggers):
            raise refused(f"{param}.tags[{index}].begin", "must begin with one of the triggers")
    return Dispatch(tuple(rules), not format_.get("stop_after_first", False))


def _behind(
    grammar: Grammar, tag: Mapping[str, Any], trigger: str, param: str, depth: int
) -> Expression:
    """A tag whose trigger has been written already."""
    rest = {**tag, "type": "tag", "begin": tag["begin"][len(trigger) :]}
    return tagged_text(grammar, rest, param, depth + 1)


def _separated(grammar: Grammar, format_: Mapping[str, Any], param: str, depth: int) -> Expression:
    tags = _list(format_, "tags", param)
    one = choice(
        tagged_text(grammar, {"type": "tag", **tag}, f"{param}.tags[{i}]", depth + 1)
        if isinstance(tag, dict)
        else tagged_text(grammar, tag, f"{param}.tags[{i}]", depth + 1)
        for i, tag in enumerate(tags)
    )
    one = grammar.add("tag", one)
    separator = _text(format_, "separator", param)
    more = EMPTY if format_.get("stop_after_first") else Repeat(sequence(separator, one), 0, None)
    some = sequence(one, more)
    return some if format_.get("at_least_one") else Repeat(some, 0, 1)


def _text(format_: Mapping[str, Any], name: str, param: str) -> str:
    value = format_.get(name)
    if not isinstance(value, str) or len(value) > 100_000:
        raise refused(f"{param}.{name}", "must be a text")
    return value


def _list(format_: Mapping[str, Any], name: str, param: str) -> list[Any]:
    value = format_.get(name)
    if not isinstance(value, list) or not 0 < len(value) <= MAX_TAGS:
        raise refused(f"{param}.{name}", f"must be a list of 1 to {MAX_TAGS}")
    return value


Write = Callable[[Grammar, Mapping[str, Any], str, int], Expression]
KINDS: Mapping[str, tuple[tuple[str, ...], Write]] = {
    "any_text": ((), _any),
    "const_string": (("value",), _const),
    "grammar": (("grammar",), _grammar),
    "json_schema": (("json_schema",), _schema),
    "or": (("elements",), _or),
    "regex": (("pattern",), _regex),
    "sequence": (("elements",), _sequence),
    "tag": (("begin", "content", "end"), _tag),
    "tags_with_separator": (
        ("tags", "separator", "at_least_one", "stop_after_first"),
        _separated,
    ),
    "triggered_tags": (("triggers", "tags", "at_least_one", "stop_after_first"), _triggered),
}
