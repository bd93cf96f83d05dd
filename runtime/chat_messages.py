"""The messages of a chat request, parsed at the edge: roles, text, what templates may read."""

from __future__ import annotations

from typing import Any

from .chat import Message
from .request_fields import check_text
from .sampling import bad_param
from .tool_messages import check_results, parse_calls

MAX_MESSAGES = 10_000
MAX_CHARACTERS = 4_000_000
ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
TEXT_FIELDS = {
    "name": frozenset(ROLES),
    "reasoning_content": frozenset({"assistant"}),
    "tool_call_id": frozenset({"tool"}),
}
"""Fields of text besides the content, and the roles that may have them."""


def parse_messages(value: Any) -> tuple[Message, ...]:
    """`messages`; "bad_request" names what is wrong with which."""
    if not isinstance(value, list) or not value:
        raise bad_param("messages", "messages must be a list of at least one message")
    if len(value) > MAX_MESSAGES:
        raise bad_param("messages", f"messages may hold at most {MAX_MESSAGES}")
    messages = tuple(_message(item, f"messages[{i}]") for i, item in enumerate(value))
    check_results(messages)
    if sum(len(m.content or "") for m in messages) > MAX_CHARACTERS:
        raise bad_param("messages", f"messages may hold at most {MAX_CHARACTERS} characters")
    return messages


def _message(value: Any, where: str) -> Message:
    if not isinstance(value, dict):
        raise bad_param(where, f"{where} must be an object with role and content")
    role = value.get("role")
    if not isinstance(role, str) or role not in ROLES:
        known = ", ".join(ROLES)
        raise bad_param(f"{where}.role", f"{where}.role must be one of: {known}")
    extra: dict[str, Any] = {}
    for name, item in value.items():
        place = f"{where}.{str(name)[:80]}"
        if name in ("role", "content") or item is None:
            continue
        if name == "tool_calls" and role == "assistant":
            extra[name] = parse_calls(item, place)
            continue
        if role not in TEXT_FIELDS.get(name, ()):
            raise bad_param(place, f"{place} is not supported; leave it out")
        if not isinstance(item, str) or len(item) > MAX_CHARACTERS:
            raise bad_param(place, f"{place} must be text")
        check_text(item, place)
        extra[name] = item
    text = value.get("content")
    if text is None and "tool_calls" in extra:
        text = ""
    return Message(ROLES[role], content(text, f"{where}.content"), extra)


def content(value: Any, where: str) -> str:
    """A string, or the text of a list of text parts."""
    parts = value if isinstance(value, list) else [{"type": "text", "text": value}]
    if not parts:
        raise bad_param(where, f"{where} must not be an empty list")
    return "".join(_text_part(part, where) for part in parts)


def _text_part(part: Any, where: str) -> str:
    if not isinstance(part, dict) or part.get("type") != "text" or set(part) != {"type", "text"}:
        raise bad_param(where, f"{where} must be a string or a list of text parts")
    text = part["text"]
    if not isinstance(text, str):
        raise bad_param(where, f"{where} must be text")
    check_text(text, where)
    return text
