"""The part of the fake device that decodes several sequences at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .plan import Plan

UNWRITTEN = -1


@dataclass(slots=True)
class FakeBatch:
    """`batch_table`: the position of each row's token, then each row's page table."""

    seats: int
    stride: int
    table: list[int]
    tokens: list[int]
    likeliest: list[int]

    @classmethod
    def of(cls, plan: Plan) -> FakeBatch:
        """What `plan` has buffers for."""
        sizes = {b.name: b.nbytes for b in plan.buffers}
        seats = sizes["batch_tokens"].evaluate({}) // 4 if "batch_tokens" in sizes else 0
        stride = -(-plan.context // plan.page_size)
        words = [UNWRITTEN] * (seats * (1 + stride))
        return cls(seats, stride, words, [UNWRITTEN] * seats, [0] * seats)

    def decode(self, rows: int, append: Callable[[list[int], int, int], int]) -> None:
        """The entry `decode_batch`; `append` takes a page table, a token and its position."""
        assert 1 <= rows <= self.seats
        for row in range(rows):
            start = self.seats + row * self.stride
            table = self.table[start : start + self.stride]
            self.likeliest[row] = append(table, self.tokens[row], self.table[row])
