"""JSON Schema (draft 2020-12) to a grammar of which every text is a valid value.

Sound, not complete: members come in the order of `properties`, further members are written only
where the schema mentions them (`additionalProperties` or `patternProperties`), numbers are written
in up to 16 digits. What a grammar cannot keep is refused by path, before anything is compiled.

One rule serves all places with the same schema, so recursion by $ref ends; what would not end
(a schema that is itself, growing merges) runs into a limit and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import json_text
from .arrays import counts, elements
from .checking import check_keywords
from .disjoint import disjoint
from .errors import Unsatisfiable, refused
from .formats import formatted
from .json_text import AnyValue, literal, quoted
from .keywords import ASSERTIONS, COMBINING, OF_TYPE, UNEVALUATED
from .merging import Schema, canonical, merge
from .numbers import bounds_of, integers, numbers
from .objects import Member, members, named, patterned, unnamed
from .references import resolve
from .regex import parse_pattern
from .rules import Choice, Expression, Grammar, Literal, Reference, Repeat, choice, sequence

MAX_DEPTH = 48
MAX_SCHEMAS = 4_000
"""Schemas within a schema, counted with every use that is not the same as one before."""


def schema_value(grammar: Grammar, schema: Any, param: str) -> Expression:
    """Any valid value. GrammarError names what is not supported; Unsatisfiable when there is no
    valid value at all, as far as one schema tells."""
    return _Writer(grammar, schema, param).value(schema, param, 0, frozenset())


class _Writer:
    """One schema document."""

    def __init__(self, grammar: Grammar, document: Any, param: str) -> None:
        self._grammar, self._document, self._param = grammar, document, param
        self._any = AnyValue(grammar)
        self._known: dict[str, Reference] = {}
        self._checked: set[int] = set()

    def value(self, schema: Any, path: str, depth: int, heads: frozenset[str]) -> Expression:
        """A value of `schema`; `heads` are the schemas that are this very value already."""
        if isinstance(schema, bool):
            return self._any.value if schema else self._nothing()
        if not isinstance(schema, dict):
            raise refused(path, "a schema must be an object, true or false")
        if depth > MAX_DEPTH:
            raise refused(path, f"schemas are nested deeper than {MAX_DEPTH}")
        key = canonical(schema)
        if key in heads:
            raise refused(path, "the schema is defined by itself: a $ref leads back to it")
        if key in self._known:
            return self._known[key]
        if len(self._known) >= MAX_SCHEMAS:
            raise refused(path, f"more than {MAX_SCHEMAS} different schemas")
        rule = self._known[key] = self._grammar.reserve(path.rpartition(".")[2] or "value")
        try:
            inside = self._combined(schema, path, depth, heads | {key})
        except Unsatisfiable:
            # A choice of nothing: whatever needs this rule falls away with it.
            inside = rule
        self._grammar.rules[rule.name] = inside
        return rule

    def _nothing(self) -> Reference:
        """A rule that is only itself: whatever needs it falls away."""
        never = self._grammar.reserve("never")
        self._grammar.rules[never.name] = never
        return never

    def _combined(self, schema: Schema, path: str, depth: int, heads: frozenset[str]) -> Expression:
        self._check(schema, path)
        if schema.keys() & ASSERTIONS == set() and "$ref" in schema:
            if not schema.keys() & (COMBINING - {"$ref"}) and not schema.keys() & UNEVALUATED:
                target, where = resolve(self._document, self._param, schema["$ref"], path)
                return self.value(target, where, depth + 1, heads)
        flat, options, kind = self._flat(schema, path, 0)
        if not options:
            return self._typed(flat, path, depth)
        whole = [merge_option(flat, one, path) for one in options]
        if kind == "oneOf":
            self._check_disjoint(whole, path)
        parts = [
            self.value(one, f"{path}.{kind}[{index}]", depth + 1, heads)
            for index, one in enumerate(whole)
        ]
        return choice(parts)

    def _check(self, schema: Schema, path: str) -> None:
        if id(schema) not in self._checked:
            self._checked.add(id(schema))
            check_keywords(schema, path)

    def _flat(self, schema: Schema, path: str, depth: int) -> tuple[Schema, list[Any], str]:
        """The schema without $ref and allOf, and the choice it leaves (anyOf or oneOf)."""
        if depth > MAX_DEPTH:
            raise refused(path, "a $ref or allOf leads back to itself")
        own: Schema = {name: schema[name] for name in schema if name not in COMBINING}
        own = self._closed(own, schema, path)
        choices = [(name, schema[name]) for name in ("anyOf", "oneOf") if name in schema]
        for part, where in self._parts(schema, path):
            if part is True:
                continue
            if part is False:
                raise Unsatisfiable
            self._check(part, where)
            flat, options, kind = self._flat(part, where, depth + 1)
            own = merge(own, flat, where)
            choices += [(kind, options)] if options else []
        if len(choices) > 1:
            raise refused(path, "several of anyOf and oneOf must hold together; write one")
        kind, options = choices[0] if choices else ("anyOf", [])
        return own, options, kind

    def _parts(self, schema: Schema, path: str) -> list[tuple[Any, str]]:
        parts = [(one, f"{path}.allOf[{i}]") for i, one in enumerate(schema.get("allOf", ()))]
        if "$ref" in schema:
            parts.append(resolve(self._document, self._param, schema["$ref"], path))
        return parts

    def _closed(self, own: Schema, schema: Schema, path: str) -> Schema:
        """unevaluated... as additional..., where nothing else could evaluate."""
        closed = {name: own[name] for name in own if name not in UNEVALUATED}
        for name, other in (
            ("unevaluatedProperties", "additionalProperties"),
            ("unevaluatedItems", "items"),
        ):
            if own.get(name) is False:
                if schema.keys() & COMBINING:
                    raise refused(
                        f"{path}.{name}",
                        f"not supported beside $ref, allOf, anyOf or oneOf; use {other}",
                    )
                closed.setdefault(other, False)
        return closed

    def _check_disjoint(self, options: list[Any], path: str) -> None:
        flat: list[Schema | None] = []
        for option in options:
            if isinstance(option, bool):
                flat.append({} if option else None)
                continue
            try:
                self._check(option, path)
                parts, choices, _ = self._flat(option, path, 0)
                flat.append(None if choices else parts)
            except Unsatisfiable:
                continue
        certain = [one for one in flat if one is not None]
        if len(certain) < len(flat) or not disjoint(certain):
            raise refused(
                f"{path}.oneOf",
                "its schemas may hold together, as far as types, "
                "constants and required properties tell; use anyOf",
            )

    def _typed(self, schema: Schema, path: str, depth: int) -> Expression:
        if "enum" in schema or "const" in schema:
            return self._one_of(schema, path)
        names = schema.get("type")
        if names is None:
            names = [
                name for name in OF_TYPE if OF_TYPE[name] & schema.keys() and name != "integer"
            ]
            if not names:
                return self._any.value
        types = dict.fromkeys([names] if isinstance(names, str) else names)
        if "number" in types:
            types.pop("integer", None)
        options = []
        for name in types:
            try:
                options.append(self._of_type(name, schema, path, depth))
            except Unsatisfiable:
                continue
        return choice(options)

    def _one_of(self, schema: Schema, path: str) -> Expression:
        others = schema.keys() & ASSERTIONS - {"type", "enum", "const"}
        if others:
            raise refused(f"{path}.{min(others)}", "not supported beside enum or const")
        values = schema["enum"] if "enum" in schema else [schema["const"]]
        types = schema.get("type", list(OF_TYPE))
        types = [types] if isinstance(types, str) else types
        return choice(literal(one) for one in values if any(is_of(one, name) for name in types))

    def _of_type(self, name: str, schema: Schema, path: str, depth: int) -> Expression:
        match name:
            case "object":
                return self._object(schema, path, depth)
            case "array":
                return self._array(schema, path, depth)
            case "string":
                return self._string(schema, path)
            case "number":
                return (integers if schema.get("multipleOf") == 1 else numbers)(bounds_of(schema))
            case "integer":
                return integers(bounds_of(schema))
            case "boolean":
                return Choice((Literal("true"), Literal("false")))
        return Literal("null")

    def _string(self, schema: Schema, path: str) -> Expression:
        if "format" in schema:
            return quoted(formatted(schema["format"], f"{path}.format"))
        if "pattern" in schema:
            pattern = parse_pattern(schema["pattern"], f"{path}.pattern", json_text.in_string)
            return quoted(pattern.found_in(json_text.CHARACTER))
        low, high = counts(schema, "Length", path)
        return quoted(Repeat(json_text.CHARACTER, low, high))

    def _array(self, schema: Schema, path: str, depth: int) -> Expression:
        low, high = counts(schema, "Items", path)
        first = [
            self.value(one, f"{path}.prefixItems[{i}]", depth + 1, frozenset())
            for i, one in enumerate(schema.get("prefixItems", []))
        ]
        more = schema.get("items", not first)
        # Without items, elements behind the first are written only where there must be some.
        more = True if more is False and "items" not in schema and low > len(first) else more
        rest = None if more is False else self.value(more, f"{path}.items", depth + 1, frozenset())
        return sequence("[", elements(first, rest, low, high), "]")

    def _object(self, schema: Schema, path: str, depth: int) -> Expression:
        properties = dict(schema.get("properties", {}))
        further = schema.get("additionalProperties", not properties)
        patterns = schema.get("patternProperties", {})
        if patterns and (properties or len(patterns) > 1 or further not in (False, True)):
            raise refused(
                f"{path}.patternProperties",
                "only one pattern, without properties and with additionalProperties "
                "false or absent, is supported",
            )
        needed = list(dict.fromkeys(schema.get("required", ())))
        for name in needed:
            if name not in properties:
                if patterns:
                    raise refused(f"{path}.required", "not supported beside patternProperties")
                properties[name] = schema.get("additionalProperties", True)
        declared = []
        for name, one in properties.items():
            value = self.value(one, f"{path}.properties.{name[:60]}", depth + 1, frozenset())
            declared.append(Member(named(name, value), name in needed))
        most = self._counted(schema, declared, path)
        return members(
            self._grammar, declared, self._further(schema, list(properties), path, depth), most
        )

    def _further(
        self, schema: Schema, taken: list[str], path: str, depth: int
    ) -> Expression | None:
        """A member that is not declared, where there may be any."""
        for pattern, one in schema.get("patternProperties", {}).items():
            where = f"{path}.patternProperties"
            value = self.value(one, where, depth + 1, frozenset())
            return patterned(pattern, value, where)
        further = schema.get("additionalProperties", "properties" not in schema)
        if further is False:
            return None
        where = f"{path}.additionalProperties"
        value = self.value(further, where, depth + 1, frozenset())
        return unnamed(value, taken)

    def _counted(self, schema: Schema, declared: list[Member], path: str) -> int | None:
        """How many further members there may be. Members may repeat a name, so that only what
        declared ones make sure of counts as a minimum."""
        least, most = counts(schema, "Properties", path)
        required = sum(member.required for member in declared)
        if least > required:
            raise refused(
                f"{path}.minProperties",
                f"{required} properties are required, and "
                "others cannot be counted; require as many",
            )
        if most is None:
            return None
        if required > most:
            raise Unsatisfiable
        if len(declared) > most:
            raise refused(f"{path}.maxProperties", "less than the properties declared")
        return most - len(declared)


def merge_option(flat: Schema, option: Any, path: str) -> Any:
    """`flat` and one option of a choice, as one schema."""
    flat = {name: value for name, value in flat.items() if name in ASSERTIONS}
    if not flat or isinstance(option, bool):
        return flat if option is True and flat else option
    if option.keys() & (COMBINING | UNEVALUATED):
        return {"allOf": [flat, option]}
    return {"allOf": [option, flat]}


def is_of(value: Any, name: str) -> bool:
    """Whether a JSON value is of the type `name`."""
    if isinstance(value, bool) or value is None:
        return name == ("null" if value is None else "boolean")
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    kinds: Mapping[str, bool] = {
        "object": isinstance(value, dict),
        "array": isinstance(value, list),
        "string": isinstance(value, str),
        "number": isinstance(value, int | float),
        "integer": whole,
    }
    return kinds.get(name, False)
