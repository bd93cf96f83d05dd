"""How likely a given text is: probabilities of its own tokens, computed one by one."""

from __future__ import annotations

import heapq
import math
import sys
from array import array
from collections.abc import Sequence
from contextlib import aclosing

from .abort import AbortSignal
from .logprobs import LEAST, TokenLogprobs
from .session import Session


async def score(
    session: Session, tokens: Sequence[int], *, top: int, signal: AbortSignal
) -> list[TokenLogprobs | None]:
    """For each of `tokens` its probability after those before it; None for the first.

    Raises "context_length_exceeded", "aborted" between tokens.
    """
    found: list[TokenLogprobs | None] = [None]
    if len(tokens) < 2:
        return found[: len(tokens)]
    async with aclosing(session.logits(tokens[:-1])) as rows:
        async for row in rows:
            signal.check()
            found.append(row_logprobs(row, tokens[len(found)], top=top))
    return found


def row_logprobs(row: bytes, token: int, *, top: int) -> TokenLogprobs:
    """What the logits f32[vocab] of a row say of `token`, with the `top` likeliest."""
    values = array("f", row)
    if sys.byteorder == "big":
        values.byteswap()
    peak = max(values)
    total = peak + math.log(math.fsum(math.exp(value - peak) for value in values))
    best = heapq.nsmallest(top, range(len(values)), key=lambda i: (-values[i], i))
    logs = [(i, max(min(values[i] - total, 0.0), LEAST)) for i in best]
    return TokenLogprobs(max(min(values[token] - total, 0.0), LEAST), tuple(logs))
