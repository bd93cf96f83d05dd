"""Causal grouped-query attention over the paged cache, in float32, a page at a time.

Arguments, attributes and layouts: `hub/attention_operators.py`. A work item is one head of one
token: scores of a page's keys, the online softmax (arXiv 1805.02867) moved on by the page, and its
values summed. Tokens of sequences of their own (`attention_rows`) find position and pages in the
table.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.tirx.script.builder import ir as B

from runtime.plan import Expr, Uniform

from ...kernels.kernel import Op, times
from .kernel import CpuKernel, CpuProfile
from .mathematics import exp, soft_capped
from .vectors import (
    Body,
    Local,
    f32,
    function,
    lane,
    load,
    named,
    opaque,
    shuffle,
    splat,
    store,
    sums,
)

KNOWN = {"heads", "kv_heads", "head_dim", "window", "page_size", "kv_dtype", "scale", "softcap"}
KNOWN |= {"seats", "stride", "n"}
MASKED = -3e38
LARGEST_PAGE = 32
"""Weights of a page's positions are written out one by one."""


def attention(op: Op, profile: CpuProfile) -> CpuKernel | None:
    """q f32[n, H*D], page table, keys, values, out f32[n, H*D]; uniform pos."""
    if set(op.attrs) - KNOWN or op.text("kv_dtype") != "f32":
        return None
    shape = Shape.of(op)
    if shape.head_dim % 4 or shape.page % 4 or shape.page > LARGEST_PAGE:
        return None
    batch = "seats" in op.attrs
    return CpuKernel(
        named("attention", shape),
        function(PagedAttention(shape).build),
        (4,),
        () if batch else (Uniform("i32", Expr("pos")),),
        times(op.tokens, shape.heads),
    )


@dataclass(frozen=True, slots=True)
class Shape:
    """All that the code depends on."""

    heads: int
    kv_heads: int
    head_dim: int
    page: int
    window: int
    scale: float
    softcap: float
    seats: int
    stride: int

    @classmethod
    def of(cls, op: Op) -> Shape:
        return cls(
            heads=op.integer("heads"),
            kv_heads=op.integer("kv_heads"),
            head_dim=op.integer("head_dim"),
            page=op.integer("page_size"),
            window=op.integer("window"),
            scale=op.number("scale"),
            softcap=op.number("softcap", 0.0),
            seats=op.integer("seats", 0),
            stride=op.integer("stride", 0),
        )


class PagedAttention:
    """The code of one shape."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    def build(self, f: Body) -> None:
        shape = self._shape
        q, table = f.buffer(), f.buffer("int32")
        keys, values, out = f.buffer(), f.buffer(), f.buffer()
        pos = None if shape.seats else f.scalar("pos")
        with f.items() as item:
            token = opaque(B.truncdiv(item, shape.heads))
            head = opaque(B.truncdiv(item - token * shape.heads, shape.heads // shape.kv_heads))
            last = opaque(table[token] if pos is None else pos + token)
            pages = opaque(B.int32(shape.seats) + token * shape.stride)
            first = opaque(B.max(last - (shape.window - 1), 0) if shape.window else B.int32(0))
            self._begin(q, item * shape.head_dim)
            size = shape.page
            with B.serial(B.truncdiv(first, size), B.truncdiv(last, size) + 1) as page:
                at = opaque((table[pages + page] * shape.kv_heads + head) * (size * shape.head_dim))
                self._score(keys, at, opaque(page * size), first, last)
                self._weigh(values, at)
            self._end(out, item * shape.head_dim)

    def _row(self, at: Any, position: Any) -> Any:
        """The first element of a position of the page at `at`."""
        return at + position * self._shape.head_dim

    def _begin(self, q: Any, at: Any) -> None:
        shape = self._shape
        self._q, self._sums, self._scores = (
            B.alloc_buffer((size,), "float32", scope="local")
            for size in (shape.head_dim, shape.head_dim, shape.page)
        )
        self._peak, self._mass = Local(1, "float32"), Local(1, "float32x4")
        self._peak[0], self._mass[0] = B.float32(MASKED), f32(0)
        with B.serial(0, shape.head_dim // 4) as d:
            store(self._q, d * 4, load(q, at + d * 4) * f32(shape.scale))
            store(self._sums, d * 4, f32(0))

    def _score(self, keys: Any, at: Any, position: Any, first: Any, last: Any) -> None:
        """The scores of a page's keys; of positions that are not seen, none."""
        shape = self._shape
        with B.serial(0, shape.page // 4) as quad:
            parts = Local(4)
            rows = [opaque(self._row(at, quad * 4 + j)) for j in range(4)]
            for j in range(4):
                parts[j] = f32(0)
            with B.serial(0, shape.head_dim // 4) as d:
                query = load(self._q, d * 4)
                for j in range(4):
                    parts[j] = parts[j] + query * load(keys, rows[j] + d * 4)
            score = opaque(sums(*(parts[j] for j in range(4))))
            if shape.softcap:
                score = opaque(soft_capped(score, shape.softcap))
            place = opaque(splat(position + quad * 4) + B.ramp(B.int32(0), 1, 4))
            score = B.Select(place <= splat(last), score, f32(MASKED))
            if shape.window:
                score = B.Select(place >= splat(first), opaque(score), f32(MASKED))
            store(self._scores, quad * 4, score)

    def _weigh(self, values: Any, at: Any) -> None:
        """Scores to weights, relative to the largest so far, and the values by them."""
        shape = self._shape
        quads = [load(self._scores, 4 * i) for i in range(shape.page // 4)]
        largest = quads[0]
        for quad in quads[1:]:
            largest = opaque(B.max(largest, quad))
        peak = opaque(B.max(self._peak[0], _across(largest)))
        fade = opaque(exp(splat(self._peak[0] - peak)))
        self._peak[0] = peak
        self._mass[0] = self._mass[0] * fade
        for i, quad in enumerate(quads):
            weight = opaque(B.Select(quad > f32(MASKED / 2), exp(quad - splat(peak)), f32(0)))
            self._mass[0] = self._mass[0] + weight
            store(self._scores, 4 * i, weight)
        rows = [self._row(at, j) for j in range(shape.page)]
        with B.serial(0, shape.head_dim // 4) as d:
            total = load(self._sums, d * 4) * fade
            for j, row in enumerate(rows):
                value = load(values, row + d * 4)
                total = opaque(total + splat(self._scores[j]) * value)
            store(self._sums, d * 4, total)

    def _end(self, out: Any, at: Any) -> None:
        inverse = opaque(f32(1) / sums(*[self._mass[0]] * 4))
        with B.serial(0, self._shape.head_dim // 4) as d:
            store(out, at + d * 4, load(self._sums, d * 4) * inverse)


def _across(vector: Any) -> Any:
    """The largest of four lanes."""
    pairs = opaque(B.max(vector, shuffle([vector], [2, 3, 0, 1])))
    return opaque(B.max(lane(pairs, 0), lane(pairs, 1)))
