"""Plain data to dataclasses, strictly: no unknown key, no missing key, no coercion.

Knows only the shapes a model config uses: scalars, `X | None`, `tuple[T, ...]`,
`Mapping[str, Any]` and nested dataclasses.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Union


class ConfigError(ValueError):
    """A model config that cannot be used; the message names the file, the key and the remedy."""


def decode(cls: Any, data: Any, where: str) -> Any:
    """Build `cls` from TOML data; raises ConfigError naming the key under `where`."""
    if dataclasses.is_dataclass(cls):
        return _decode_dataclass(cls, data, where)
    origin, arguments = typing.get_origin(cls), typing.get_args(cls)
    if origin in (Union, types.UnionType):
        (only,) = (option for option in arguments if option is not type(None))
        return decode(only, data, where)
    if origin is tuple:
        return _decode_array(arguments[0], data, where)
    if origin is not None and issubclass(origin, Mapping):
        return _expect(dict, data, where)
    if cls is float and type(data) is int:
        return float(data)
    return _expect(cls, data, where)


def _decode_dataclass(cls: Any, data: Any, where: str) -> Any:
    table = _expect(dict, data, where)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in table:
        if key not in fields:
            raise ConfigError(f"{where}: unknown key {key!r}; remove it or use one of {[*fields]}")
    for name, field in fields.items():
        required = field.default is field.default_factory is dataclasses.MISSING
        if name not in table and required:
            raise ConfigError(f"{where}: key {name!r} is missing; add it")
    hints = typing.get_type_hints(cls)
    values = {key: decode(hints[key], value, f"{where}: {key}") for key, value in table.items()}
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _decode_array(item: Any, data: Any, where: str) -> tuple[Any, ...]:
    array = _expect(list, data, where)
    return tuple(decode(item, value, f"{where}[{index}]") for index, value in enumerate(array))


_WORDS = {
    dict: "a table",
    list: "an array",
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "a boolean",
}


def _expect(cls: Any, data: Any, where: str) -> Any:
    if type(data) is not cls:
        wanted = _WORDS.get(cls, cls.__name__)
        found = _WORDS.get(type(data), type(data).__name__)
        raise ConfigError(f"{where}: write {wanted}, not {found}")
    return data
