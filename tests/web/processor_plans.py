"""Hand-written plans for the processor, each for one promise of its executor."""

from __future__ import annotations

import dataclasses

from runtime.plan import Entry, Expr, Kernel, Plan, Step
from runtime.processor import SIMD, WEBASSEMBLY
from tests.web.mini_modules import (
    COPY,
    COUNT,
    FAIL,
    I32,
    SCALE,
    STORE_I32,
    Function,
    described,
    element,
    for_items,
    global_get,
)
from tests.web.mini_plans import counter, huge_buffer, vector_add

ONE = Expr(1)
STACKS = Function("stacks", (I32,) * 3, for_items(1, 2, element(0, 1) + global_get(0) + STORE_I32))
"""(target, begin, end): target[i] = the stack pointer of the thread that computes it."""
MODULE, BLOBS = described([SCALE, COUNT, COPY, FAIL, STACKS])


def on_processor(plan: Plan, grids: dict[str, Expr] | None = None) -> Plan:
    """`plan` over the module of this file; `grids` are work items by kernel."""
    items = grids or {}
    return dataclasses.replace(
        plan,
        variant="cpu",
        features=(WEBASSEMBLY, SIMD),
        kernels=tuple(Kernel(k.name, "", k.name) for k in plan.kernels),
        entries={name: _entry(entry, items) for name, entry in plan.entries.items()},
        module=MODULE,
    )


def _entry(entry: Entry, items: dict[str, Expr]) -> Entry:
    steps = [
        dataclasses.replace(s, grid=(items.get(s.kernel, s.grid[0]), ONE, ONE)) for s in entry.steps
    ]
    return dataclasses.replace(entry, steps=tuple(steps))


def sums() -> Plan:
    """`vector_add`; n and 1 items, as the kernel's own uniform says."""
    plan = on_processor(vector_add())
    return dataclasses.replace(
        plan, entries={name: _counted(entry) for name, entry in plan.entries.items()}
    )


def _counted(entry: Entry) -> Entry:
    steps = [dataclasses.replace(s, grid=(s.uniforms[0].value, ONE, ONE)) for s in entry.steps]
    return dataclasses.replace(entry, steps=tuple(steps))


def counts() -> Plan:
    """`counter`, whose `many` counts n items one by one, and `fail` fails."""
    plan = on_processor(counter())
    many = Step("count", ("total",), (0,), (), (Expr("n"), ONE, ONE))
    fail = dataclasses.replace(many, kernel="fail", grid=(ONE, ONE, ONE))
    return dataclasses.replace(
        plan,
        kernels=(*plan.kernels, Kernel("fail", "", "fail")),
        entries={**plan.entries, "many": Entry(("n",), (many,)), "fail": Entry((), (fail,))},
    )


def stacks() -> Plan:
    """`run` writes into `seen` the stack pointers of the threads that computed its elements."""
    step = Step("stacks", ("seen",), (0,), (), (Expr(1024), ONE, ONE))
    plan = counts()
    (seen,) = (b for b in plan.buffers if b.name == "seen")
    others = tuple(b for b in plan.buffers if b is not seen)
    return dataclasses.replace(
        plan,
        buffers=(*others, dataclasses.replace(seen, nbytes=Expr(4096))),
        kernels=(*plan.kernels, Kernel("stacks", "", "stacks")),
        entries={**plan.entries, "run": Entry((), (step,))},
    )


def huge() -> Plan:
    """More memory than WebAssembly can address, from 64 pages on."""
    return on_processor(huge_buffer())


def short_of_an_argument() -> Plan:
    """A step that gives its kernel one number too few."""
    step = Step("copy", ("total",), (0,), (), (ONE, ONE, ONE))
    return dataclasses.replace(counts(), entries={"run": Entry((), (step,))})
