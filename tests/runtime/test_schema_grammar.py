"""Schemas as grammars: what a random writer writes is valid, and what it may write is enough."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.grammar.errors import GrammarError
from runtime.grammar.schema import schema_value
from runtime.response_format import grammar_text

from .schema_writer import Writer, fault

TREE = {
    "$defs": {"node": {"properties": {"kids": {"items": {"$ref": "#/$defs/node"}}}}},
    "$ref": "#/$defs/node",
}
SHAPES = [
    {"properties": {"kind": {"const": kind}, kind: {"type": "integer"}}, "required": ["kind", kind]}
    for kind in ("circle", "square")
]
# Schemas, and for each a value that its grammar must allow.
SCHEMAS: dict[str, tuple[Any, str]] = {
    "anything": (True, '{"a": [1, -2.5e3, "é\\n", null]}'),
    "enum": ({"enum": [1, "a", {"b": [True]}]}, '{"b": [true]}'),
    "types": ({"type": ["string", "null"], "maxLength": 3}, '"日本語"'),
    "integer bounds": ({"type": "integer", "minimum": -120, "exclusiveMaximum": 17}, "-98"),
    "number bounds": ({"type": "number", "minimum": 0.25, "maximum": 1000}, "0.25"),
    "negative numbers": ({"exclusiveMinimum": -3.5, "maximum": -1.25}, "-3.49"),
    "lengths": ({"type": "string", "minLength": 2, "maxLength": 4}, '"a\\"\\n"'),
    "pattern inside": ({"pattern": "[a-z]+\\d"}, '"abb1 d"'),
    "pattern of letters": ({"pattern": "^[α-ω一-龥]{2}\\S?$"}, '"α龥é"'),
    "date-time": ({"type": "string", "format": "date-time"}, '"2024-02-28T23:59:59.5Z"'),
    "email": ({"type": "string", "format": "email"}, '"a.b@example.org"'),
    "uuid": ({"format": "uuid"}, '"2eb8aa08-aa98-11ea-b4aa-73b441d16380"'),
    "array": ({"type": "array", "items": {"type": "boolean"}, "minItems": 1}, "[true, false]"),
    "tuple": (
        {"prefixItems": [{"type": "null"}, {"const": 1}], "items": {"const": 2}},
        "[null, 1, 2]",
    ),
    "tuple of two": ({"prefixItems": [{}, {}], "minItems": 2, "maxItems": 2}, "[0, 0]"),
    "optional": ({"properties": {"a": {"const": 1}, "b": {"const": 2}}}, '{"b": 2}'),
    "map": ({"type": "object", "additionalProperties": {"type": "integer"}}, '{"x": 1, "y": 2}'),
    "further": (
        {
            "properties": {"ab": {"const": 1}},
            "additionalProperties": {"const": 2},
            "required": ["ab"],
        },
        '{"ab": 1, "x": 2}',
    ),
    "names by pattern": (
        {"patternProperties": {"^x_": {"type": "null"}}, "additionalProperties": False},
        '{"x_1": null}',
    ),
    "most": ({"type": "object", "maxProperties": 1}, '{"a": 1}'),
    "recursion": (TREE, '{"kids": [{"kids": []}, {}]}'),
    "allOf": (
        {
            "allOf": [
                {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
                {"properties": {"a": {"minimum": 5}, "b": {"const": 1}}},
            ]
        },
        '{"a": 7, "b": 1}',
    ),
    "anyOf": ({"type": "integer", "anyOf": [{"maximum": 1}, {"minimum": 8}]}, "9"),
    "oneOf": ({"type": "object", "oneOf": SHAPES}, '{"kind": "square", "square": 4}'),
    "ref and more": (
        {"$defs": {"n": {"type": "integer"}}, "allOf": [{"$ref": "#/$defs/n"}], "minimum": 3},
        "3",
    ),
    "nothing unevaluated": ({"properties": {"a": {}}, "unevaluatedProperties": False}, "{}"),
    "impossible option": ({"anyOf": [False, {"const": 1}]}, "1"),
    "impossible item": ({"type": "array", "items": False}, "[]"),
}


@pytest.fixture(scope="module")
def writer() -> Writer:
    return Writer.open()


def text_of(schema: Any) -> str:
    return grammar_text(lambda grammar: schema_value(grammar, schema, "schema"), "schema")


@pytest.mark.parametrize("name", SCHEMAS)
async def test_whatever_is_written_is_valid(writer: Writer, name: str) -> None:
    schema, _ = SCHEMAS[name]
    grammar, finished = text_of(schema), 0
    for seed in range(6):
        text = await writer.write(grammar, seed)
        if text is not None:
            finished += 1
            assert fault(schema, text) is None, (text, fault(schema, text))
    assert finished


@pytest.mark.parametrize("name", SCHEMAS)
async def test_a_valid_value_may_be_written(writer: Writer, name: str) -> None:
    schema, value = SCHEMAS[name]
    assert fault(schema, value) is None
    matcher = await writer.grammars.matcher(text_of(schema))
    for index, byte in enumerate(value.encode()):
        assert matcher.accept(byte), value.encode()[:index]
    assert matcher.accept(257), "it may end there"


def test_a_validator_that_is_asked_sees_what_is_wrong() -> None:
    assert fault({"type": "integer"}, "1.5") and fault({}, "{") and fault({}, "1") is None


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"oneOf": [{"type": "integer"}, {"minimum": 2}]}, "schema.oneOf"),
        ({"properties": {"a": {"enum": [1], "minimum": 0}}}, "schema.properties.a.minimum"),
        ({"items": {"multipleOf": 0.1}}, "schema.items.multipleOf"),
        ({"type": "object", "minProperties": 2}, "schema.minProperties"),
        ({"type": "string", "format": "colour"}, "schema.format"),
        ({"allOf": [{"pattern": "a"}, {"pattern": "b"}]}, "schema.allOf[1]"),
        ({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, "schema.$defs.a"),
        ({"items": [{}]}, "schema.items"),
        ({"type": "string", "minLength": 200}, "schema"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_its_path(schema: Any, path: str) -> None:
    with pytest.raises(GrammarError) as caught:
        text_of(schema)
    assert caught.value.details["param"] == path
