"""Dataclasses to and from JSON, strictly: no unknown field, no missing field, no coercion.

Knows the shapes our documents use: int, float, str, bool, None unions, `tuple[T, ...]`,
`tuple[A, B, C]`, `Mapping[str, T]`, `Literal`, nested dataclasses, and any class with
`from_json(data, where)` and `to_json()`. Encoding is canonical (sorted keys, no spaces), so equal
values give equal bytes and equal digests.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, TypeVar, Union

from .errors import FormatError, ModelpressError

T = TypeVar("T")

ABSENT_IF_NONE = MappingProxyType({"absent_if_none": True})
"""Metadata of a field that documents leave out when it is None."""


def loads(cls: type[T], text: str | bytes, where: str) -> T:
    """Decode a JSON document into `cls`; raises FormatError naming the place inside `where`."""
    try:
        data = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise FormatError(where, f"not valid JSON ({error})") from error
    value: T = decode(cls, data, where)
    return value


def dumps(value: Any) -> str:
    """Canonical JSON text of a dataclass, with a final newline."""
    data = encode(value)
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n"


def check_format(data: Any, expected: int, where: str, remedy: str) -> None:
    """Refuse a document whose `format` is not `expected`, saying how to get a current one."""
    found = data.get("format") if isinstance(data, dict) else None
    if found != expected or isinstance(found, bool):
        raise FormatError(
            where, f"format is {found!r}, this version reads format {expected}; {remedy}"
        )


def encode(value: Any) -> Any:
    """A JSON value: dataclasses to objects, tuples to arrays."""
    if hasattr(value, "to_json"):
        return value.to_json()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _encode_fields(value)
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    assert value is None or isinstance(value, int | float | str | bool), type(value)
    return value


def _encode_fields(value: Any) -> dict[str, Any]:
    return {
        f.name: encode(getattr(value, f.name))
        for f in dataclasses.fields(value)
        if not ("absent_if_none" in f.metadata and getattr(value, f.name) is None)
    }


def decode(cls: Any, data: Any, where: str) -> Any:
    """Build `cls` from plain JSON data, or raise FormatError at the exact place."""
    if hasattr(cls, "from_json"):
        return cls.from_json(data, where)
    if dataclasses.is_dataclass(cls):
        return _decode_dataclass(cls, data, where)
    origin = typing.get_origin(cls)
    if origin in (Union, types.UnionType):
        return _decode_union(typing.get_args(cls), data, where)
    if origin is Literal:
        if data not in typing.get_args(cls):
            raise FormatError(where, f"{data!r} is not one of {list(typing.get_args(cls))}")
        return data
    if origin is tuple:
        return _decode_tuple(typing.get_args(cls), data, where)
    if origin is not None and issubclass(origin, Mapping):
        return _decode_mapping(typing.get_args(cls)[1], data, where)
    return _decode_scalar(cls, data, where)


def _decode_dataclass(cls: Any, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise FormatError(where, f"expected an object, found {_kind(data)}")
    hints = _hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}
    unknown = sorted(set(data) - set(fields))
    if unknown:
        raise FormatError(where, f"unknown field {unknown[0]!r}; known: {sorted(fields)}")
    values = {}
    for name, field in fields.items():
        if name in data:
            values[name] = decode(hints[name], data[name], f"{where}.{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise FormatError(where, f"missing field {name!r}")
    try:
        return cls(**values)
    except ModelpressError:
        raise
    except ValueError as error:
        raise FormatError(where, str(error)) from error


@functools.cache
def _hints(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _decode_union(options: tuple[Any, ...], data: Any, where: str) -> Any:
    if data is None and type(None) in options:
        return None
    problems = []
    for option in options:
        if option is type(None):
            continue
        try:
            return decode(option, data, where)
        except FormatError as error:
            problems.append(error)
    raise problems[0]


def _decode_tuple(items: tuple[Any, ...], data: Any, where: str) -> Any:
    if not isinstance(data, list | tuple):
        raise FormatError(where, f"expected an array, found {_kind(data)}")
    if len(items) == 2 and items[1] is Ellipsis:
        return tuple(decode(items[0], item, f"{where}[{i}]") for i, item in enumerate(data))
    if len(items) != len(data):
        raise FormatError(where, f"expected {len(items)} items, found {len(data)}")
    pairs = zip(items, data, strict=True)
    return tuple(decode(cls, item, f"{where}[{i}]") for i, (cls, item) in enumerate(pairs))


def _decode_mapping(item: Any, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise FormatError(where, f"expected an object, found {_kind(data)}")
    return {key: decode(item, value, f"{where}.{key}") for key, value in data.items()}


def _decode_scalar(cls: Any, data: Any, where: str) -> Any:
    if cls is Any:
        return data
    if cls is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if type(data) is not cls:
        raise FormatError(where, f"expected {cls.__name__}, found {_kind(data)}")
    return data


def _kind(data: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    return names.get(type(data), "null" if data is None else f"the number {data}")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise ValueError("an object repeats a key")
    return data
