"""Chat templates: messages to the text of a prompt, by the template that ships with a model.

Templates are programs written by strangers, so they run in jinja2's immutable sandbox with
budgets (`template_sandbox.py`). jinja2 is imported when the first template is compiled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .errors import FormatError, ModelpressError

if TYPE_CHECKING:
    from jinja2 import Template

TOKEN_NAMES = ("bos_token", "eos_token", "pad_token", "unk_token")
RESERVED = frozenset({*TOKEN_NAMES, "add_generation_prompt", "documents", "messages", "tools"})
"""Variables of a template that the engine sets itself."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn: `role` is "system", "user", "assistant" or "tool"; `extra` holds the other fields
    that templates read, such as `name`, `reasoning_content` and `tool_calls`."""

    role: str
    content: str
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A compiled template, the special tokens it may name, and its text."""

    template: Template
    tokens: Mapping[str, str]
    source: str

    @classmethod
    def compile(cls, source: str, tokenizer_config: str | None = None) -> ChatTemplate:
        """Compile `source`; raises FormatError when it is no template or one we refuse to run."""
        from .template_sandbox import compile_template

        tokens = special_tokens(tokenizer_config) if tokenizer_config else {}
        return cls(compile_template(source), tokens, source)

    def reads(self, name: str) -> bool:
        """Whether the template looks at a variable or field of that name."""
        return re.search(rf"\b{re.escape(name)}\b", self.source) is not None

    def render(
        self,
        messages: Sequence[Message],
        fields: Mapping[str, Any] | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> str:
        """The prompt that asks for the next assistant message; `fields` are further variables,
        `tools` the functions that it may call, as OpenAI's requests have them.

        Raises ModelpressError "bad_request" with the template's own words when it refuses the
        messages, FormatError when it fails or runs past its budgets.
        """
        from .template_sandbox import render_template

        variables: dict[str, Any] = {
            **(fields or {}),
            **self.tokens,
            "messages": [{"role": m.role, "content": m.content, **m.extra} for m in messages],
            "add_generation_prompt": True,
            "tools": tools,
            "documents": None,
        }
        return render_template(self.template, variables)


def special_tokens(tokenizer_config: str) -> dict[str, str]:
    """The special tokens that a tokenizer_config.json names, for templates."""
    where = "tokenizer_config.json"
    try:
        data = json.loads(tokenizer_config)
    except (ValueError, RecursionError) as error:
        raise FormatError(where, f"not valid JSON ({error})") from error
    if not isinstance(data, dict):
        raise FormatError(where, "expected an object")
    tokens = {}
    for name in TOKEN_NAMES:
        value = data.get(name)
        if isinstance(value, dict):
            value = value.get("content")
        if isinstance(value, str):
            tokens[name] = value
    return tokens


def refuse(message: str) -> ModelpressError:
    """What a template's own `raise_exception` becomes."""
    return ModelpressError(
        "bad_request",
        f"the model's chat template refuses these messages: {message}",
        details={"param": "messages"},
    )
