"""A model config as the TOML file that decodes to it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from .config import EmbeddingSettings, Licence, ModelConfig, Sampling, Source

TABLES = ("source", "licence", "sampling", "embedding", "architecture")
"""Written as tables of their own, in this order, after the plain keys."""
MAX_LINE = 100


def dumps(config: ModelConfig) -> str:
    """TOML text; keys that have their default are left out."""
    plain = {
        field.name: getattr(config, field.name)
        for field in fields(config)
        if field.name not in TABLES
    }
    defaults = {"system_prompt": None, "tasks": ("chat",)}
    lines = [
        f"{key} = {_value(value)}"
        for key, value in plain.items()
        if key not in defaults or value != defaults[key]
    ]
    for name in TABLES:
        lines += _table(name, getattr(config, name))
    return "\n".join(lines) + "\n"


def _table(
    name: str,
    table: Source | Licence | Sampling | EmbeddingSettings | Mapping[str, Any] | None,
) -> Iterator[str]:
    if isinstance(table, Mapping):
        items = dict(table)
    elif table is None or table == Sampling():
        return
    else:
        every = {field.name: (getattr(table, field.name), field.default) for field in fields(table)}
        items = {key: value for key, (value, default) in every.items() if value != default}
    yield ""
    yield f"[{name}]"
    for key, value in items.items():
        if value is not None and value != {}:
            yield f"{_key(key)} = {_value(value)}"


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _string(key)


def _string(text: str) -> str:
    """JSON's escapes are TOML's, but for one character that JSON leaves as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:_}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    return _array([_value(item) for item in value])


def _array(items: list[str]) -> str:
    line = f"[{', '.join(items)}]"
    if len(line) <= MAX_LINE:
        return line
    return "[\n" + "".join(f"    {item},\n" for item in items) + "]"
