"""What a caller may want to do with every token of a sequence: constrain it, bias it, look at it.

A sequence with a `Constraint` or a `LogprobRequest` waits for the host between two tokens (one step
in flight); one with a bias alone does not. The order on the device, for each token:

    decode, logprobs, bias, mask, greedy or sample, chosen

* entry `logprobs()`: reads `logits`, leaves `logprobs` u32[42], all but its word 1: word 0 is the
  f32 bits of the log of the sum of their exponentials, words 2-21 those of the 20 largest logits,
  largest first, the lowest id among equals, words 22-41 their ids. It comes first, so it tells the
  model's own distribution. `logprobs.py` reads the record.
* entry `chosen()`: word 1 of `logprobs` = the bits of `logits[token]`, after the draw; so one
  readback of `RECORD_NBYTES` tells everything.
* entry `bias()`: adds to `logits` the pairs (id, f32 bits) of `bias` u32[2 * 1024], which
  `logprobs.bias_bytes` makes; written once for each answer.
* entry `mask()`: `logits[i]` = -3e38 where bit i % 32 of word i // 32 of `token_mask`
  u32[ceil(vocab / 32)] is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


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
class LogprobRequest:
    """Asks for the probabilities of drawn tokens: `arrived` is called just before each is given.

    It gets the token and the record that the device left for it (`RECORD_NBYTES`, see
    `logprobs.read_record`). A forced token is drawn from nothing else, and comes with None.
    """

    arrived: Callable[[int, bytes | None], None]


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
