"""A chat template in Jinja from the pieces of an MLC conversation.

MLC builds a prompt of strings: system text, and for every message its role, its text within the
role's template, and a separator. The template written here does the same. Function calling, which
MLC fills in by code, is not among what it says.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .errors import CheckpointError

SYSTEM, FUNCTION = "{system_message}", "{function_string}"
PLACES = {"user": "{user_message}", "assistant": "{assistant_message}", "tool": "{tool_message}"}
TokenText = Callable[[int], str | None]
"""The text of a token by its id."""


def chat_template(where: Path, conversation: Mapping[str, Any], text_of: TokenText) -> str:
    """Jinja that renders what MLC would; CheckpointError naming a piece that is not usable."""
    pieces = _Pieces(where, conversation)
    system = pieces.text("system_template", SYSTEM)
    ids = conversation.get("system_prefix_token_ids") or []
    start = "".join(_token(where, id, text_of) for id in ids)
    seps = conversation.get("seps")
    if not isinstance(seps, list) or len(seps) not in (1, 2):
        raise pieces.refusal("seps", seps)
    roles = pieces.texts("roles")
    templates = {**PLACES, **pieces.texts("role_templates")}
    if not {"user", "assistant"} <= set(roles):
        raise pieces.refusal("roles", sorted(roles))
    lines = [
        "{%- if messages and messages[0]['role'] == 'system' -%}",
        "{%- set given = messages[0]['content'] -%}{%- set turns = messages[1:] -%}",
        "{%- else -%}",
        f"{{%- set given = {_literal(pieces.text('system_message', ''))} -%}}",
        "{%- set turns = messages -%}",
        "{%- endif -%}",
        f"{{%- set system = {_around(system, SYSTEM, 'given')} -%}}",
        f"{{{{- {_literal(start)} + system -}}}}",
        "{%- for message in turns -%}",
    ]
    bare = pieces.flag("add_role_after_system_message", True) is False
    for number, (role, name) in enumerate(roles.items()):
        if role not in PLACES:
            continue
        head = _literal(name + pieces.text("role_content_sep", ""))
        if bare:
            head = f"('' if loop.first and system else {head})"
        body = _around(templates[role].replace(FUNCTION, ""), PLACES[role], "message['content']")
        sep = _literal(seps[-1] if role == "assistant" else seps[0])
        lines.append(f"{{%- {'el' if number else ''}if message['role'] == '{role}' -%}}")
        lines.append(f"{{{{- {head} + {body} + {sep} -}}}}")
    lines += [
        "{%- else -%}",
        "{{- raise_exception('this model takes no messages of the role ' + message['role']) -}}",
        "{%- endif -%}",
        "{%- endfor -%}",
        "{%- if add_generation_prompt -%}",
        f"{{{{- {_literal(roles['assistant'] + pieces.text('role_empty_sep', ''))} -}}}}",
        "{%- endif -%}",
    ]
    return "\n".join(lines) + "\n"


def _around(template: str, place: str, value: str) -> str:
    """An expression: the template with its placeholder, wherever it is, taken by `value`."""
    return f" + {value} + ".join(_literal(part) for part in template.split(place))


def _literal(text: str) -> str:
    """Text as Jinja writes it: its strings know JSON's escapes."""
    return json.dumps(text, ensure_ascii=False)


def _token(where: Path, id: Any, text_of: TokenText) -> str:
    text = text_of(id) if type(id) is int else None
    if text is None:
        raise CheckpointError(
            f"{where}: conv_template begins with token {id!r}, which tokenizer.json does not have "
            "among its added tokens; write the template as chat_template.jinja"
        )
    return text


class _Pieces:
    """The fields of a conversation, checked."""

    def __init__(self, where: Path, conversation: Mapping[str, Any]) -> None:
        self._where, self._fields = where, conversation

    def text(self, key: str, default: str) -> str:
        value = self._fields.get(key, default)
        if not isinstance(value, str):
            raise self.refusal(key, value)
        return value

    def texts(self, key: str) -> dict[str, str]:
        value = self._fields.get(key, {})
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise self.refusal(key, value)
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self._fields.get(key, default)
        if type(value) is not bool:
            raise self.refusal(key, value)
        return value

    def refusal(self, key: str, value: Any) -> CheckpointError:
        return CheckpointError(
            f"{self._where}: conv_template.{key} is {value!r}; write the chat template as "
            "chat_template.jinja beside it"
        )
