"""What a caller may want to do with every token of a sequence: constrain it, bias it, look at it.

A sequence with a `Constraint` or a `LogprobRequest` waits for the host between two tokens (one step
in flight); one with a bias alone does not. The order on the device, for each token:

    decode, logprobs, bias, mask, greedy or sample

* entry `logprobs()`: reads `logits`, leaves `logprobs` u32[1 + 2 * 20]: the f32 bits of the log of
  the sum of their exponentials, then the 20 largest as pairs (id, f32 bits of the logit), largest
  first, the lowest id among equals. It comes first, so it tells the model's own distribution.
* entry `bias()`: `logits` += `logit_bias` f32[vocab].
* entry `mask()`: `logits[i]` = -3e38 where bit i % 32 of word i // 32 of `token_mask`
  u32[ceil(vocab / 32)] is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

MAX_LOGPROBS = 20
LOGPROBS_NBYTES = 4 * (1 + 2 * MAX_LOGPROBS)


class Constraint(Protocol):
    """Decides what may come next in one sequence; made for one answer and used by it alone.

    The loop calls, for each token: `forced`; when that is empty, `mask` (while the device computes
    the logits) and a draw; then `accept` with every token that came out, forced ones included, in
    order, stop ids too. An answer that is abandoned just stops calling.
    """

    def forced(self) -> Sequence[int]:
        """Tokens that must come next, as many as are known: they skip the draw. () for a choice.

        They are given as the answer's own tokens, cut at the token budget and at a stop id.
        """
        ...

    async def mask(self) -> bytes | None:
        """The tokens allowed next as u32[ceil(vocab / 32)], little endian; None allows all.

        At least one must be allowed: where the text may end, a stop id is.
        """
        ...

    def accept(self, token: int) -> None:
        """`token` is the sequence's next. Raises ModelpressError when it is not allowed."""
        ...


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """Of one drawn token, under the model's own distribution: its logit, and the `logprobs` record
    as the device left it; see the module."""

    token: int
    logit: float
    record: bytes


@dataclass(frozen=True, slots=True)
class LogprobRequest:
    """Asks for the probabilities of drawn tokens: `arrived` is called just before each is given.

    A forced token is drawn from nothing else, and comes with None.
    """

    arrived: Callable[[int, TokenLogprobs | None], None]


@dataclass(frozen=True, slots=True)
class Hooks:
    """What one sequence wants with its tokens; all of it optional."""

    constraint: Constraint | None = None
    logprobs: LogprobRequest | None = None
    bias: Mapping[int, float] = field(default_factory=dict)
    """Added to the logits of these ids before every draw."""

    @property
    def waits(self) -> bool:
        """Whether the host must look at every token before the next."""
        return self.constraint is not None or self.logprobs is not None


NO_HOOKS = Hooks()
