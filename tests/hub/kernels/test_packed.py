"""The packed decode kernels against numpy: what they read, what they compute, what they pack."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hub.kernels import reference
from hub.kernels.packed import ENCODINGS, packed_words
from hub.kernels.reference_packed import pack_row, unpack_row
from hub.schemes import SCHEMES
from tests.hub.kernels.test_attention import CASES, Case
from tests.hub.kernels.trial import FEW, WIDELY, Attrs, Trial, assert_close, matrix, normal

Array = NDArray[Any]

EPS = 1e-5
CLOSE = {"i16": 1e-4, "f32": 1e-5}
PAIRS = [(e, s) for e in ENCODINGS for s in WIDELY if e == "f32" or SCHEMES[s].group]
SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(groups=st.integers(1, 9), exponent=st.integers(-30, 15), seed=SEEDS)
@example(groups=1, exponent=-200, seed=0)
def test_a_packed_row_is_the_row(encoding: str, groups: int, exponent: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = (normal(rng, 32 * groups) * 10.0**exponent).astype(np.float32)
    row, squares = unpack_row(pack_row(x, np.ones_like(x), encoding), 32 * groups, encoding)
    peaks = np.abs(x).reshape(-1, 8).max(axis=1).repeat(8)
    assert (np.abs(row - x) <= 0.51 / 32639 * peaks + 1e-30).all()
    np.testing.assert_allclose(squares, (x.reshape(-1, 8) ** 2).sum(axis=1), rtol=1e-5)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("norm", [False, True], ids=["plain", "norm"])
def test_pack_writes_the_row_for_the_next_kernel(
    gpu_trial: Trial, encoding: str, norm: bool
) -> None:
    rng = np.random.default_rng(3)
    for cols in (32, 608, 4128):
        x, weight = normal(rng, 1, cols), normal(rng, cols)
        x[0, 8:16] = 0
        arrays = [x, *([weight] if norm else []), np.zeros(packed_words(cols, encoding), np.uint32)]
        attrs: Attrs = {"cols": cols, "encoding": encoding, "norm": norm}
        (got,) = gpu_trial.run("pack", arrays, attrs=attrs)
        want = unpack_row(pack_row(x[0], weight if norm else None, encoding), cols, encoding)
        for one, other in zip(unpack_row(got, cols, encoding), want, strict=True):
            assert_close(one, other, 1e-4)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_layer_norm_is_packed_as_it_is_done(gpu_trial: Trial, encoding: str) -> None:
    rng = np.random.default_rng(4)
    for cols in (32, 608, 4128):
        x = normal(rng, 1, cols) + np.float32(30)
        weight, bias = normal(rng, cols), normal(rng, cols)
        row = np.zeros(packed_words(cols, encoding), np.uint32)
        attrs: Attrs = {"cols": cols, "encoding": encoding, "eps": EPS}
        (got,) = gpu_trial.run("pack_layer_norm", [x, weight, bias, row], attrs=attrs)
        want = reference.layer_norm(x, weight, bias, eps=EPS)[0]
        assert_close(unpack_row(got, cols, encoding)[0], want, 1e-4)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh"])
def test_packed_matmul_activates_what_the_next_kernel_reads(
    gpu_trial: Trial, encoding: str, activation: str
) -> None:
    rng, rows, cols = np.random.default_rng(5), 96, 64
    x, bias, out = normal(rng, 1, cols), normal(rng, rows), np.zeros((1, rows), np.float32)
    buffers = matrix(rng, "q4", rows, cols)
    weight = reference.dequantize("q4", buffers, rows, cols)
    attrs: dict[str, Any] = {"scheme": "q4", "cols": cols, "parts": f"0:{rows}", "bias": True}
    attrs |= {"out_cols": rows, "encoding": encoding, "epilogue": "none"}
    attrs |= {"activation": activation, "results": "packed"}
    row = np.zeros(packed_words(rows, encoding), np.uint32)
    arrays = [pack_row(x[0], None, encoding), *buffers, bias, row]
    (got,) = gpu_trial.run("packed_matmul", arrays, attrs=attrs)
    want = reference.matmul(x, weight, None, out, start=0, bias=bias, activation=activation)
    assert_close(unpack_row(got, rows, encoding)[0], want[0], 1e-4)


@pytest.mark.parametrize(("encoding", "scheme"), PAIRS)
@FEW
@given(rows=st.integers(1, 70), groups=st.integers(1, 6), start=st.integers(0, 9), seed=SEEDS)
@example(rows=20, groups=199, start=0, seed=1)
@example(rows=9, groups=41, start=2, seed=6)
def test_packed_matmul_writes_its_columns_and_no_others(
    gpu_trial: Trial, encoding: str, scheme: str, rows: int, groups: int, start: int, seed: int
) -> None:
    rng, cols, out_cols = np.random.default_rng(seed), 32 * groups, start + rows + 3
    x, out = normal(rng, 1, cols), normal(rng, 1, out_cols)
    biased, added = bool(seed & 1), bool(seed & 2)
    bias, residual = normal(rng, out_cols), normal(rng, 1, out_cols)
    buffers = matrix(rng, scheme, rows, cols)
    weight = reference.dequantize(scheme, buffers, rows, cols)
    attrs: dict[str, Any] = {"scheme": scheme, "cols": cols, "parts": f"{start}:{rows}"}
    attrs |= {"out_cols": out_cols, "encoding": encoding, "results": "out", "bias": biased}
    attrs["epilogue"] = "add" if added else "none"
    arrays = [pack_row(x[0], None, encoding), *buffers]
    arrays += [bias] * biased + [residual] * added + [out]
    (got,) = gpu_trial.run("packed_matmul", arrays, attrs=attrs)
    want = reference.matmul(x, weight, residual if added else None, out, start=start)
    want[:, start : start + rows] += bias[start : start + rows] * biased
    assert_close(got, want, CLOSE[encoding])


@pytest.mark.parametrize(("encoding", "scheme"), PAIRS)
@pytest.mark.parametrize("groups", [3, 50])
def test_a_norm_goes_over_two_matrices(
    gpu_trial: Trial, encoding: str, scheme: str, groups: int
) -> None:
    """The first packs its result times the norm's weights, the second divides by the root mean
    square; between them lies nothing else."""
    rng, cols, hidden, features = np.random.default_rng(groups), 32 * groups, 96, 64
    x, residual, norm = normal(rng, 1, cols), normal(rng, 1, hidden), normal(rng, hidden)
    first, second = matrix(rng, scheme, hidden, cols), matrix(rng, scheme, 2 * features, hidden)
    out, emitted = normal(rng, 1, hidden), np.zeros(packed_words(hidden, encoding), np.uint32)
    common: Attrs = {"scheme": scheme, "encoding": encoding}
    attrs = {**common, "cols": cols, "parts": f"0:{hidden}", "out_cols": hidden}
    attrs |= {"epilogue": "add", "norm": True, "results": "out+packed"}
    arrays = [pack_row(x[0], None, encoding), *first, residual, norm, out, emitted]
    got, emitted = gpu_trial.run("packed_matmul", arrays, attrs=attrs)
    weight = reference.dequantize(scheme, first, hidden, cols)
    want = reference.matmul(x, weight, residual, out, start=0)
    assert_close(got, want, CLOSE[encoding])
    row, squares = unpack_row(emitted, hidden, encoding)
    assert_close(row, want[0] * norm, CLOSE[encoding])
    assert_close(squares, (want.reshape(-1, 8) ** 2).sum(axis=1), CLOSE[encoding])

    attrs = {**common, "rows": 2 * features, "cols": hidden, "activation": "silu"}
    attrs |= {"eps": EPS, "results": "packed"}
    (emitted,) = gpu_trial.run(
        "packed_gate_up",
        [emitted, *second, np.zeros(packed_words(features, encoding), np.uint32)],
        attrs=attrs,
    )
    weight = reference.dequantize(scheme, second, 2 * features, hidden)
    want = reference.gate_up(reference.rms_norm(want, norm, eps=EPS), weight)
    assert_close(unpack_row(emitted, features, encoding)[0], want[0], 4 * CLOSE[encoding])


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", ["d32", "d64-groups-of-3", "d96-no-groups", "d128-window"])
def test_decode_attention_rotates_appends_attends_and_packs(
    gpu_trial: Trial, name: str, encoding: str
) -> None:
    case: Case = CASES[name]
    rng, cols = np.random.default_rng(7), case.heads * case.head_dim
    rope = normal(rng, max(case.positions) + 1, case.head_dim)
    attrs: dict[str, Any] = {**case.attrs(gpu_trial), "window": case.window, "scale": 0.1}
    attrs |= {"encoding": encoding, "context": len(rope)}
    for pos in case.positions:
        table, keys, values = case.cache(rng, gpu_trial, pos + 1)
        # What lies in the slot to come, and beside it, is nobody's business.
        page, slot = table[pos // case.page_size], pos % case.page_size
        keys[page, :, slot], values[page, :, slot] = np.nan, np.nan
        if slot % 2 == 0:
            keys[page, :, slot + 1], values[page, :, slot + 1] = np.nan, np.nan
        qkv = normal(rng, 1, (case.heads + 2 * case.kv_heads) * case.head_dim)
        packed = np.zeros(packed_words(cols, encoding), np.uint32)
        arrays = [qkv, rope, table, keys, values, packed]
        got_keys, got_values, got = gpu_trial.run("decode_attention", arrays, attrs=attrs, pos=pos)
        want_keys, want_values, q = reference.rope_append(
            qkv, rope, table, keys, values, heads=case.heads, pos=pos
        )
        seen = ~np.isnan(want_keys)
        assert_close(got_keys[seen], want_keys[seen], gpu_trial.tolerance)
        assert_close(got_values[seen], want_values[seen], gpu_trial.tolerance)
        want = reference.attention(
            q, table, want_keys, want_values,
            heads=case.heads, window=case.window, scale=0.1, pos=pos,
        )  # fmt: skip
        row, _ = unpack_row(got, cols, encoding)
        assert_close(row, want[0], 1e-3 if gpu_trial.profile.f16 else 1e-4)


def test_a_matrix_in_parts_fills_one_row(gpu_trial: Trial) -> None:
    rng, cols, spans = np.random.default_rng(11), 96, ((0, 40), (40, 8), (48, 17))
    parts = [matrix(rng, "q4", rows, cols) for _, rows in spans]
    x, bias = normal(rng, 1, cols), normal(rng, 65)
    attrs: dict[str, Any] = {"scheme": "q4", "cols": cols, "out_cols": 65, "encoding": "i16"}
    attrs["bias"] = True
    attrs |= {"parts": ";".join(f"{s}:{r}" for s, r in spans), "results": "out"}
    arrays = [pack_row(x[0], None, "i16"), *(b for part in parts for b in part)]
    (got,) = gpu_trial.run("packed_matmul", [*arrays, bias, normal(rng, 1, 65)], attrs=attrs)
    weights = [reference.dequantize("q4", p, s[1], cols) for p, s in zip(parts, spans, strict=True)]
    assert_close(got, x @ np.concatenate(weights).T + bias, 1e-4)
