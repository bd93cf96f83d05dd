"""The words of JSON Schema (draft 2020-12), sorted by what they are to a grammar."""

from __future__ import annotations

from collections.abc import Mapping

ANNOTATIONS = frozenset(
    {
        "$anchor",
        "$comment",
        "$defs",
        "$schema",
        "contentEncoding",
        "contentMediaType",
        "contentSchema",
        "default",
        "definitions",
        "deprecated",
        "description",
        "example",
        "examples",
        "readOnly",
        "title",
        "writeOnly",
    }
)
"""They say nothing about which values are valid."""
NUMERIC = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
TEXTUAL = frozenset({"minLength", "maxLength", "pattern", "format"})
LISTED = frozenset({"items", "prefixItems", "minItems", "maxItems", "uniqueItems"})
KEYED = frozenset(
    {
        "properties",
        "required",
        "additionalProperties",
        "patternProperties",
        "minProperties",
        "maxProperties",
    }
)
OF_TYPE: Mapping[str, frozenset[str]] = {
    "object": KEYED,
    "array": LISTED,
    "string": TEXTUAL,
    "number": NUMERIC,
    "integer": NUMERIC,
    "boolean": frozenset(),
    "null": frozenset(),
}
"""By type, the keywords that say something about its values."""
COMBINING = frozenset({"$ref", "allOf", "anyOf", "oneOf"})
UNEVALUATED = frozenset({"unevaluatedProperties", "unevaluatedItems"})
ASSERTIONS = frozenset({"type", "enum", "const"}) | NUMERIC | TEXTUAL | LISTED | KEYED
KNOWN = ANNOTATIONS | COMBINING | ASSERTIONS | UNEVALUATED

REFUSED: Mapping[str, str] = {
    "$dynamicAnchor": "references that depend on who refers are not supported; use $ref",
    "$dynamicRef": "references that depend on who refers are not supported; use $ref",
    "$id": "a schema is one document without a name; refer inside it by $ref: '#/...'",
    "$recursiveRef": "use $ref",
    "$vocabulary": "there is one vocabulary, that of draft 2020-12",
    "contains": "what an array must hold somewhere cannot be kept count of while writing",
    "dependencies": "a property that depends on another is not supported; use anyOf",
    "dependentRequired": "a property that depends on another is not supported; use anyOf",
    "dependentSchemas": "a property that depends on another is not supported; use anyOf",
    "else": "conditions are not supported; use anyOf",
    "if": "conditions are not supported; use anyOf",
    "maxContains": "what an array must hold somewhere cannot be kept count of while writing",
    "minContains": "what an array must hold somewhere cannot be kept count of while writing",
    "not": "a grammar says what may be written, not what may not",
    "propertyNames": "use patternProperties with additionalProperties: false",
    "then": "conditions are not supported; use anyOf",
}
"""Keywords of JSON Schema that a grammar cannot keep, or not soundly, and what to do instead."""
