"""Does a plan fit a device: how large a context its buffers allow, and the bytes it takes.

Pure arithmetic on the plan's own expressions; nothing here touches a device.
"""

from __future__ import annotations

import math

from .errors import ModelpressError
from .executor import DeviceInfo
from .plan import Buffer, Plan
from .processor import CONTEXT, MEMORY, is_for_processors
from .session import num_pages


def choose_context(plan: Plan, device: DeviceInfo, requested: int | None) -> int:
    """Tokens a sequence may hold: `requested`, or the most that the plan and the device allow.

    Raises ModelpressError "bad_request" when `requested` is no context of this plan, and
    "out_of_memory" when the device cannot bind buffers of that size.
    """
    if requested is not None and not 2 <= requested <= plan.context:
        raise ModelpressError(
            "bad_request",
            f"context must lie between 2 and {plan.context}, what {plan.model} was built for",
            details={"param": "context", "largest": plan.context},
        )
    largest = _largest_context(plan, device)
    if requested is None and largest >= min(plan.context, plan.page_size):
        return min(largest, CONTEXT) if is_for_processors(device.features) else largest
    if requested is None or requested > largest:
        raise ModelpressError(
            "out_of_memory",
            f"this device can bind a KV cache of at most {largest} tokens; "
            "ask for a smaller context or a smaller model",
            details={"largest": largest, "requested": requested},
        )
    return requested


def memory_by_role(plan: Plan, context: int) -> dict[str, int]:
    """Bytes of the plan's buffers by role ("weight", "kv", "scratch", "io") at a context."""
    symbols = {"pages": num_pages(plan, context)}
    totals: dict[str, int] = {}
    for buffer in plan.buffers:
        totals[buffer.role] = totals.get(buffer.role, 0) + buffer.nbytes.evaluate(symbols)
    return totals


def dispatches_per_token(plan: Plan, decode: str = "decode") -> int:
    """Dispatches of one greedy decode step by the entry `decode`."""
    return len(plan.entries[decode].steps) + len(plan.entries["greedy"].steps)


def _largest_context(plan: Plan, device: DeviceInfo) -> int:
    limit = min(
        device.limits.get("maxStorageBufferBindingSize", 2**27),
        device.limits.get("maxBufferSize", 2**28),
    )
    # Not `sys.maxsize` for "no limit": a Python of 32 bits, as in the page, has less than a model.
    memory = device.limits.get(MEMORY, math.inf)
    growing = [b for b in plan.buffers if "pages" in b.nbytes.symbols()]
    low, high = 0, num_pages(plan, plan.context)
    while low < high:
        middle = (low + high + 1) // 2
        if _within(growing, middle, limit) and _nbytes(plan, middle) <= memory:
            low = middle
        else:
            high = middle - 1
    return min(low * plan.page_size, plan.context)


def _within(buffers: list[Buffer], pages: int, limit: int) -> bool:
    return all(b.nbytes.evaluate({"pages": pages}) <= limit for b in buffers)


def _nbytes(plan: Plan, pages: int) -> int:
    """Bytes of all buffers."""
    return sum(b.nbytes.evaluate({"pages": pages}) for b in plan.buffers)
