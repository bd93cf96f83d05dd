"""Quantization schemes: how a weight matrix [rows, cols] lies in device buffers.

Every linear layer and the embedding are `rows x cols`, rows being output features (or token ids),
cols the contracted dimension. One layout serves every plan variant. All words are little endian.

* `f32`: `w` f32[rows, cols].
* `f16`: `w` u32[rows, cols/2]; word i of a row holds elements 2i (low half) and 2i+1 (high half)
  as IEEE f16, what WGSL's `unpack2x16float` reads.
* `q8`: `q` u32[rows, cols/4]; byte b of word i is element 4i+b as int8 (`unpack4xI8`).
  `s` u32[ceil(rows*G/2)] with G = cols/32: flat index row*G+g, two f16 scales a word, even index
  in the low half. value = scale * int8.
* `q4`: `q` u32[rows, cols/8]; a group of 32 elements is 4 words (one vec4<u32>). In word j of a
  group, the low nibble of byte b is element 8j+b and the high nibble is element 8j+4+b, so
  `unpack4xU8(q & 0x0F0F0F0F)` and `unpack4xU8((q >> 4) & 0x0F0F0F0F)` give elements 8j..8j+3 and
  8j+4..8j+7. The nibble holds value + 8 in 0..15. `s` as for q8. value = scale * (nibble - 8);
  scales may be negative.

cols must be a multiple of 32 (of the group) for every quantized matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.plan import Dtype

GROUP = 32


@dataclass(frozen=True, slots=True)
class Scheme:
    """A scheme by the name users type; `bits` per element without scales."""

    name: str
    bits: int
    group: int | None

    def buffers(self, rows: int, cols: int) -> tuple[tuple[str, Dtype, tuple[int, ...]], ...]:
        """(suffix, element type, shape) of the buffers that hold a [rows, cols] matrix."""
        assert cols % GROUP == 0, (rows, cols)
        if self.name == "f32":
            return (("w", "f32", (rows, cols)),)
        words = (rows, cols * self.bits // 32)
        if self.group is None:
            return (("w", "u32", words),)
        scales = (rows * (cols // self.group) + 1) // 2
        return (("q", "u32", words), ("s", "u32", (scales,)))


SCHEMES = {
    "f32": Scheme("f32", 32, None),
    "f16": Scheme("f16", 16, None),
    "q8": Scheme("q8", 8, GROUP),
    "q4": Scheme("q4", 4, GROUP),
}
