"""Two schemas that must both hold, as one: exact, or refused.

Schemas here are flat: without $ref, allOf, anyOf and oneOf at their top.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .errors import Unsatisfiable, refused
from .keywords import ANNOTATIONS, LISTED, UNEVALUATED

Schema = Mapping[str, Any]
LARGER = frozenset({"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"})
MEMBERS = frozenset({"properties", "additionalProperties", "patternProperties"})
SMALLER = frozenset({"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"})


def merge(a: Schema, b: Schema, path: str) -> dict[str, Any]:
    """What satisfies both. Raises Unsatisfiable when nothing does; GrammarError when the two
    cannot be made one."""
    a, b = _asserting(a), _asserting(b)
    if a and b and (UNEVALUATED & (a.keys() | b.keys())):
        raise refused(path, "unevaluatedProperties and unevaluatedItems beside other schemas")
    merged = {**a, **b}
    for name in a.keys() & b.keys():
        if a[name] != b[name] or isinstance(a[name], bool) != isinstance(b[name], bool):
            merged[name] = _both(name, a[name], b[name], path)
    if "const" in merged and "enum" in merged:
        merged["enum"] = _common(merged["enum"], [merged.pop("const")])
    if a.keys() & MEMBERS and b.keys() & MEMBERS:
        _merge_members(merged, a, b, path)
    if a.keys() & LISTED and b.keys() & LISTED:
        _merge_elements(merged, a, b, path)
    return merged


def _asserting(schema: Schema) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name not in ANNOTATIONS}


def _both(name: str, a: Any, b: Any, path: str) -> Any:
    if name in LARGER:
        return max(a, b)
    if name in SMALLER:
        return min(a, b)
    if name == "type":
        return _types(a, b)
    if name == "enum":
        return _common(a, b)
    if name == "const":
        return _common([a], [b])[0]
    if name == "required":
        return [*a, *(one for one in b if one not in a)]
    if name in ("properties", "additionalProperties", "items", "prefixItems"):
        return a  # merged together, by what stands beside them
    raise refused(path, f"two schemas that must both hold say different things of {name}")


def _types(a: Any, b: Any) -> list[str]:
    first, second = ([one] if isinstance(one, str) else list(one) for one in (a, b))
    common = [one for one in first if one in second]
    common += [
        "integer"
        for one, other in ((first, second), (second, first))
        if "integer" in one and "number" in other and "integer" not in other
    ]
    if not common:
        raise Unsatisfiable
    return list(dict.fromkeys(common))


def _common(a: list[Any], b: list[Any]) -> list[Any]:
    keys = {canonical(value) for value in b}
    common = [value for value in a if canonical(value) in keys]
    if not common:
        raise Unsatisfiable
    return common


def canonical(value: Any) -> str:
    """The same text for the same JSON value; 1 and 1.0 are the same."""
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return value


def _merge_members(merged: dict[str, Any], a: Schema, b: Schema, path: str) -> None:
    """Properties that one side does not name fall under what it says of all others."""
    if "patternProperties" in merged:
        alike = all(a.get(n) == b.get(n) for n in ("patternProperties", "additionalProperties"))
        if not alike or a.get("properties", {}).keys() != b.get("properties", {}).keys():
            raise refused(path, "patternProperties in one of two schemas that must both hold")
    ours, theirs = a.get("properties", {}), b.get("properties", {})
    more_ours, more_theirs = a.get("additionalProperties"), b.get("additionalProperties")
    members = {
        name: _all(ours.get(name, more_ours), theirs.get(name, more_theirs))
        for name in (*ours, *(name for name in theirs if name not in ours))
    }
    if members:
        merged["properties"] = members
    if more_ours is not None or more_theirs is not None:
        merged["additionalProperties"] = _all(more_ours, more_theirs)


def _merge_elements(merged: dict[str, Any], a: Schema, b: Schema, path: str) -> None:
    if a.get("prefixItems", []) != b.get("prefixItems", []):
        longest = max(len(a.get("prefixItems", [])), len(b.get("prefixItems", [])))
        merged["prefixItems"] = [_all(_element(a, i), _element(b, i)) for i in range(longest)]
    if "items" in a or "items" in b:
        merged["items"] = _all(a.get("items"), b.get("items"))


def _element(schema: Schema, index: int) -> Any:
    first = schema.get("prefixItems", [])
    return first[index] if index < len(first) else schema.get("items")


def _all(a: Any, b: Any) -> Any:
    """A schema that both hold; None and True ask for nothing."""
    parts = [one for one in (a, b) if one is not None and one is not True]
    if any(one is False for one in parts):
        return False
    if not parts:
        return True
    return parts[0] if len(parts) == 1 or parts[0] == parts[1] else {"allOf": parts}
