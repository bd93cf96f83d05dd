"""Whether no value can satisfy two of several schemas: what `oneOf` needs to be an `anyOf`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from .keywords import OF_TYPE
from .merging import canonical

Schema = Mapping[str, Any]


def disjoint(schemas: Sequence[Schema]) -> bool:
    """True only where it is certain: by types, by constants, or by a required property."""
    return all(_apart(a, b, 4) for a, b in combinations(schemas, 2))


def _apart(a: Any, b: Any, depth: int) -> bool:
    if a is False or b is False:
        return True
    if not isinstance(a, dict) or not isinstance(b, dict) or not depth:
        return False
    if not _types(a) & _types(b):
        return True
    ours, theirs = _constants(a), _constants(b)
    if ours is not None and theirs is not None and not ours & theirs:
        return True
    return _types(a) & _types(b) == {"object"} and _members_apart(a, b, depth)


def _members_apart(a: Schema, b: Schema, depth: int) -> bool:
    """A property that both require and of which no value satisfies both."""
    both = set(a.get("required", ())) & set(b.get("required", ()))
    return any(_apart(_member(a, name), _member(b, name), depth - 1) for name in both)


def _member(schema: Schema, name: str) -> Any:
    return schema.get("properties", {}).get(name, schema.get("additionalProperties"))


def _types(schema: Schema) -> set[str]:
    names = schema.get("type", list(OF_TYPE))
    types = {names} if isinstance(names, str) else set(names)
    if "const" in schema or "enum" in schema:
        return types
    return types | {"integer"} if "number" in types else types


def _constants(schema: Schema) -> set[str] | None:
    if "const" in schema:
        return {canonical(schema["const"])}
    return {canonical(one) for one in schema["enum"]} if "enum" in schema else None
