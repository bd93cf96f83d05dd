"""A chat request made into a prompt, and what its answer is read with.

Knows templates, reasoning and what a model must have for a request; not devices, nor the shape of
OpenAI's JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from .answer import AnswerPlan, model_tokenizer
from .chat import ChatTemplate, Message
from .chat_request import ChatRequest
from .constraint import Constraint, Hooks, LogprobRequest
from .loading import Documents, no_chat
from .manifest import Manifest
from .reader import Reader, ReaderOptions
from .reasoning import ThinkMarks, think_marks
from .sampling import SamplingParams, bad_param
from .session import Generation
from .structured import Write, after_reasoning
from .tool_formats import ToolFormat, tool_format

THINKING = "enable_thinking"
"""The variable by which templates turn reasoning on and off."""


@dataclass(frozen=True, slots=True)
class ChatAsk:
    """One choice of a chat request."""

    request: ChatRequest
    choice: int = 0

    @property
    def model(self) -> str | None:
        """Who is asked."""
        return self.request.model

    @property
    def turns(self) -> int:
        """How many of the oldest turns may be left out."""
        if self.request.context_overflow != "truncate":
            return 0
        return max(0, len(_questions(self.request.messages)) - 1)

    def without(self, turns: int) -> ChatAsk:
        """The same without the oldest `turns`; system messages stay."""
        messages = self.request.messages
        first = _questions(messages)[turns]
        kept = [m for i, m in enumerate(messages) if i >= first or m.role == "system"]
        return replace(self, request=replace(self.request, messages=tuple(kept)))

    def plan(self, documents: Documents) -> AnswerPlan:
        """Raises "bad_request" when the template refuses the messages or they make no token."""
        request, manifest = self.request, documents.manifest
        tokenizer = model_tokenizer(documents)
        check_abilities(documents, request.logprobs, request.logit_bias)
        text, marks = chat_prompt(documents, request)
        prompt = tuple(tokenizer.encode(text))
        if not prompt:
            raise bad_param("messages", "these messages make an empty prompt")
        options = ReaderOptions(
            stop_ids=frozenset(manifest.stop_token_ids),
            stops=request.stop,
            marks=marks,
            is_open=marks is not None and marks.is_open(text),
            settled=marks is None or marks.is_settled(text),
            top_logprobs=request.logprobs,
            bias=request.logit_bias,
            tools=_tool_format(documents, request),
            spelled=documents.structured.spelled if documents.structured else {},
        )
        reader = Reader(tokenizer, options)
        defaults = SamplingParams.from_defaults(manifest.sampling)
        generation = Generation(
            prompt=prompt,
            params=request.params(defaults, self.choice),
            stop_ids=options.stop_ids,
            max_tokens=request.max_tokens,
            slides=request.context_overflow == "slide",
            hooks=replace(
                reading_hooks(reader, options), constraint=_constraint(documents, request, options)
            ),
        )
        return AnswerPlan(generation, reader)


def _constraint(
    documents: Documents, request: ChatRequest, options: ReaderOptions
) -> Constraint | None:
    """What holds the answer to the format asked for, reasoning left free."""
    param = "tools" if request.tools is not None else "response_format"
    if options.tools is not None and request.tools is not None:
        write: Write = partial(options.tools.write, use=request.tools)
    elif request.format is not None:
        write = request.format.write
    else:
        return None
    check_entry(documents, param, "mask")
    if options.marks is not None and not options.settled:
        write = after_reasoning(write, options.marks, is_open=options.is_open)
    assert documents.structured is not None, "who has a template has a tokenizer"
    return documents.structured.constraint(
        write,
        param,
        asked=request.tools or request.format,
        state=(options.tools, options.marks, options.settled, options.is_open),
    )


def _tool_format(documents: Documents, request: ChatRequest) -> ToolFormat | None:
    """How this model writes the calls that a request allows."""
    if request.tools is None:
        return None
    assert documents.template is not None
    if not documents.template.reads("tools"):
        raise bad_param("tools", f"the chat template of {documents.entry.id} knows no tools")
    format_ = tool_format(documents.template.source)
    if format_ is None:
        raise bad_param(
            "tools", f"how {documents.entry.id} writes calls of tools is not known here"
        )
    return format_


def _questions(messages: Sequence[Message]) -> list[int]:
    """Where turns begin."""
    return [index for index, message in enumerate(messages) if message.role == "user"]


def reading_hooks(reader: Reader, options: ReaderOptions) -> Hooks:
    """What the session does for the reader."""
    watch = None if options.top_logprobs is None else LogprobRequest(reader.arrived)
    return Hooks(logprobs=watch, bias=options.bias)


def check_abilities(
    documents: Documents, logprobs: int | None, logit_bias: Mapping[int, float]
) -> None:
    """The plan can do what is asked, and biased tokens exist."""
    plan = documents.plan
    asked = {"logprobs": logprobs is not None, "logit_bias": bool(logit_bias)}
    for name, is_asked in asked.items():
        if is_asked:
            check_entry(documents, name, name.removeprefix("logit_"))
    for token in logit_bias:
        if token >= plan.vocab_size:
            raise bad_param(
                "logit_bias", f"token {token} is outside the vocabulary of {plan.vocab_size}"
            )


def check_entry(documents: Documents, param: str, entry: str) -> None:
    """The plan has the entry that `param` takes."""
    plan = documents.plan
    if entry not in plan.entries:
        raise bad_param(
            param, f"{plan.model} was built without {param}: build it again with modelpress build"
        )


def chat_prompt(documents: Documents, request: ChatRequest) -> tuple[str, ThinkMarks | None]:
    """The prompt's text, and the marks of the model's reasoning."""
    template = documents.template
    if template is None:
        raise no_chat(documents, "chat_template.jinja")
    _check_names(template, request.messages)
    marks = think_marks(template.source)
    fields = template_fields(template, request, thinks=marks is not None)
    tools = [tool.document for tool in request.tools.shown] if request.tools else None
    text = template.render(with_system(request.messages, documents.manifest), fields, tools)
    if marks is not None and fields.get(THINKING) is False:
        text = marks.closed(text)
    return text, marks


def template_fields(
    template: ChatTemplate, request: ChatRequest, *, thinks: bool
) -> dict[str, Any]:
    """The variables that a request sets; "bad_request" for those that would change nothing."""
    fields, effort = dict(request.template_fields), request.reasoning_effort
    thinking = fields.get(THINKING)
    if effort == "none" and thinking is True:
        raise bad_param("reasoning_effort", f"reasoning_effort none and {THINKING} true disagree")
    if effort == "none":
        fields[THINKING] = False
    elif effort is not None and template.reads("reasoning_effort"):
        fields["reasoning_effort"] = effort
    elif effort not in (None, "medium"):
        raise bad_param(
            "reasoning_effort",
            f"this model has no reasoning_effort {effort!r}: leave it out, or ask for "
            '"none" to turn thinking off',
        )
    for name, value in fields.items():
        # Not thinking is what a model without marks does anyway.
        if name == THINKING and (thinks or value is False):
            continue
        if not template.reads(name):
            where = f"chat_template_kwargs.{name}"
            raise bad_param(where, f"this model's chat template does not read {name}; leave it out")
    return fields


def _check_names(template: ChatTemplate, messages: Sequence[Message]) -> None:
    read = re.search(r"message\s*(\.\s*name\b|\[\s*['\"]name['\"])", template.source)
    for index, message in enumerate(messages):
        if "tool_calls" in message.extra and not template.reads("tool_calls"):
            where = f"messages[{index}].tool_calls"
            raise bad_param(where, f"this model's chat template knows no tools; leave out {where}")
        if "name" in message.extra and not read:
            where = f"messages[{index}].name"
            raise bad_param(where, f"this model's chat template knows no names; leave out {where}")


def with_system(messages: Sequence[Message], manifest: Manifest) -> tuple[Message, ...]:
    """The messages, after the model's own system prompt when they bring none."""
    if manifest.system_prompt is None or any(m.role == "system" for m in messages):
        return tuple(messages)
    return (Message("system", manifest.system_prompt), *messages)
