"""JSON Schemas of the documents on disk, generated from the dataclasses that read them.

    python docs/schemas.py            # write docs/schemas/*.schema.json

A test compares the committed files with what this would write.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import textwrap
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Union

from runtime import manifest, plan, weights

FOLDER = Path(__file__).parent / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
DOCUMENTS: dict[str, tuple[Any, int]] = {
    "manifest": (manifest.Manifest, manifest.MANIFEST_FORMAT),
    "plan": (plan.Plan, plan.PLAN_FORMAT),
    "registry": (manifest.Registry, manifest.REGISTRY_FORMAT),
    "weights": (weights.WeightIndex, weights.WEIGHTS_FORMAT),
}
SCALARS = {int: "integer", float: "number", str: "string", bool: "boolean", type(None): "null"}
EXPRESSION = {
    "description": inspect.getdoc(plan.Expr),
    "anyOf": [
        {"type": "integer"},
        {"type": "string", "pattern": "^[^\\W\\d]\\w*$"},
        {
            "type": "array",
            "prefixItems": [
                {"enum": list(plan.OPERATORS)},
                {"$ref": "#/$defs/Expr"},
                {"$ref": "#/$defs/Expr"},
            ],
            "minItems": 3,
            "items": False,
        },
    ],
}


def all_schemas() -> dict[str, str]:
    """File name to JSON text of every schema."""
    return {
        f"{name}.schema.json": json.dumps(document_schema(name), indent=2) + "\n"
        for name in DOCUMENTS
    }


def document_schema(name: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of one kind of document."""
    cls, version = DOCUMENTS[name]
    definitions: dict[str, Any] = {}
    root = _object(cls, definitions)
    root["properties"]["format"] = {"const": version}
    return {"$schema": DIALECT, "title": cls.__name__, **root, "$defs": definitions}


def _object(cls: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    hints, notes = typing.get_type_hints(cls), _field_notes(cls)
    fields = dataclasses.fields(cls)
    properties = {f.name: _schema(hints[f.name], definitions) for f in fields}
    for name, note in notes.items():
        properties[name] = {"description": note} | properties[name]
    return {
        "description": inspect.getdoc(cls),
        "type": "object",
        "properties": properties,
        "required": [f.name for f in fields if _is_required(f)],
        "additionalProperties": False,
    }


def _is_required(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _schema(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if hint in SCALARS:
        return {"type": SCALARS[hint]}
    if dataclasses.is_dataclass(hint):
        return _reference(hint, definitions)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(option, definitions) for option in arguments]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        return _array(arguments, definitions)
    assert origin is not None and issubclass(origin, Mapping), hint
    return {"type": "object", "additionalProperties": _schema(arguments[1], definitions)}


def _array(items: tuple[Any, ...], definitions: dict[str, Any]) -> dict[str, Any]:
    if len(items) == 2 and items[1] is Ellipsis:
        return {"type": "array", "items": _schema(items[0], definitions)}
    exact = [_schema(item, definitions) for item in items]
    return {"type": "array", "prefixItems": exact, "minItems": len(exact), "items": False}


def _reference(cls: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    name = cls.__name__
    if name not in definitions:
        definitions[name] = {}  # taken before its fields are walked, so recursion ends
        definitions[name] = EXPRESSION if cls is plan.Expr else _object(cls, definitions)
    return {"$ref": f"#/$defs/{name}"}


def _field_notes(cls: Any) -> dict[str, str]:
    """The strings that follow fields in the source of a dataclass."""
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(body, ast.ClassDef)
    notes = {}
    for field, note in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(note, ast.Expr)
            and isinstance(note.value, ast.Constant)
        ):
            notes[field.target.id] = inspect.cleandoc(str(note.value.value))
    return notes


if __name__ == "__main__":
    for name, text in all_schemas().items():
        (FOLDER / name).write_text(text)
