"""Products of stored matrices with float32 rows: every weight is made a float32 first.

A work item is four neighbouring results of every row. Rows that meet quantized matrices come
reordered (`codes.reordered`), others as they are.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import functools
from typing import Any

from tvm.tirx.script.builder import ir as B

from ...schemes import SCHEMES
from .epilogue import Ending, Epilogue
from .rounded_product import ROWS
from .vectors import Body, Local, f32, function, load, opaque, store, sums
from .words import TYPES, float_pieces

TOKENS = 4
"""Rows that meet a weight at once."""


@functools.cache
def exact_product(scheme: str, epilogue: Epilogue, *, many: bool) -> Any:
    """(x, weights, [scales], [bias], [residual], out, [n,] groups, rows, start, out_cols)."""
    quantized = SCHEMES[scheme].group is not None
    width = TOKENS if many else 1

    def build(f: Body) -> None:
        x, weights = f.buffer(), f.buffer(TYPES[scheme])
        scales = f.buffer("int16") if quantized else None
        ending = Ending(epilogue, f)
        n = f.scalar("n") if many else B.int32(1)
        groups = f.scalar("groups")
        ending.scalars(f)

        def places(turn: Any) -> list[tuple[Any, Any]]:
            """(first element, elements from one group to the next) of the rows of a turn."""
            if quantized:
                block = turn * groups * (width * 32)
                return [(opaque(block + m * 32), B.int32(width * 32)) for m in range(width)]
            rows = [B.min(turn * width + m, n - 1) for m in range(width)]
            return [(opaque(row * groups * 32), B.int32(32)) for row in rows]

        def row_sums(row: Any, turn: Any, kept: Any, place: Any) -> None:
            """Four floats that add up to the product, for each row of a turn, to `place`."""
            totals, start, firsts = Local(width), opaque(row * groups), places(turn)
            for m in range(width):
                totals[m] = f32(0)
            with B.serial(0, groups) as group:
                pieces = float_pieces(scheme, weights, scales, start, group, groups)
                for m, (first, step) in enumerate(firsts):
                    at = B.bind(first + group * step)
                    products = [p * load(x, at + 4 * k) for k, p in enumerate(pieces)]
                    while len(products) > 1:
                        products = [
                            a + b for a, b in zip(products[::2], products[1::2], strict=True)
                        ]
                    totals[m] = totals[m] + products[0]
            for m in range(width):
                store(kept, place + m * 4 * ROWS, totals[m])

        with f.items() as item, B.serial(0, B.truncdiv(n + width - 1, width)) as turn:
            first = opaque(item * ROWS)
            kept = [
                B.alloc_buffer((width * 4 * ROWS,), "float32", scope="local")
                for _ in range(1 + int(epilogue.gated))
            ]
            for half, sink in enumerate(kept):
                with B.serial(0, ROWS) as i:
                    row = opaque(B.min(first + i, ending.rows - 1) + half * ending.rows)
                    row_sums(row, turn, sink, i * 4)
            with B.serial(0, B.min(n - turn * width, width)) as token:
                at = token * 4 * ROWS
                values = [sums(*(load(k, at + 4 * i) for i in range(ROWS))) for k in kept]
                ending.finish(turn * width + token, first, *values)

    return function(build)
