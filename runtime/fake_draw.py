"""The logits of the fake device: 1 at the token its model finds likeliest, 0 elsewhere, and what
the entries between a decode and a draw do to them."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

from .logprobs import BIAS_NBYTES, NO_TOKEN, RECORD_NBYTES, TOP

FORBIDDEN = -3e38


class FakeLogits:
    """Kept as what differs from 0, for a vocabulary of `vocab` tokens."""

    def __init__(self, vocab: int) -> None:
        self.vocab = vocab
        self.likeliest = 0
        self.record = bytes(RECORD_NBYTES)
        self._pairs = b""
        self._mask = b""
        self._added: dict[int, float] = {}

    def compute(self, likeliest: int) -> None:
        """What prefill and decode leave."""
        self.likeliest = likeliest
        self._added.clear()

    def values(self) -> list[float]:
        """f32[vocab]."""
        values = [0.0] * self.vocab
        values[self.likeliest] = 1.0
        for token, value in self._added.items():
            values[token] += value
        return values

    def best(self) -> int:
        """The token with the largest logit, the lowest among equals."""
        if not self._added:
            return self.likeliest
        values = self.values()
        return values.index(max(values))

    def allowed(self) -> Sequence[int]:
        """The tokens that no mask forbids."""
        if not self._added:
            return range(self.vocab)
        return [token for token, value in enumerate(self.values()) if value > FORBIDDEN / 2]

    def write_bias(self, data: bytes) -> None:
        """The `bias` buffer."""
        assert len(data) == BIAS_NBYTES
        self._pairs = bytes(data)

    def bias(self) -> None:
        """The entry `bias`."""
        assert self._pairs, "bias is read before it is written"
        for token, value in struct.iter_unpack("<If", self._pairs):
            if token != NO_TOKEN:
                self._added[token] = self._added.get(token, 0.0) + value

    def write_mask(self, data: bytes) -> None:
        """The `token_mask` buffer."""
        assert len(data) == 4 * -(-self.vocab // 32)
        self._mask = bytes(data)

    def mask(self) -> None:
        """The entry `mask`."""
        assert self._mask, "token_mask is read before it is written"
        for token in range(self.vocab):
            if not self._mask[token // 8] >> token % 8 & 1:
                self._added[token] = FORBIDDEN

    def logprobs(self) -> None:
        """The entry `logprobs`."""
        values = self.values()
        total = math.log(sum(map(math.exp, values)))
        best = sorted(range(self.vocab), key=lambda token: (-values[token], token))[:TOP]
        missing = TOP - len(best)
        floats = [total, 0.0, *(values[token] for token in best), *[-math.inf] * missing]
        tokens = [*best, *[NO_TOKEN] * missing]
        self.record = struct.pack(f"<{2 + TOP}f{TOP}I", *floats, *tokens)

    def chosen(self, token: int) -> None:
        """The entry `chosen`, after `token` was drawn."""
        self.record = self.record[:4] + struct.pack("<f", self.values()[token]) + self.record[8:]
