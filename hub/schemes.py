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
* `q3`: `q` u32[rows, 3*G], G = cols/32; word j of group g of a row is at j*G+g, so that threads
  which take neighbouring groups read neighbouring words. Words 0..2 hold elements 8j..8j+7 as
  `q4` does, in the lower three bits of each nibble, which is value + 4 in 0..7. The fourth bits
  hold elements 24..31: bit 3 of a nibble of word j is bit j of the same nibble of a fourth word.
  `s` as for q8. value = scale * (nibble - 4); scales may be negative.

cols must be a multiple of 32 (of the group) for every quantized matrix.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from runtime.manifest import Quantization
from runtime.plan import Dtype

from .errors import UnsupportedError

GROUP = 32


@dataclass(frozen=True, slots=True)
class Scheme:
    """A scheme by the name users type; `bits` per element without scales."""

    name: str
    bits: int
    group: int | None

    def of(self, matrix: str) -> Scheme:
        """The scheme of the matrix of that name: this one."""
        return self

    @property
    def layouts(self) -> tuple[Scheme, ...]:
        """Every scheme that a model stored by this may hold."""
        return (self,)

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
    "q3": Scheme("q3", 3, GROUP),
}


@dataclass(frozen=True, slots=True)
class Mixture:
    """Schemes matrix by matrix: `own` by the matrix's name, `base` for all others.

    `name` is what users type and where the built model lies.
    """

    name: str
    base: Scheme
    own: Mapping[str, Scheme]

    def of(self, matrix: str) -> Scheme:
        """The scheme of the matrix of that name."""
        return self.own.get(matrix, self.base)

    @property
    def layouts(self) -> tuple[Scheme, ...]:
        """Every scheme that a model stored by this may hold."""
        return tuple(dict.fromkeys((self.base, *self.own.values())))


Schemes: TypeAlias = Scheme | Mixture
"""How the matrices of one model are stored: all by one scheme, or each by its own."""


def stored_schemes(quantization: Quantization) -> Schemes:
    """How the matrices of a built model are stored; UnsupportedError for an unknown scheme."""
    base = _known(quantization.base or quantization.scheme)
    if not quantization.base and not quantization.matrices:
        return base
    own = {name: _known(scheme) for name, scheme in quantization.matrices.items()}
    return Mixture(quantization.scheme, base, own)


def _known(name: str) -> Scheme:
    if name not in SCHEMES:
        raise UnsupportedError(
            f"a matrix is stored in scheme {name!r}, which this version does not know; "
            "build the model again"
        )
    return SCHEMES[name]


def described(schemes: Schemes) -> tuple[str, dict[str, str]]:
    """(base, matrices) as a manifest's `Quantization` has them."""
    if isinstance(schemes, Scheme):
        return "", {}
    base = "" if schemes.base.name == schemes.name else schemes.base.name
    own = {name: scheme.name for name, scheme in schemes.own.items() if scheme != schemes.base}
    return base, own
