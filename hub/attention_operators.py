"""The attention operators over the paged KV cache, as TIR; see `operators.py`.

Caches are [pages, kv_heads, page_size, head_dim]; position p lies in page
`page_table[p // page_size]`, slot `p % page_size`. Token i of a call has position pos + i.

Where tokens are of sequences of their own, one each (`Batch`), the operators are those whose names
end in `_rows`. They take a table i32[seats * (1 + stride)] for the page table, and no pos: its
first `seats` words are the positions of the tokens, and row i of the rest, i32[seats, stride], is
the page table of the sequence of token i.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tvm.tirx.script.builder import ir as B

from .tir import DTYPES, Function, dot, local, operator, options, reads_all, soft_capped

FAR = 2**30
"""A window no sequence reaches."""


@dataclass(frozen=True, slots=True)
class Heads:
    """What happens to the heads of q and k before they meet.

    The first `rotary` of `head_dim` elements are rotated, by the first columns of a table of
    `table`; `table` 0 needs none. `qk_norm` "head" divides each head by its own root mean square,
    "row" all of q and all of k by theirs, and multiplies with weights f32[D], or f32[H*D] and
    f32[KV*D]. "layer" is the layer norm of each head, by f32[2*D]: weights, then biases; "layers"
    by weights of each head's own, f32[H*D] and f32[KV*D], without biases.

    `growth`, if not 0, multiplies queries by 1 + growth * log(1 + floor(position / every)).
    """

    heads: int
    kv_heads: int
    head_dim: int
    rotary: int
    table: int
    qk_norm: str = ""
    eps: float = 0.0
    growth: float = 0.0
    every: int = 1

    @property
    def gains(self) -> tuple[int, ...]:
        """The sizes of the norms' weights, for q and for k."""
        if not self.qk_norm:
            return ()
        if self.qk_norm in ("head", "layer"):
            size = self.head_dim * (1 if self.qk_norm == "head" else 2)
            return (size, size)
        return (self.heads * self.head_dim, self.kv_heads * self.head_dim)

    @property
    def attrs(self) -> dict[str, Any]:
        attrs: dict[str, Any] = {"heads": self.heads, "kv_heads": self.kv_heads}
        attrs |= {"head_dim": self.head_dim}
        if self.rotary != self.head_dim:
            attrs |= {"rotary": self.rotary, "table": self.table}
        if self.growth:
            attrs |= {"growth": self.growth, "every": self.every}
        return attrs | ({"qk_norm": self.qk_norm, "eps": self.eps} if self.qk_norm else {})


@dataclass(frozen=True, slots=True)
class Turning:
    """The expressions of `rope_append` over its tensors; `first` is 0 for q, H for k."""

    shape: Heads
    qkv: Any
    rope: Any
    gains: tuple[Any, ...]

    def pair(self, i: Any, h: Any, d: Any, first: int, pos: Any) -> Any:
        """Both elements of pair `d` < D/2 of head `h`, normed and rotated, with their places."""
        shape, half = self.shape, self.shape.rotary // 2
        rest = (shape.head_dim - shape.rotary) // 2
        turned = d < half if rest else None
        low = d if turned is None else B.if_then_else(turned, d, d + half)
        high = d + half if turned is None else B.if_then_else(turned, d + half, d + half + rest)
        a, b = self._elements(i, h, first, (low, high))
        if half == 0:
            return (a, low), (b, high)
        column = d if turned is None else B.min(d, half - 1)
        cos, sin = self.rope[pos + i, column], self.rope[pos + i, column + shape.table // 2]
        x, y = a * cos - b * sin, b * cos + a * sin
        if turned is None:
            return (x, low), (y, high)
        return (B.if_then_else(turned, x, a), low), (B.if_then_else(turned, y, b), high)

    def _elements(self, i: Any, h: Any, first: int, places: tuple[Any, ...]) -> list[Any]:
        shape = self.shape
        found = [self.qkv[i, (first + h) * shape.head_dim + d] for d in places]
        if not shape.qk_norm:
            return found
        (mean, factor), gain = self._moments(i, h, first), self.gains[0 if first == 0 else 1]
        at = 0 if shape.qk_norm in ("head", "layer") else h * shape.head_dim
        centred = found if mean is None else [x - mean for x in found]
        normed = [x * factor * gain[at + d] for x, d in zip(centred, places, strict=True)]
        if shape.qk_norm != "layer":
            return normed
        return [x + gain[shape.head_dim + d] for x, d in zip(normed, places, strict=True)]

    def _moments(self, i: Any, h: Any, first: int) -> tuple[Any, Any]:
        """(None, one over the root mean square) of what head `h` is normed by, or, for a layer
        norm, (its mean, one over the root of its variance)."""
        shape, heads = self.shape, 1
        start = (first + h) * shape.head_dim
        if shape.qk_norm == "row":
            heads, start = shape.heads if first == 0 else shape.kv_heads, first * shape.head_dim
        count = heads * shape.head_dim
        if shape.qk_norm not in ("layer", "layers"):
            square = local(1)
            dot(square, 0, count, lambda k: self.qkv[i, start + k] * self.qkv[i, start + k])
            return None, self._inverse_root(square, 0, count)
        state = local(2)
        dot(state, 0, count, lambda k: self.qkv[i, start + k])
        B.buffer_store(state, state[0] / B.float32(count), [0])
        mean = state[0]
        dot(state, 1, count, lambda k: _square(self.qkv[i, start + k] - mean))
        return mean, self._inverse_root(state, 1, count)

    def _inverse_root(self, sums: Any, slot: int, count: int) -> Any:
        mean = sums[slot] / B.float32(count) + B.float32(self.shape.eps)
        B.buffer_store(sums, B.float32(1) / B.sqrt(mean), [slot])
        return sums[slot]

    def grown(self, query: Any, i: Any, pos: Any) -> Any:
        """An element of a query of token `i`, larger the later it comes."""
        if not self.shape.growth:
            return query
        steps = B.Cast("float32", (pos + i) // self.shape.every)
        return query * (B.float32(1) + B.float32(self.shape.growth) * B.log(steps + B.float32(1)))


def _square(x: Any) -> Any:
    return x * x


@dataclass(frozen=True, slots=True)
class Batch:
    """At most `seats` tokens of different sequences, each of at most `stride` pages."""

    seats: int
    stride: int

    @property
    def words(self) -> int:
        """The size of the table."""
        return self.seats * (1 + self.stride)

    @property
    def attrs(self) -> dict[str, Any]:
        return {"seats": self.seats, "stride": self.stride}


@dataclass(frozen=True, slots=True)
class Places:
    """Where the tokens of a call lie: in one sequence from `pos` on, or each in its own."""

    table: Any
    pos: Any
    batch: Batch | None

    def before(self, i: Any) -> Any:
        """The position of token i, less i."""
        return self.pos if self.batch is None else B.Cast("int64", self.table[i]) - i

    def page(self, i: Any, index: Any) -> Any:
        """Page number `index` of the sequence of token i."""
        if self.batch is None:
            return self.table[index]
        return self.table[self.batch.seats + i * self.batch.stride + index]


def _table(f: Function, batch: Batch | None) -> Any:
    return f.tensor((f.pages if batch is None else batch.words,), "i32")


def places_of(f: Function, table: Any, batch: Batch | None) -> Places:
    """Declares `pos` where there is one."""
    return Places(table, f.position() if batch is None else None, batch)


def named(op: str, attrs: Mapping[str, Any], batch: Batch | None) -> tuple[str, dict[str, Any]]:
    return (op, dict(attrs)) if batch is None else (f"{op}_rows", {**attrs, **batch.attrs})


@functools.cache
def rope_append(
    shape: Heads, page_size: int, kv_dtype: str, context: int, batch: Batch | None = None
) -> Any:
    """Norm and rotate q and k (half-split), write k and v at positions pos.. into their pages.

    (qkv f32[n, (H+2KV)*D], [rope f32[context, table]], [q_norm, k_norm], page_table i32[pages],
    k_cache, v_cache, pos, q f32[n, H*D]); caches [pages, KV, page_size, D] of kv_dtype.
    """
    heads, kv_heads, head_dim = shape.heads, shape.kv_heads, shape.head_dim

    def build(f: Function) -> None:
        qkv = f.tensor((f.n, (heads + 2 * kv_heads) * head_dim))
        rope = f.tensor((context, shape.table)) if shape.table else None
        gains = tuple(f.tensor((size,)) for size in shape.gains)
        table = _table(f, batch)
        cache = (f.pages, kv_heads, page_size, head_dim)
        keys, values = f.tensor(cache, kv_dtype), f.tensor(cache, kv_dtype)
        places, q = places_of(f, table, batch), f.tensor((f.n, heads * head_dim))
        turning = Turning(shape, qkv, rope, gains)
        given = [tensor for tensor in (qkv, rope, *gains) if tensor is not None]
        with B.grid(f.n, heads, head_dim // 2) as (i, h, d), B.sblock("rotate"):
            vi, vh, vd = B.axis.remap("SSS", [i, h, d])
            reads_all(*given, *([] if batch is None else [table]))
            B.writes(q[vi, 0 : heads * head_dim])
            pos = places.before(vi)
            for value, at in turning.pair(vi, vh, vd, 0, pos):
                grown = turning.grown(value, vi, pos)
                B.buffer_store(q, grown, [vi, vh * head_dim + at])
        with B.grid(f.n, kv_heads, head_dim // 2) as (i, h, d), B.sblock("append"):
            vi, vh, vd = B.axis.remap("SSS", [i, h, d])
            reads_all(*given, table)
            span = (slice(0, f.pages), vh, slice(0, page_size), slice(0, head_dim))
            B.writes(keys[span], values[span])
            pos = places.before(vi)
            page, slot = places.page(vi, (pos + vi) // page_size), (pos + vi) % page_size
            base = (heads + kv_heads + vh) * head_dim
            for value, at in turning.pair(vi, vh, vd, heads, pos):
                for buffer, stored in ((keys, value), (values, qkv[vi, base + at])):
                    B.buffer_store(buffer, B.Cast(DTYPES[kv_dtype], stored), [page, vh, slot, at])

    attrs = {"context": context, "page_size": page_size, "kv_dtype": kv_dtype}
    name, attrs = named("rope_append", shape.attrs | attrs, batch)
    return operator(name, attrs, build)


@functools.cache
def attention(
    heads: int,
    kv_heads: int,
    head_dim: int,
    page_size: int,
    kv_dtype: str,
    window: int,
    scale: float,
    *,
    softcap: float = 0.0,
    batch: Batch | None = None,
) -> Any:
    """Causal grouped-query attention over the paged cache, by the online softmax.

    (q f32[n, H*D], page_table i32[pages], k_cache, v_cache, pos, out f32[n, H*D]); token i has
    position pos + i and sees positions up to its own, only the last `window` of them if not 0.
    `softcap`, if not 0, holds the scores within it.
    Online softmax: arXiv 1805.02867.
    """
    group, width = heads // kv_heads, heads * head_dim

    def build(f: Function) -> None:
        q, table = f.tensor((f.n, width)), _table(f, batch)
        cache = (f.pages, kv_heads, page_size, head_dim)
        keys, values = f.tensor(cache, kv_dtype), f.tensor(cache, kv_dtype)
        places, out = places_of(f, table, batch), f.tensor((f.n, width))
        with B.grid(f.n, heads) as (i, h), B.sblock("attention"):
            vi, vh = B.axis.remap("SS", [i, h])
            reads_all(q, table, keys, values)
            B.writes(out[vi, 0:width])
            pos = places.before(vi)
            # state: the largest score so far, the sum of weights, this score, the rescaling.
            acc, state = local(head_dim), local(4)
            B.buffer_store(state, B.float32(-3.0e38), [0])
            B.buffer_store(state, B.float32(0), [1])
            with B.serial(0, head_dim) as d:
                B.buffer_store(acc, B.float32(0), [d])
            with B.serial(0, B.min(pos + vi + 1, FAR if window == 0 else window)) as back:
                at = pos + vi - back
                page, slot = places.page(vi, at // page_size), at % page_size

                def element(buffer: Any, d: Any) -> Any:
                    return B.Cast("float32", buffer[page, vh // group, slot, d])

                dot(state, 2, head_dim, lambda d: q[vi, vh * head_dim + d] * element(keys, d))
                score = state[2] * B.float32(scale)
                B.buffer_store(state, soft_capped(score, softcap) if softcap else score, [2])
                B.buffer_store(state, B.max(state[0], state[2]), [3])
                B.buffer_store(state, B.exp(state[2] - state[3]), [2])
                B.buffer_store(state, B.exp(B.max(state[0] - state[3], B.float32(-80))), [0])
                B.buffer_store(state, state[1] * state[0] + state[2], [1])
                with B.serial(0, head_dim) as d:
                    B.buffer_store(acc, acc[d] * state[0] + state[2] * element(values, d), [d])
                B.buffer_store(state, state[3], [0])
            with B.serial(0, head_dim) as d:
                B.buffer_store(out, acc[d] / state[1], [vi, vh * head_dim + d])

    attrs: dict[str, Any] = {
        "heads": heads,
        "kv_heads": kv_heads,
        "head_dim": head_dim,
        "window": window,
    }
    attrs |= {"page_size": page_size, "kv_dtype": kv_dtype, "scale": scale}
    name, attrs = named("attention", attrs | options(softcap=softcap), batch)
    return operator(name, attrs, build)
