"""The quantizer: layouts bit by bit, errors never above absmax rounding, bad numbers named."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from hub.errors import CheckpointError
from hub.quantize import Array, assemble, dequantize, pack_rows, quantize
from hub.rounding import Floats
from hub.schemes import GROUP, SCHEMES, Scheme

ALL = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
INTEGERS = {name: scheme for name, scheme in SCHEMES.items() if scheme.group}
GROUPED = pytest.mark.parametrize("scheme", INTEGERS.values(), ids=INTEGERS)

ordinary = st.floats(-1000, 1000, width=32)
tiny = st.floats(-(2.0**-14), 2.0**-14, width=32)
matrices = st.integers(1, 3).flatmap(
    lambda rows: st.integers(1, 3).flatmap(
        lambda groups: arrays(
            np.float32, (rows, groups * GROUP), elements=ordinary | tiny | st.just(0.0)
        )
    )
)


def half(word: int, index: int) -> float:
    """Half `index` (0 low, 1 high) of a 32-bit word."""
    value: float = struct.unpack("<e", struct.pack("<H", (word >> (16 * index)) & 0xFFFF))[0]
    return value


def unpack(scheme: Scheme, buffers: dict[str, Array], rows: int, cols: int) -> list[list[float]]:
    """Every element by the words of schemes.py, one at a time, without numpy arithmetic."""
    return [[element(scheme, buffers, cols, r, c) for c in range(cols)] for r in range(rows)]


def element(scheme: Scheme, buffers: dict[str, Array], cols: int, row: int, col: int) -> float:
    if scheme.name == "f32":
        return float(buffers["w"][row, col])
    if scheme.name == "f16":
        return half(int(buffers["w"][row, col // 2]), col % 2)
    flat = row * (cols // 32) + col // 32
    scale = half(int(buffers["s"][flat // 2]), flat % 2)
    if scheme.name == "q8":
        byte = int(buffers["q"][row, col // 4]) >> (8 * (col % 4)) & 0xFF
        return scale * (byte - 256 if byte > 127 else byte)
    inside = col % 32
    if scheme.name == "q3":
        return scale * (three_bits(buffers["q"][row], cols // 32, col) - 4)
    word = int(buffers["q"][row, col // 32 * 4 + inside // 8])
    byte = word >> (8 * (inside % 4)) & 0xFF
    nibble = byte >> 4 if inside % 8 >= 4 else byte & 15
    return scale * (nibble - 8)


def three_bits(row: Array, groups: int, col: int) -> int:
    """0..7: element `col` of a row of words [3][groups]."""
    words = [int(row[plane * groups + col // 32]) for plane in range(3)]
    inside = col % 32
    shift = 8 * (inside % 4) + (4 if inside % 8 >= 4 else 0)
    if inside < 24:
        return words[inside // 8] >> shift & 7
    return sum((word >> (shift + 3) & 1) << plane for plane, word in enumerate(words))


def square_error(a: NDArray[np.generic], b: NDArray[np.generic]) -> float:
    difference = a.astype(np.float64) - b.astype(np.float64)
    return float((difference * difference).sum())


def absmax_rounding(scheme: Scheme, groups: Floats) -> Floats:
    """The usual quantizer: scale = largest magnitude / highest integer, as f16."""
    high = 2 ** (scheme.bits - 1) - 1
    scale = (np.abs(groups).max(axis=1, keepdims=True) / np.float32(high)).astype(np.float16)
    used = scale.astype(np.float32)
    inverse = np.divide(np.float32(1), used, out=np.zeros_like(used), where=used != 0)
    result: Floats = np.clip(np.rint(groups * inverse), -high - 1, high) * used
    return result


@ALL
@settings(max_examples=40, deadline=None)
@given(matrix=matrices)
def test_buffers_have_the_declared_layout_bit_by_bit(scheme: Scheme, matrix: Floats) -> None:
    rows, cols = matrix.shape
    buffers = quantize(scheme, matrix)
    for suffix, dtype, shape in scheme.buffers(rows, cols):
        assert buffers[suffix].shape == shape
        assert buffers[suffix].dtype == {"f32": np.float32, "u32": np.uint32}[dtype]
    plain = np.array(unpack(scheme, buffers, rows, cols), dtype=np.float32)
    assert np.array_equal(dequantize(scheme, buffers, rows, cols), plain)


@GROUPED
@settings(max_examples=100, deadline=None)
@given(matrix=matrices)
def test_no_group_is_worse_than_absmax_rounding(scheme: Scheme, matrix: Floats) -> None:
    values = dequantize(scheme, quantize(scheme, matrix), *matrix.shape)
    groups, ours = matrix.reshape(-1, GROUP), values.reshape(-1, GROUP)
    theirs = absmax_rounding(scheme, groups)
    for group in range(len(groups)):
        mine = square_error(ours[group], groups[group])
        usual = square_error(theirs[group], groups[group])
        assert mine <= usual * (1 + 1e-5) + 1e-30, (group, mine, usual)


def test_q4_of_ordinary_weights_is_much_better_than_absmax() -> None:
    weights = np.random.default_rng(3).standard_normal((64, 512)).astype(np.float32)
    scheme = SCHEMES["q4"]
    values = dequantize(scheme, quantize(scheme, weights), *weights.shape)
    usual = absmax_rounding(scheme, weights.reshape(-1, GROUP)).reshape(weights.shape)
    assert square_error(values, weights) < 0.75 * square_error(usual, weights)


def test_the_largest_magnitude_may_use_minus_eight() -> None:
    """A positive extreme gets a negative scale, so that all 16 integers are used."""
    row = np.linspace(-0.875, 1.0, GROUP, dtype=np.float32)[None, :]
    buffers = quantize(SCHEMES["q4"], row)
    assert half(int(buffers["s"][0]), 0) < 0
    assert int(buffers["q"][0, 3]) >> 28 == 0


@GROUPED
@pytest.mark.parametrize("value", [0.0, 1.0, -3.5, 0.1, 2.0**-20, -65504.0, 2e5])
def test_a_constant_matrix_keeps_its_value_to_half_precision(scheme: Scheme, value: float) -> None:
    matrix = np.full((2, 64), value, dtype=np.float32)
    values = dequantize(scheme, quantize(scheme, matrix), 2, 64)
    assert np.allclose(values, value, rtol=2**-10, atol=2.0**-24 * 4)


@ALL
def test_denormals_become_small_and_finite(scheme: Scheme) -> None:
    matrix = np.full((1, 32), 1e-42, dtype=np.float32)
    values = dequantize(scheme, quantize(scheme, matrix), 1, 32)
    assert np.isfinite(values).all()
    assert np.abs(values).max() <= 1e-41


@ALL
def test_an_odd_number_of_groups_pads_the_last_scale_with_zero(scheme: Scheme) -> None:
    buffers = quantize(scheme, np.ones((3, 32), dtype=np.float32))
    if "s" in buffers:
        assert buffers["s"].shape == (2,)
        assert half(int(buffers["s"][1]), 1) == 0.0


@ALL
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_name_the_tensor(scheme: Scheme, bad: float) -> None:
    matrix = np.ones((4, 64), dtype=np.float32)
    matrix[2, 40] = bad
    with pytest.raises(CheckpointError, match=r"'layers\.0\.w' holds NaN or infinity"):
        quantize(scheme, matrix, "layers.0.w")


@pytest.mark.parametrize(
    ("scheme", "value"), [("f16", 7e4), ("q8", 1e7), ("q4", 1e6), ("q4", 3e38), ("q3", 1e6)]
)
def test_numbers_beyond_f16_name_the_tensor_and_the_way_out(scheme: str, value: float) -> None:
    matrix = np.ones((2, 32), dtype=np.float32)
    matrix[1, 3] = value
    with pytest.raises(CheckpointError, match=r"'w' reaches .* build with --scheme f32"):
        quantize(SCHEMES[scheme], matrix, "w")


@ALL
def test_the_same_matrix_gives_the_same_bytes(scheme: Scheme) -> None:
    matrix = np.random.default_rng(5).standard_normal((16, 96)).astype(np.float32)
    first, second = quantize(scheme, matrix), quantize(scheme, matrix.copy())
    assert {k: v.tobytes() for k, v in first.items()} == {k: v.tobytes() for k, v in second.items()}


@GROUPED
def test_important_columns_lose_less(scheme: Scheme) -> None:
    """Rounding by importance never has the larger error when errors count by importance."""
    rng = np.random.default_rng(8)
    matrix = rng.standard_normal((40, 96), dtype=np.float32)
    importance = np.exp(2 * rng.standard_normal(96)).astype(np.float32)

    def loss(known: Floats | None) -> float:
        packed = pack_rows(scheme, matrix, "w", known)
        values = dequantize(scheme, assemble(scheme, packed.main, packed.scales), 40, 96)
        error = ((values - matrix).astype(np.float64) ** 2).sum()
        assert packed.error == pytest.approx(float(error), rel=1e-4)
        return float((((values - matrix).astype(np.float64) ** 2) * importance).sum())

    assert loss(importance) < 0.95 * loss(None)


@GROUPED
def test_importance_that_is_the_same_everywhere_changes_nothing(scheme: Scheme) -> None:
    matrix = np.random.default_rng(9).standard_normal((8, 64), dtype=np.float32)
    plain, even = (pack_rows(scheme, matrix, "w", k) for k in (None, np.ones(64, np.float32)))
    assert np.array_equal(plain.main, even.main)
    assert plain.scales is not None and even.scales is not None
    assert np.array_equal(plain.scales, even.scales)
