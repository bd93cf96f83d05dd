"""Stored words of a weight matrix as operands: one group of 32 columns of one row.

Layouts: `hub/schemes.py`. Group `group` of the row whose groups begin at `start` (row * groups).
Three bits a weight are brought into the order of four bits first: a word of 8 nibbles a lane.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from typing import Any

from tvm.tirx.script.builder import ir as B

from .vectors import constant, half_scalar, halves, load, load_parts, opaque, shuffle, splat, u32

TYPES = {"q4": "uint32", "q3": "uint32", "q8": "int8", "f16": "int16", "f32": "float32"}
"""The element type that a kernel declares its weights as."""
SPARE = 0x11111111
"""The fourth bit of each nibble."""
BITS = {"q4": 15, "q3": 7}
"""Of a nibble, those that are a weight's."""


def nibbles(scheme: str, weights: Any, start: Any, group: Any, groups: Any) -> Any:
    """uint32x4: lane j has elements 8j..8j+7 in the order of `q4`."""
    if scheme == "q4":
        return load(weights, (start + group) * 4)
    at = opaque(start * 3 + group)
    words = [opaque(weights[at + j * groups]) for j in range(3)]
    spare = (words[0] >> B.uint32(3)) & B.uint32(SPARE)
    spare = spare | ((words[1] >> B.uint32(2)) & B.uint32(SPARE << 1))
    spare = spare | ((words[2] >> B.uint32(1)) & B.uint32(SPARE << 2))
    return opaque(_four([*words, opaque(spare)]))


def _four(words: list[Any]) -> Any:
    """Four scalars as the lanes of a vector."""
    return shuffle([splat(word, 2) for word in words], [0, 2, 4, 6])


def four_nibbles(scheme: str, weights: Any, start: Any, block: Any, groups: Any) -> list[Any]:
    """`nibbles` of the four groups from 4 * `block` on; behind the last, whatever lies there."""
    if scheme == "q4":
        return load_parts(weights, B.bind((start + block * 4) * 4), 4, 4)
    # A lane a group, a vector a word: the other way round when the fourth words are made.
    at = opaque(start * 3 + block * 4)
    words = [load(weights, at + j * groups) for j in range(3)]
    spare = (words[0] >> u32(3)) & u32(SPARE)
    spare = spare | ((words[1] >> u32(2)) & u32(SPARE << 1))
    words.append(opaque(spare | ((words[2] >> u32(1)) & u32(SPARE << 2))))
    low, high = [0, 4, 1, 5], [2, 6, 3, 7]
    pairs = [
        B.bind(shuffle([words[i], words[i + 1]], half)) for half in (low, high) for i in (0, 2)
    ]
    return [
        B.bind(shuffle([pairs[i], pairs[i + 1]], half))
        for i in (0, 2)
        for half in ([0, 1, 4, 5], [2, 3, 6, 7])
    ]


def int16_pieces(scheme: str, weights: Any, start: Any, group: Any, groups: Any) -> list[Any]:
    """Four int16x8, in the order of `codes.int16_codes`."""
    if scheme == "q8":
        return _widened(weights, start + group)
    return _int16_of(scheme, nibbles(scheme, weights, start, group, groups))


def four_int16_pieces(
    scheme: str, weights: Any, start: Any, block: Any, groups: Any
) -> list[list[Any]]:
    """`int16_pieces` of four groups."""
    if scheme == "q8":
        return [_widened(weights, start + block * 4 + u) for u in range(4)]
    found = four_nibbles(scheme, weights, start, block, groups)
    return [_int16_of(scheme, words) for words in found]


def _widened(weights: Any, group: Any) -> list[Any]:
    at = B.bind(group * 32)
    return [B.bind(B.Cast("int16x8", load(weights, at + 8 * i, 8))) for i in range(4)]


def _int16_of(scheme: str, words: Any) -> list[Any]:
    pairs = B.bind(B.reinterpret("uint16x8", words))
    mask = constant(BITS[scheme], "uint16", 8)
    pieces = [(pairs >> constant(4 * i, "uint16", 8)) & mask for i in range(4)]
    return [B.bind(B.reinterpret("int16x8", piece)) for piece in pieces]


def int8_pieces(scheme: str, weights: Any, start: Any, group: Any, groups: Any) -> list[Any]:
    """Two int8x16 of seven bits at most, in the order of `codes.int8_codes`."""
    return _int8_of(scheme, nibbles(scheme, weights, start, group, groups))


def four_int8_pieces(
    scheme: str, weights: Any, start: Any, block: Any, groups: Any
) -> list[list[Any]]:
    """`int8_pieces` of four groups."""
    found = four_nibbles(scheme, weights, start, block, groups)
    return [_int8_of(scheme, words) for words in found]


def _int8_of(scheme: str, words: Any) -> list[Any]:
    mask = u32(BITS[scheme] * 0x01010101)
    pieces = [words & mask, (words >> u32(4)) & mask]
    return [B.bind(B.reinterpret("int8x16", piece)) for piece in pieces]


def float_pieces(
    scheme: str, weights: Any, scales: Any, start: Any, group: Any, groups: Any
) -> list[Any]:
    """Eight float32x4, the weights themselves: quantized ones in the order of
    `codes.float_codes`, others as they are."""
    at = B.bind((start + group) * 32)
    if scheme == "f32":
        return [load(weights, at + 4 * i) for i in range(8)]
    if scheme == "f16":
        return [B.bind(halves(B.Cast("int32x4", load(weights, at + 4 * i)))) for i in range(8)]
    scale = B.bind(splat(half_scalar(B.Cast("int32", scales[start + group]))))
    integers = _integers(scheme, weights, start, group, groups)
    return [B.bind(B.Cast("float32x4", value) * scale) for value in integers]


def _integers(scheme: str, weights: Any, start: Any, group: Any, groups: Any) -> list[Any]:
    if scheme == "q8":
        at = (start + group) * 32
        both = [B.bind(B.reinterpret("int32x4", load(weights, at + 16 * i, 16))) for i in range(2)]
        return [
            (words << constant(24 - 8 * b, "int32")) >> constant(24, "int32")
            for words in both
            for b in range(4)
        ]
    words = nibbles(scheme, weights, start, group, groups)
    mask, offset = u32(BITS[scheme]), constant((BITS[scheme] + 1) // 2, "int32")
    return [B.reinterpret("int32x4", (words >> u32(4 * k)) & mask) - offset for k in range(8)]
