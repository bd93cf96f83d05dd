"""Products of quantized matrices with rows rounded to int8: integer dot products, float32 sums.

A work item is four neighbouring results of every row. The integer sums of a block (`codes.py`)
end up in the four lanes of one vector, where they meet their scales: four groups of one row, or
one group of four rows. How stored words become operands depends on the instructions: pairs of
int16 (`i32x4.dot_i16x8_s`), or bytes of which one operand has seven bits (the relaxed dot, for
which nibbles are made).
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm.tirx.script.builder import ir as B

from ...schemes import GROUP
from .codes import TOKENS
from .epilogue import Ending, Epilogue
from .vectors import (
    Body,
    Local,
    constant,
    f32,
    function,
    half_scalar,
    halves,
    load,
    load_parts,
    opaque,
    splat,
    store,
    sums,
)
from .words import TYPES, four_int8_pieces, four_int16_pieces, int8_pieces, int16_pieces

ROWS = 4
"""Results of one item."""
Pieces = list[Any]


def pairs_dot(codes: Pieces, pieces: Pieces) -> Any:
    """Products of int16 summed by pairs."""
    total = None
    for code, piece in zip(codes, pieces, strict=True):
        product = B.call_llvm_pure_intrin("int32x4", "llvm.wasm.dot", piece, code)
        total = product if total is None else total + product
    return B.bind(total)


def bytes_dot(codes: Pieces, pieces: Pieces) -> Any:
    """Products of int8 and seven bits summed by twos, then by twos again.

    Of nibbles and codes both sums of two and of four fit int16. The instruction that sums by fours
    at once is the slower way on processors that have no such instruction themselves.
    """
    dot = "llvm.wasm.relaxed.dot.i8x16.i7x16.signed"
    products = [
        B.call_llvm_pure_intrin("int16x8", dot, code, piece)
        for code, piece in zip(codes, pieces, strict=True)
    ]
    ones = constant(1, "int16", 8)
    total = products[0] + products[1]
    return B.bind(B.call_llvm_pure_intrin("int32x4", "llvm.wasm.dot", total, ones))


@dataclass(frozen=True, slots=True)
class _Way:
    """How a group of a scheme's weights meets the codes of a row."""

    codes: str
    lanes: int
    """Codes of a vector."""
    pieces: Callable[..., Pieces]
    """Operands of one group."""
    four: Callable[..., list[Pieces]]
    """Of the four groups of a block of one row."""
    dot: Callable[[Pieces, Pieces], Any]
    """(vectors of codes, operands) of a group -> int32x4 whose lanes add up."""

    def block(self, codes: Any, at: Any) -> list[Pieces]:
        """The codes of a block, by four."""
        size = GROUP // self.lanes
        vectors = load_parts(codes, at, self.lanes, 4 * size)
        return [vectors[i * size : (i + 1) * size] for i in range(4)]


PAIRS = _Way("int16", 8, int16_pieces, four_int16_pieces, pairs_dot)
BYTES = _Way("int8", 16, int8_pieces, four_int8_pieces, bytes_dot)


def takes_bytes(scheme: str, *, relaxed: bool) -> bool:
    """Whether the relaxed dot serves a scheme: weights of eight bits are no seven."""
    return relaxed and scheme != "q8"


def _way(scheme: str, *, relaxed: bool) -> _Way:
    return BYTES if takes_bytes(scheme, relaxed=relaxed) else PAIRS


@functools.cache
def product_of_one(scheme: str, epilogue: Epilogue, *, relaxed: bool) -> Any:
    """(codes, sides, weights, scales, [bias], [residual], out, groups, rows, start, out_cols)."""
    way = _way(scheme, relaxed=relaxed)

    def build(f: Body) -> None:
        codes, sides = f.buffer(way.codes), f.buffer()
        weights, scales = f.buffer(TYPES[scheme]), f.buffer("int16")
        ending = Ending(epilogue, f)
        groups = f.scalar("groups")
        ending.scalars(f)

        def row_sum(row: Any, kept: Any, place: Any) -> None:
            """Four floats whose sum is the product of a row, to `place`."""
            total, start = Local(1), opaque(row * groups)
            total[0] = f32(0)
            with B.serial(0, (groups + 3) >> 2) as block:
                pieces = way.four(scheme, weights, start, block, groups)
                given = way.block(codes, block * 128)
                parts = [way.dot(*pair) for pair in zip(given, pieces, strict=True)]
                found = B.Cast("float32x4", sums(*parts)) + load(sides, block * 8 + 4)
                # Groups that a block has too many count nothing: their scale here is 0.
                bits = B.Cast("int32x4", load(scales, start + block * 4))
                total[0] = total[0] + found * (halves(bits) * load(sides, block * 8))
            store(kept, place, total[0])

        with f.items() as item:
            first = opaque(item * ROWS)
            values = []
            for half in range(1 + int(epilogue.gated)):
                kept = B.alloc_buffer((4 * ROWS,), "float32", scope="local")
                with B.serial(0, ROWS) as i:
                    row = opaque(B.min(first + i, ending.rows - 1) + half * ending.rows)
                    row_sum(row, kept, i * 4)
                values.append(sums(*(load(kept, 4 * i) for i in range(ROWS))))
            ending.finish(B.int32(0), first, *values)

    return function(build)


@functools.cache
def product_of_many(scheme: str, epilogue: Epilogue, *, relaxed: bool) -> Any:
    """As `product_of_one`, with n before groups."""
    way = _way(scheme, relaxed=relaxed)

    def build(f: Body) -> None:
        codes, sides = f.buffer(way.codes), f.buffer()
        weights, scales = f.buffer(TYPES[scheme]), f.buffer("int16")
        ending = Ending(epilogue, f)
        n, groups = f.scalar("n"), f.scalar("groups")
        ending.scalars(f)
        blocks = TOKENS // 4

        def row_sums(row: Any, turn: Any, kept: Any, place: Any) -> None:
            """The products of a row with the `TOKENS` of a turn, each to `place` of four."""
            totals, start = Local(blocks), opaque(row * groups)
            for b in range(blocks):
                totals[b] = f32(0)
            with B.serial(0, groups) as group:
                at = B.bind(start + group)
                pieces = way.pieces(scheme, weights, start, group, groups)
                scale = B.bind(splat(half_scalar(B.Cast("int32", scales[at]))))
                for b in range(blocks):
                    block = B.bind((turn * blocks + b) * groups + group)
                    given = way.block(codes, block * 128)
                    parts = [way.dot(vectors, pieces) for vectors in given]
                    found = B.Cast("float32x4", sums(*parts)) + load(sides, block * 8 + 4)
                    totals[b] = totals[b] + found * (load(sides, block * 8) * scale)
            for b in range(blocks):
                B.buffer_store(kept, totals[b], [B.ramp(place + b * 16, 4, 4)])

        with f.items() as item, B.serial(0, B.truncdiv(n + TOKENS - 1, TOKENS)) as turn:
            first = opaque(item * ROWS)
            kept = [
                B.alloc_buffer((TOKENS * ROWS,), "float32", scope="local")
                for _ in range(1 + int(epilogue.gated))
            ]
            for place, sink in enumerate(kept):
                with B.serial(0, ROWS) as i:
                    row = opaque(B.min(first + i, ending.rows - 1) + place * ending.rows)
                    row_sums(row, turn, sink, i)
            with B.serial(0, B.min(n - turn * TOKENS, TOKENS)) as token:
                values = [load(sink, token * ROWS) for sink in kept]
                ending.finish(turn * TOKENS + token, first, *values)

    return function(build)
