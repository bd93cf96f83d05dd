"""How models write calls of tools: one format a family of chat templates, told by their text.

    begin opening  head NAME middle ARGUMENTS tail  (separator head ... tail)*  closing

ARGUMENTS is a JSON object. Knows what is written; not requests, devices or JSON schemas.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .grammar.characters import ANY, of, without
from .grammar.rules import (
    EMPTY,
    Chars,
    Dispatch,
    Expression,
    Grammar,
    Repeat,
    choice,
    sequence,
)
from .grammar.schema import schema_value
from .tools import Tool, ToolUse

NOT_A_CALL = choice((EMPTY, sequence(Chars(without(ANY, of("{"))), Repeat(Chars(ANY), 0, None))))
"""Text that cannot be taken for a call that begins with a brace."""


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """See the module. `bare` calls are the whole answer; `between` stands before a further call
    of the whole form, None where there can be none."""

    begin: str
    opening: str
    head: str
    middle: str
    tail: str
    closing: str
    separator: str | None = None
    between: str | None = None
    bare: bool = False

    @property
    def marks(self) -> tuple[str, ...]:
        """What may be special tokens in a vocabulary."""
        found = (self.begin, self.middle, self.closing.lstrip("]\n"))
        return tuple(one for one in found if one[:1] in ("<", "["))

    def write(self, grammar: Grammar, use: ToolUse) -> Expression:
        """The answers that `use` allows."""
        block = grammar.add("call", self._block(grammar, use))
        whole = sequence(self.begin, block)
        if use.required:
            if self.between is None or not use.parallel:
                return whole
            return sequence(whole, Repeat(sequence(self.between, whole), 0, None))
        if self.bare:
            return choice((whole, NOT_A_CALL))
        return Dispatch(((self.begin, block),), use.parallel and self.between is not None)

    def _block(self, grammar: Grammar, use: ToolUse) -> Expression:
        """What follows `begin`."""
        one = grammar.add("calls", choice(self._call(grammar, tool) for tool in use.tools))
        more: Expression = EMPTY
        if self.separator is not None and use.parallel:
            more = Repeat(sequence(self.separator, one), 0, None)
        return sequence(self.opening, one, more, self.closing)

    def _call(self, grammar: Grammar, tool: Tool) -> Expression:
        arguments = schema_value(grammar, tool.parameters, tool.param)
        return sequence(self.head, tool.name, self.middle, arguments, self.tail)


_HEAD, _ARGUMENTS = '{"name": "', '", "arguments": '
HERMES = ToolFormat("<tool_call>", "\n", _HEAD, _ARGUMENTS, "}", "\n</tool_call>", between="\n")
"""Hermes and Qwen 2.5 and 3."""
MISTRAL = ToolFormat("[TOOL_CALLS]", "[", _HEAD, _ARGUMENTS, "}", "]", separator=", ")
MISTRAL_ARGS = ToolFormat("[TOOL_CALLS]", "", "", "[ARGS]", "", "", between="")
"""Mistral's templates from version 11 on."""
PHI = ToolFormat("<|tool_call|>", "[", _HEAD, _ARGUMENTS, "}", "]<|/tool_call|>", separator=", ")
LLAMA = ToolFormat(_HEAD, "", "", '", "parameters": ', "}", "", bare=True)
"""Llama 3.1 to 3.3: one call, and nothing else."""


def tool_format(template: str) -> ToolFormat | None:
    """The format that a template's text shows; None when it shows none that is known."""
    if "<tool_call>" in template:
        # The form with a tag for every parameter is not JSON.
        return None if "<function=" in template else HERMES
    if "[TOOL_CALLS]" in template:
        if "[ARGS]" in template:
            return MISTRAL_ARGS
        return replace(MISTRAL, opening=" [") if "[TOOL_CALLS] [" in template else MISTRAL
    if "<|/tool_call|>" in template:
        return PHI
    return LLAMA if '"parameters": ' in template and '{"name": ' in template else None
