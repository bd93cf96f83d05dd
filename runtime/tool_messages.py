"""Calls of tools within a conversation: those an assistant made, and what came of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from .chat import Message
from .sampling import bad_param

MAX_CALLS = 128


def parse_calls(value: Any, where: str) -> list[dict[str, Any]]:
    """`tool_calls` of an assistant's message, their arguments decoded, as templates read them."""
    if not isinstance(value, list) or not 0 < len(value) <= MAX_CALLS:
        raise bad_param(where, f"{where} must be a list of 1 to {MAX_CALLS} calls")
    return [_call(item, f"{where}[{index}]") for index, item in enumerate(value)]


def _call(value: Any, where: str) -> dict[str, Any]:
    function = value.get("function") if isinstance(value, dict) else None
    if not isinstance(function, dict) or value.get("type", "function") != "function":
        raise bad_param(where, f"{where} must be an object with id, type and function")
    id_, name = value.get("id"), function.get("name")
    if not isinstance(id_, str) or not 0 < len(id_) <= 200:
        raise bad_param(f"{where}.id", f"{where}.id must be text")
    if not isinstance(name, str) or not 0 < len(name) <= 200:
        raise bad_param(f"{where}.function.name", f"{where}.function.name must be text")
    arguments = _arguments(function.get("arguments"), f"{where}.function.arguments")
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def _arguments(value: Any, where: str) -> dict[str, Any]:
    """Templates write them out again, so they are needed as a value."""
    try:
        arguments = json.loads(value) if isinstance(value, str) else None
    except (ValueError, RecursionError) as error:
        raise bad_param(where, f"{where} is not JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise bad_param(where, f"{where} must be the text of a JSON object")
    return arguments


def check_results(messages: Sequence[Message]) -> None:
    """Every message of a tool answers a call made before it, once."""
    waiting: set[str] = set()
    for index, message in enumerate(messages):
        where = f"messages[{index}].tool_call_id"
        if message.role == "tool":
            id_ = message.extra.get("tool_call_id")
            if id_ is None:
                raise bad_param(where, f"{where} is missing: the id of the call that it answers")
            if id_ not in waiting:
                raise bad_param(where, f"{where} answers no call of a message before")
            waiting.discard(id_)
        waiting |= {call["id"] for call in message.extra.get("tool_calls", ())}
