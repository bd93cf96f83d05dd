"""The self-test of encoders: does this device compute the vector that was computed at build time?

A text is computed twice: alone, and between two others in one run. Both must give the same, and
with a golden vector, what the reference host gave. It knows vectors; neither variants nor what to
do about a failure.
"""

from __future__ import annotations

from .encoder import ENCODE, encode
from .executor import Executor
from .manifest import GoldenVector
from .plan import Plan
from .self_test import relative_difference

LENGTH = 7
"""Tokens of a text where there is no golden one."""


async def find_encoder_difference(
    executor: Executor, plan: Plan, golden: GoldenVector | None
) -> dict[str, float | None]:
    """By entry, the largest difference relative to the largest number; None for vectors that are
    not finite or all zero."""
    width = embedding_width(plan)
    text = golden.tokens if golden else _any_tokens(plan, LENGTH, 0)
    others = [_any_tokens(plan, 3, 5), _any_tokens(plan, 1, 11)]
    room = plan.prefill_chunk - len(text)
    neighbours = [other for other in others if len(other) + 3 <= room]
    (alone,) = await encode(executor, [text], width)
    among = (await encode(executor, [*neighbours[:1], text, *neighbours[1:]], width))[
        len(neighbours[:1])
    ]
    found = [relative_difference(among, alone)]
    if golden:
        found.append(relative_difference(alone, golden.values))
    known = [difference for difference in found if difference is not None]
    return {ENCODE: max(known) if len(known) == len(found) else None}


def embedding_width(plan: Plan) -> int:
    """Numbers of a vector."""
    sizes = {buffer.name: buffer.nbytes.evaluate({}) for buffer in plan.buffers}
    return sizes["embeddings"] // (sizes["texts"] // 8) // 4


def _any_tokens(plan: Plan, length: int, start: int) -> tuple[int, ...]:
    count = min(length, plan.context)
    return tuple((3 + 7919 * (start + i)) % plan.vocab_size for i in range(count))
