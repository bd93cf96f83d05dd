"""A schema's own words, checked before anything is made of them: each error names its path."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from .errors import refused
from .formats import FORMATS
from .keywords import KNOWN, OF_TYPE, REFUSED

Check = Callable[[Any], bool]
MAX_DIGITS = 300


def check_keywords(schema: Mapping[str, Any], path: str) -> None:
    """Every keyword is known and has a value of its kind; GrammarError names the first that is
    not."""
    for name, value in schema.items():
        where = f"{path}.{str(name)[:60]}"
        if name in REFUSED:
            raise refused(where, f"not supported: {REFUSED[name]}")
        if name not in KNOWN and not name.startswith("x-"):
            raise refused(where, "no keyword of JSON Schema that is known here; leave it out")
        if name in CHECKS:
            words, check = CHECKS[name]
            if not check(value):
                raise refused(where, f"must be {words}")
    if schema.get("uniqueItems"):
        raise refused(f"{path}.uniqueItems", "not supported: what was written is not remembered")
    _check_supported(schema, path)


def _check_supported(schema: Mapping[str, Any], path: str) -> None:
    if "format" in schema and schema["format"] not in FORMATS:
        known = ", ".join(sorted(FORMATS))
        raise refused(f"{path}.format", f"unknown format; known are {known}")
    if "pattern" in schema and "format" in schema:
        raise refused(f"{path}.pattern", "not supported beside format")
    for name in ("minLength", "maxLength"):
        if name in schema and ("pattern" in schema or "format" in schema):
            raise refused(f"{path}.{name}", "not supported beside pattern or format")
    if schema.get("multipleOf", 1) != 1:
        raise refused(f"{path}.multipleOf", "not supported but for 1")


def _schema(value: Any) -> bool:
    return isinstance(value, dict | bool)


def _schemas(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_schema, value.values()))


def _schema_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_schema, value))


def _number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    return abs(value) < 10**MAX_DIGITS and (value == 0 or abs(value) >= 1e-15)


def _count(value: Any) -> bool:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _types(value: Any) -> bool:
    names = value if isinstance(value, list) else [value]
    return bool(names) and all(isinstance(one, str) and one in OF_TYPE for one in names)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


_COUNT = ("a whole number from 0 on", _count)
_BOUND = ("a number of at most 300 digits, no nearer to 0 than 1e-15", _number)
CHECKS: Mapping[str, tuple[str, Check]] = {
    "$defs": ("an object of schemas", _schemas),
    "$ref": ("a string", lambda value: isinstance(value, str)),
    "additionalProperties": ("a schema", _schema),
    "allOf": ("a list of schemas", _schema_list),
    "anyOf": ("a list of schemas", _schema_list),
    "definitions": ("an object of schemas", _schemas),
    "enum": ("a list of at least one value", lambda value: isinstance(value, list) and value != []),
    "exclusiveMaximum": _BOUND,
    "exclusiveMinimum": _BOUND,
    "format": ("a string", lambda value: isinstance(value, str)),
    "items": ("a schema; for a list of them, prefixItems", _schema),
    "maxItems": _COUNT,
    "maxLength": _COUNT,
    "maxProperties": _COUNT,
    "maximum": _BOUND,
    "minItems": _COUNT,
    "minLength": _COUNT,
    "minProperties": _COUNT,
    "minimum": _BOUND,
    "multipleOf": ("a number above 0", lambda value: _number(value) and value > 0),
    "oneOf": ("a list of schemas", _schema_list),
    "pattern": ("a string", lambda value: isinstance(value, str)),
    "patternProperties": ("an object of schemas", _schemas),
    "prefixItems": ("a list of schemas", _schema_list),
    "properties": ("an object of schemas", _schemas),
    "required": ("a list of strings", _texts),
    "type": (f"one of {', '.join(OF_TYPE)}, or a list of them", _types),
    "unevaluatedItems": ("false or true", lambda value: isinstance(value, bool)),
    "unevaluatedProperties": ("false or true", lambda value: isinstance(value, bool)),
}
