"""`rope_append`: norms and rotates queries and keys, appends keys and values to the paged cache.

Arguments, attributes and layouts: `hub/attention_operators.py`. A work item is one head of one
token: of q, of k or of v.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm.tirx.script.builder import ir as B

from runtime.plan import Expr, Uniform

from ...kernels.kernel import Op, times
from .kernel import CpuKernel, CpuProfile
from .rows import inverse_root, row_sum
from .vectors import Body, f32, function, load, named, opaque, splat, store

KNOWN = {"heads", "kv_heads", "head_dim", "rotary", "table", "growth", "every", "qk_norm", "eps"}
KNOWN |= {"context", "page_size", "kv_dtype", "seats", "stride", "n"}
NORMS = ("", "head", "row", "layer", "layers")


def rope_append(op: Op, profile: CpuProfile) -> CpuKernel | None:
    """qkv, (rope,) (q_norm, k_norm,) page table, keys, values, out q; uniform pos."""
    norm = str(op.attrs.get("qk_norm", ""))
    if set(op.attrs) - KNOWN or op.text("kv_dtype") != "f32" or norm not in NORMS:
        return None
    head_dim = op.integer("head_dim")
    rotary = op.integer("rotary", head_dim)
    # Halves that are rotated are taken four elements at a time.
    if head_dim % 4 or rotary % 8:
        return None
    turning = _Turning(op, norm, rotary, op.integer("table", head_dim))
    first = 1 + int(turning.table > 0) + (2 if norm else 0)
    fixed = sorted((key, value) for key, value in op.attrs.items() if key != "n")
    return CpuKernel(
        named("rope_append", fixed),
        function(turning.build),
        (first + 1, first + 2, first + 3),
        () if "seats" in op.attrs else (Uniform("i32", Expr("pos")),),
        times(op.tokens, turning.heads + 2 * turning.kv_heads),
    )


@dataclass(frozen=True, slots=True)
class _Turning:
    """The code of one op."""

    op: Op
    norm: str
    rotary: int
    table: int

    @property
    def heads(self) -> int:
        return self.op.integer("heads")

    @property
    def kv_heads(self) -> int:
        return self.op.integer("kv_heads")

    @property
    def size(self) -> int:
        return self.op.integer("head_dim")

    def build(self, f: Body) -> None:
        qkv = f.buffer()
        rope = f.buffer() if self.table else None
        gains = [f.buffer() for _ in range(2 if self.norm else 0)]
        pages, keys, values, out = f.buffer("int32"), f.buffer(), f.buffer(), f.buffer()
        seats, stride = self.op.integer("seats", 0), self.op.integer("stride", 0)
        pos = None if seats else f.scalar("pos")
        all_heads, page_size = self.heads + 2 * self.kv_heads, self.op.integer("page_size")
        with f.items() as item:
            token = opaque(B.truncdiv(item, all_heads))
            head = opaque(item - token * all_heads)
            at = opaque(pages[token] if pos is None else pos + token)
            row = opaque(token * (all_heads * self.size))

            def cached(first: int) -> Any:
                """Where the head lies in the cache, of those from `first` on."""
                number = B.truncdiv(at, page_size)
                page = pages[B.int32(seats) + token * stride + number]
                slot = (page * self.kv_heads + head - first) * page_size + at - number * page_size
                return opaque(slot * self.size)

            with B.If(head < self.heads):
                with B.Then():
                    sink = opaque((token * self.heads + head) * self.size)
                    grown = self._growth(at)
                    self._turn(qkv, rope, gains[:1], row, head, 0, at, out, sink, grown)
                with B.Else(), B.If(head < self.heads + self.kv_heads):
                    with B.Then():
                        first = self.heads
                        sink = cached(first)
                        self._turn(qkv, rope, gains[1:], row, head, first, at, keys, sink, None)
                    with B.Else():
                        sink = cached(self.heads + self.kv_heads)
                        with B.serial(0, self.size // 4) as d:
                            found = load(qkv, row + head * self.size + d * 4)
                            store(values, sink + d * 4, found)

    def _growth(self, at: Any) -> Any:
        """What queries at position `at` are multiplied by."""
        if "growth" not in self.op.attrs:
            return None
        steps = B.Cast("float32", B.truncdiv(at, self.op.integer("every", 1)))
        log = opaque(B.log(opaque(steps + B.float32(1))))
        return opaque(splat(B.float32(1) + B.float32(self.op.number("growth")) * log))

    def _turn(
        self, qkv: Any, rope: Any, gains: list[Any], row: Any, head: Any, first: int, at: Any,
        out: Any, sink: Any, grown: Any,
    ) -> None:  # fmt: skip
        """Norm, rotate and store one head, the `head - first`-th of its kind."""
        start = opaque(row + head * self.size)
        element = self._normed(qkv, gains, row, start, head, first)

        def keep(d: Any, value: Any) -> None:
            store(out, sink + d, value if grown is None else value * grown)

        half = self.rotary // 2
        if half:
            column = opaque(at * self.table)
            with B.serial(0, half // 4) as i:
                d = i * 4
                a, b = opaque(element(d)), opaque(element(d + half))
                cos, sin = load(rope, column + d), load(rope, column + self.table // 2 + d)
                keep(d, a * cos - b * sin)
                keep(d + half, b * cos + a * sin)
        if self.rotary < self.size:
            with B.serial(0, (self.size - self.rotary) // 4) as i:
                keep(i * 4 + self.rotary, element(i * 4 + self.rotary))

    def _normed(
        self, qkv: Any, gains: list[Any], row: Any, start: Any, head: Any, first: int
    ) -> Callable[[Any], Any]:
        """Four elements of the head from one on, normed."""
        if not self.norm:
            return lambda d: load(qkv, start + d)
        count, begin = self.size, start
        if self.norm == "row":
            count = self.size * (self.heads if first == 0 else self.kv_heads)
            begin = opaque(row + first * self.size)
        own = 0 if self.norm in ("head", "layer") else (head - first) * self.size
        gain_at, mean = opaque(B.int32(0) + own), f32(0)
        if self.norm in ("layer", "layers"):
            total = row_sum(B.int32(count), lambda k: load(qkv, begin + k))
            mean = opaque(total * f32(1 / count))

        def square(k: Any) -> Any:
            centred = opaque(load(qkv, begin + k) - mean)
            return centred * centred

        factor = inverse_root(row_sum(B.int32(count), square), B.int32(count), self.op)

        def element(d: Any) -> Any:
            value = (load(qkv, start + d) - mean) * factor * load(gains[0], gain_at + d)
            return value + load(gains[0], d + self.size) if self.norm == "layer" else value

        return element
