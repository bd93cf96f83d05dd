"""`tools`, `tool_choice` and `parallel_tool_calls` of a chat request, parsed at the edge."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .grammar.schema import schema_value
from .response_format import check_size, grammar_text
from .sampling import bad_param

MAX_TOOLS = 128
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
NO_PARAMETERS: Mapping[str, Any] = {"type": "object", "properties": {}}
CHOICES = ("none", "auto", "required")


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call."""

    name: str
    parameters: Mapping[str, Any]
    param: str
    """The path of `parameters` in the request."""
    document: Mapping[str, Any]
    """As the request has it: what templates read."""


@dataclass(frozen=True, slots=True)
class ToolUse:
    """What may be called, whether something must be, and whether several at once."""

    tools: tuple[Tool, ...]
    required: bool
    parallel: bool
    shown: tuple[Tool, ...]
    """What the model is told of: all tools, also where only one may be called."""


def parse_tools(data: Mapping[str, Any]) -> ToolUse | None:
    """None where nothing may be called. "bad_request" names what is wrong by its path."""
    tools, choice = _tools(data.get("tools")), data.get("tool_choice")
    parallel = data.get("parallel_tool_calls")
    if not isinstance(parallel, bool | None):
        raise bad_param("parallel_tool_calls", "parallel_tool_calls must be true or false")
    required, allowed = choice == "required", tools
    if isinstance(choice, dict):
        required, allowed = True, (_named(choice, tools),)
    elif choice is not None and choice not in CHOICES:
        known = ", ".join(CHOICES)
        raise bad_param("tool_choice", f"tool_choice must name a function or be one of: {known}")
    if required and not tools:
        raise bad_param("tool_choice", "tool_choice asks for a call and there are no tools")
    if not tools or choice == "none":
        return None
    return ToolUse(allowed, required, parallel is not False, tools)


def _tools(value: Any) -> tuple[Tool, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_TOOLS:
        raise bad_param("tools", f"tools must be a list of at most {MAX_TOOLS}")
    check_size(value, "tools")
    tools = tuple(_tool(item, f"tools[{index}]") for index, item in enumerate(value))
    if len({tool.name for tool in tools}) < len(tools):
        raise bad_param("tools", "two tools have the same name")
    return tools


def _tool(value: Any, where: str) -> Tool:
    if not isinstance(value, dict) or value.get("type") != "function":
        raise bad_param(f"{where}.type", f'{where} must be an object of the type "function"')
    function = value.get("function")
    if not isinstance(function, dict) or set(value) != {"type", "function"}:
        raise bad_param(f"{where}.function", f"{where} must hold a function and nothing else")
    for name in function:
        if name not in ("name", "description", "parameters", "strict"):
            raise bad_param(f"{where}.function.{str(name)[:60]}", "no field of a function")
    name = function.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise bad_param(f"{where}.function.name", "must be 1 to 64 letters, digits, _ and -")
    if not isinstance(function.get("description"), str | None):
        raise bad_param(f"{where}.function.description", "must be text")
    if not isinstance(function.get("strict"), bool | None):
        raise bad_param(f"{where}.function.strict", "must be true or false; all are kept strictly")
    param = f"{where}.function.parameters"
    parameters = function.get("parameters") or NO_PARAMETERS
    if not isinstance(parameters, dict) or parameters.get("type") != "object":
        raise bad_param(param, 'must be a schema of the type "object"')
    grammar_text(lambda grammar: schema_value(grammar, parameters, param), param)
    return Tool(name, parameters, param, value)


def _named(choice: Mapping[str, Any], tools: tuple[Tool, ...]) -> Tool:
    function = choice.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    for tool in tools:
        if choice.get("type") == "function" and tool.name == name:
            return tool
    raise bad_param(
        "tool_choice",
        'tool_choice must be {"type": "function", "function": {"name": one of tools}}',
    )
