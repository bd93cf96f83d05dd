"""`matmul` and `gate_up` against numpy, over shapes that do not fit their tiles."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub.kernels import LibraryKernel, reference
from hub.kernels.linear_tiles import MANY_ROWS, SOME_ROWS
from hub.kernels.reference_sampling import Sampler
from tests.hub.kernels.trial import (
    CALLS,
    FEW,
    WIDELY,
    Attrs,
    Trial,
    assert_close,
    matrix,
    normal,
)

GROUPS = st.integers(1, 5)
SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("scheme", WIDELY)
@FEW
@given(rows=st.integers(1, 140), groups=GROUPS, start=st.integers(0, 9), seed=SEEDS)
@example(rows=20, groups=199, start=0, seed=1)
@example(rows=37, groups=3, start=5, seed=4)
def test_matmul_writes_its_columns_and_no_others(
    trial: Trial, scheme: str, rows: int, groups: int, start: int, seed: int
) -> None:
    rng, rows = np.random.default_rng(seed), max(rows, trial.least_rows)
    cols, out_cols = 32 * groups, start + rows + 3
    buffers = matrix(rng, scheme, rows, cols)
    weight = reference.dequantize(scheme, buffers, rows, cols)
    attrs: Attrs = {
        "scheme": scheme,
        "rows": rows,
        "cols": cols,
        "start": start,
        "out_cols": out_cols,
        "epilogue": "add" if seed % 2 else "none",
    }
    bias = normal(rng, out_cols) if seed % 3 == 1 else None
    attrs = attrs if bias is None else {**attrs, "bias": True}
    activation, softcap = ("", "gelu", "gelu_tanh")[seed % 5 % 3], 3.0 if seed % 7 == 4 else 0.0
    attrs = {**attrs, **({"activation": activation} if activation else {})}
    attrs = {**attrs, **({"softcap": softcap} if softcap else {})}
    for dynamic, n in CALLS:
        x, out, residual = normal(rng, n, cols), normal(rng, n, out_cols), normal(rng, n, out_cols)
        added = residual if attrs["epilogue"] == "add" else None
        extra = [array for array in (bias, added) if array is not None]
        arrays = [x, *buffers, *extra, out]
        (got,) = trial.run("matmul", arrays, n=n, attrs=attrs, dynamic=dynamic)
        want = reference.matmul(
            x, weight, added, out, start=start, bias=bias, activation=activation, softcap=softcap
        )
        assert_close(got, want, trial.tolerance)


@pytest.mark.parametrize("scheme", WIDELY)
@FEW
@given(features=st.integers(1, 70), groups=GROUPS, seed=SEEDS)
def test_gate_up_multiplies_the_activated_half_with_the_other(
    trial: Trial, scheme: str, features: int, groups: int, seed: int
) -> None:
    rng, features = np.random.default_rng(seed), max(features, trial.least_rows)
    rows, cols = 2 * features, 32 * groups
    buffers = matrix(rng, scheme, rows, cols)
    weight = reference.dequantize(scheme, buffers, rows, cols)
    activation = "gelu_tanh" if seed % 2 else "silu"
    attrs: Attrs = {"scheme": scheme, "rows": rows, "cols": cols, "activation": activation}
    for dynamic, n in CALLS:
        x = normal(rng, n, cols)
        (got,) = trial.run(
            "gate_up", [x, *buffers, normal(rng, n, features)], n=n, attrs=attrs, dynamic=dynamic
        )
        want = reference.gate_up(x, weight, activation=activation)
        assert_close(got, want, trial.tolerance)


@pytest.mark.parametrize(
    ("least", "scheme", "gated"),
    [
        (SOME_ROWS, "q4", False),
        (SOME_ROWS, "q8", True),
        (MANY_ROWS, "q4", True),
        (MANY_ROWS, "f32", False),
    ],
)
def test_a_large_matrix_is_cut_into_larger_tiles(
    base_trial: Trial, least: int, scheme: str, gated: bool
) -> None:
    """The tiles of large matrices, over tokens and rows that do not fill them."""
    rng, rows, cols = np.random.default_rng(5), least + 38, 64
    outputs = rows // 2 if gated else rows
    buffers = matrix(rng, scheme, rows, cols)
    weight = reference.dequantize(scheme, buffers, rows, cols)
    common: Attrs = {"scheme": scheme, "rows": rows, "cols": cols}
    plain: Attrs = {**common, "start": 0, "out_cols": rows, "epilogue": "add"}
    for n in (1, 65, 130):
        x, residual, out = normal(rng, n, cols), normal(rng, n, outputs), normal(rng, n, outputs)
        if gated:
            want, arrays = reference.gate_up(x, weight), [x, *buffers, out]
        else:
            want = reference.matmul(x, weight, residual, out, start=0)
            arrays = [x, *buffers, residual, out]
        op, attrs = ("gate_up", {**common, "activation": "silu"}) if gated else ("matmul", plain)
        (got,) = base_trial.run(op, arrays, n=n, attrs=attrs, dynamic=True)
        assert_close(got, want, base_trial.tolerance)


def test_a_reduction_sees_nothing_of_an_earlier_kernel(trial: Trial) -> None:
    """wgpu on lavapipe left the workgroup memory of a sampler in place of zeros: a matmul that
    counted on zeros added another kernel's sums."""
    rng = np.random.default_rng(1)
    counts, token = np.zeros(4096, np.uint32), np.zeros(1, np.int32)
    x, buffers, out = normal(rng, 1, 96), matrix(rng, "q4", 70, 96), normal(rng, 1, 70)
    attrs: Attrs = {"scheme": "q4", "rows": 70, "cols": 96, "start": 0, "out_cols": 70}
    want = reference.matmul(x, reference.dequantize("q4", buffers, 70, 96), None, out, start=0)
    for _ in range(10):
        logits = [normal(rng, 4096), Sampler(top_k=3000).words(), counts, token]
        trial.run("sample", logits, attrs={"vocab": 4096})
        (got,) = trial.run("matmul", [x, *buffers, out], attrs={**attrs, "epilogue": "none"})
        assert_close(got, want, trial.tolerance)


def test_silu_of_large_magnitudes_is_finite(trial: Trial) -> None:
    buffers = (np.concatenate([np.full((1, 32), -40.0), np.ones((1, 32))]).astype(np.float32),)
    attrs: Attrs = {"scheme": "f32", "rows": 2, "cols": 32, "activation": "silu"}
    x = np.ones((1, 32), np.float32)
    (got,) = trial.run("gate_up", [x, *buffers, np.ones((1, 1), np.float32)], attrs=attrs)
    assert np.isfinite(got).all() and abs(got[0, 0]) < 1e-20


@pytest.mark.parametrize("scheme", WIDELY)
@FEW
@given(rows=st.integers(1, 90), start=st.integers(0, 40), seed=SEEDS)
def test_embedding_writes_only_the_rows_of_its_part(
    trial: Trial, scheme: str, rows: int, start: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    cols, total = 96, start + rows + 20
    buffers = matrix(rng, scheme, rows, cols)
    weight = reference.dequantize(scheme, buffers, rows, cols)
    attrs: Attrs = {"scheme": scheme, "rows": rows, "cols": cols, "start": start, "total": total}
    scale = 1.0 if seed % 2 else 7.5
    attrs = attrs if scale == 1 else {**attrs, "scale": scale}
    for dynamic, n in CALLS:
        ids, out = rng.integers(-5, total + 5, n).astype(np.int32), normal(rng, n, cols)
        (got,) = trial.run("embedding", [ids, *buffers, out], n=n, attrs=attrs, dynamic=dynamic)
        assert_close(
            got, reference.embedding(ids, weight, out, start=start, total=total, scale=scale), 1e-6
        )


@pytest.mark.parametrize("dynamic", [False, True], ids=["decode", "prefill"])
def test_a_kernel_with_a_wrong_zero_point_is_noticed(trial: Trial, dynamic: bool) -> None:
    """The comparison can fail: the same kernel with one constant changed does not pass it."""
    rng = np.random.default_rng(0)
    x, buffers, out = normal(rng, 1, 64), matrix(rng, "q4", 33, 64), normal(rng, 1, 33)
    attrs: Attrs = {
        "scheme": "q4",
        "rows": 33,
        "cols": 64,
        "start": 0,
        "out_cols": 33,
        "epilogue": "none",
    }
    kernel = trial.kernel("matmul", attrs, dynamic=dynamic)
    assert isinstance(kernel, LibraryKernel)
    broken = dataclasses.replace(kernel, wgsl=kernel.wgsl.replace("8.0", "7.0"))
    assert broken.wgsl != kernel.wgsl
    (got,) = trial.adapter.run(broken, [x, *buffers, out], {"n": 1})
    want = reference.matmul(x, reference.dequantize("q4", buffers, 33, 64), None, out, start=0)
    with pytest.raises(AssertionError, match="largest difference"):
        assert_close(got, want, trial.tolerance)
