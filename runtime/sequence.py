"""A sequence: one answer in the making, as far as the host knows it.

It knows its tokens, its pages and what it has asked the device for; not how steps are queued.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Sequence as Tokens
from dataclasses import dataclass, replace

from .constraint import NO_HOOKS, Hooks
from .errors import ModelpressError
from .kv_cache import KvCache
from .sampling import SamplingParams

PROMPT_BIT = 1 << 31
"""Marks a token of the prompt in the device's counts."""
BACKLOG = 32
"""Tokens drawn and not read at which a sequence stops asking for more."""


@dataclass(frozen=True, slots=True)
class Generation:
    """What to continue and until when. `max_tokens` None means the end of the context."""

    prompt: tuple[int, ...]
    params: SamplingParams
    stop_ids: frozenset[int] = frozenset()
    max_tokens: int | None = None
    hooks: Hooks = NO_HOOKS
    given: int = 0
    """How many tokens at the end of `prompt` the answer has given already, before it was
    interrupted: to penalties they are the answer's."""
    slides: bool = False
    """Whether an answer that fills the context goes on without the oldest tokens."""


def go_on(generation: Generation, given: Tokens[int]) -> Generation:
    """What is left of a generation that was interrupted after `given`."""
    if not given:
        return generation
    most = generation.max_tokens
    return replace(
        generation,
        prompt=(*generation.prompt, *given),
        max_tokens=None if most is None else most - len(given),
        given=generation.given + len(given),
    )


class Sequence:
    """The state of one generation.

    `tokens` are all that are known, prompt and answer; `asked` counts draws asked of the device,
    and `drawn` holds those that nobody has read yet.
    """

    __slots__ = (
        "asked",
        "budget",
        "cache",
        "computed",
        "draw",
        "drawn",
        "ended",
        "generation",
        "record",
        "starved",
        "tokens",
    )

    def __init__(self, generation: Generation, budget: int, cache: KvCache) -> None:
        self.generation, self.budget, self.cache = generation, budget, cache
        self.tokens = list(generation.prompt)
        self.asked = 0
        self.computed = 0
        """Positions of a sequence with hooks that the device was asked to compute."""
        self.drawn: deque[int] = deque()
        self.ended = False
        self.starved = False
        """Whether there was no page for its next token."""
        entry = generation.params.entry
        self.draw: tuple[str, ...] = ("bias", entry) if generation.hooks.bias else (entry,)
        """The entries that draw a token from the logits of a sequence that waits for nothing."""
        # Made once: a fresh seed must stay the same for all of the answer.
        self.record = generation.params.record()

    @property
    def hooks(self) -> Hooks:
        return self.generation.hooks

    @property
    def arrived(self) -> int:
        """Draws whose token is known."""
        return len(self.tokens) - len(self.generation.prompt)

    @property
    def position(self) -> int:
        """Of the last token before the next draw to be asked for."""
        return len(self.generation.prompt) - 1 + self.asked

    @property
    def can_ask(self) -> bool:
        """Whether another draw may be asked for."""
        return not self.ended and self.asked < self.budget and len(self.drawn) < BACKLOG

    @property
    def plain(self) -> bool:
        """Whether its steps need no look of the host, and pages for them."""
        return not self.starved and not self.hooks.waits

    @property
    def seated(self) -> bool:
        """Whether it may be decoded now: its prompt was computed, and there is more to ask for."""
        return self.asked > 0 and self.can_ask and not self.starved

    @property
    def sociable(self) -> bool:
        """Whether it may be decoded together with others.

        A seeded answer must not depend on company, and company is computed by other kernels, which
        round otherwise; counts and hooks belong to one sequence at a time.
        """
        params = self.generation.params
        return params.seed is None and not params.penalized and self.hooks == NO_HOOKS

    def arrive(self, token: int) -> None:
        """The next draw's token, unless nobody wants it any more."""
        if self.ended:
            return
        self.cache.append(self.tokens[len(self.cache.tokens) :])
        self.push(token)

    def push(self, token: int) -> None:
        """The next token, drawn or forced."""
        self.tokens.append(token)
        self.drawn.append(token)
        self.ended = token in self.generation.stop_ids or self.arrived >= self.budget

    def restart(self, cache: KvCache) -> None:
        """Give up the pages; `cache` is for when it goes on."""
        self.cache.end()
        self.cache, self.asked, self.computed = cache, self.arrived, 0
        self.starved = False

    def counts(self, vocab_size: int) -> bytes:
        """What the device's `counts` hold before the next draw: u32[vocab]."""
        start = len(self.generation.prompt) - self.generation.given
        counts = array("I", bytes(4 * vocab_size))
        for token in self.tokens[start:]:
            counts[token] += 1
        for token in self.tokens[:start]:
            counts[token] |= PROMPT_BIT
        return counts.tobytes()


def context_exceeded(length: int, context: int) -> ModelpressError:
    """A prompt that leaves no room for an answer."""
    return ModelpressError(
        "context_length_exceeded",
        f"the prompt has {length} tokens and the context holds {context}, answer included; "
        "shorten the conversation or load the model with a larger context",
        details={"prompt_tokens": length, "context": context, "param": "messages"},
    )
