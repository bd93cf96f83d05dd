"""What happens when a conversation outgrows the context: a request's `context_overflow`.

* "error" refuses it;
* "truncate" leaves out the oldest turns of the conversation, but for system messages and the last
  turn, until the prompt and an answer fit;
* "slide" cuts tokens: the beginning of the prompt stays (`HEAD` of the context, which holds a
  system message of usual length) and so do the newest ones, and an answer that reaches the end of
  the context goes on in what is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from .answer import AnswerPlan, Ask
from .loading import Documents
from .sampling import bad_param
from .sequence import Generation

POLICIES = ("error", "truncate", "slide")
HEAD = 8
"""One part in so many of the context is the beginning that stays when it slides."""
ROOM = 4
"""One part in so many is left free for the answer, unless it is to be shorter."""


def parse_overflow(data: Mapping[str, Any]) -> str:
    """The field `context_overflow`; "bad_request" for what is no policy."""
    value = data.get("context_overflow")
    if value is not None and value not in POLICIES:
        known = ", ".join(POLICIES)
        raise bad_param("context_overflow", f"context_overflow must be one of: {known}")
    return "error" if value is None else str(value)


def plan_within(ask: Ask, documents: Documents, context: int) -> AnswerPlan:
    """The ask's plan for a context of that many tokens, under its policy."""
    plan = ask.plan(documents)
    if ask.turns and not _leaves_room(plan.generation, context):
        plan = _without_turns(ask, documents, context)
    generation = plan.generation
    if generation.slides and not _leaves_room(generation, context):
        prompt = slid(generation.prompt, context)
        plan = replace(plan, generation=replace(generation, prompt=prompt))
    return plan


def slid(tokens: Sequence[int], context: int) -> tuple[int, ...]:
    """Tokens that fit half of a context: the first of them, and the newest."""
    head = context // HEAD
    newest = context // 2 - head
    if len(tokens) <= head + newest:
        return tuple(tokens)
    return (*tokens[:head], *tokens[len(tokens) - newest :])


def is_full(generation: Generation, given: Sequence[int], context: int) -> bool:
    """Whether an answer has ended because the context did."""
    stopped = bool(given) and given[-1] in generation.stop_ids
    done = generation.max_tokens is not None and len(given) >= generation.max_tokens
    return len(generation.prompt) + len(given) >= context and not stopped and not done


def slide(generation: Generation, given: Sequence[int], context: int) -> Generation:
    """What is left of a generation that has given so much that its context is full."""
    whole = (*generation.prompt, *given)
    prompt = slid(whole, context)
    left = None if generation.max_tokens is None else generation.max_tokens - len(given)
    kept = min(generation.given + len(given), len(prompt) - context // HEAD)
    return replace(generation, prompt=prompt, max_tokens=left, given=max(0, kept))


def _leaves_room(generation: Generation, context: int) -> bool:
    room = context // ROOM
    wanted = room if generation.max_tokens is None else min(room, generation.max_tokens)
    return len(generation.prompt) + wanted <= context


def _without_turns(ask: Ask, documents: Documents, context: int) -> AnswerPlan:
    """With as few turns left out as make it fit; with all that may be when nothing does."""
    low, high = 1, ask.turns
    plan = ask.without(high).plan(documents)
    while low < high:
        middle = (low + high) // 2
        found = ask.without(middle).plan(documents)
        if _leaves_room(found.generation, context):
            plan, high = found, middle
        else:
            low = middle + 1
    return plan
