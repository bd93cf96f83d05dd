"""Matrix products on subgroup matrices against numpy, in emulation: halves in, f32's accuracy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hub.kernels import KernelSequence, dispatches, linear_matrix, reference
from hub.kernels.linear_matrix import MatrixTile
from tests.hub.kernels.matrix_emulation import emulated
from tests.hub.kernels.trial import Attrs, Trial, assert_close, matrix, normal

CLOSE = 3e-6
"""What f32 sums in another order differ by; one product of halves is off by a hundred times it."""
TOKENS = (1, 17, 130)
CASES = {
    "q4": (37, 3, 5, ("bias", "add")),
    "q8": (130, 1, 0, ()),
    "q3": (37, 2, 0, ("add",)),
    "f16": (64, 5, 9, ("add",)),
    "f32": (1, 2, 0, ("bias",)),
}
"""rows, groups of 32 columns, first column of the result and what is added. Every other shape takes
a software driver seconds to compile."""


@pytest.mark.parametrize("scheme", CASES)
def test_matmul_has_the_accuracy_of_floats(matrix_trial: Trial, scheme: str) -> None:
    rows, groups, start, added = CASES[scheme]
    rng, cols, out_cols = np.random.default_rng(groups), 32 * groups, start + rows + 3
    buffers = matrix(rng, scheme, rows, cols)
    weight = reference.dequantize(scheme, buffers, rows, cols)
    attrs: Attrs = {"scheme": scheme, "rows": rows, "cols": cols, "start": start}
    attrs = {**attrs, "out_cols": out_cols, "bias": "bias" in added}
    attrs = {**attrs, "epilogue": "add" if "add" in added else "none"}
    for n in TOKENS:
        x, out = normal(rng, n, cols), normal(rng, n, out_cols)
        bias = normal(rng, out_cols) if "bias" in added else None
        residual = normal(rng, n, out_cols) if "add" in added else None
        extra = [array for array in (bias, residual) if array is not None]
        (got,) = matrix_trial.run(
            "matmul", [x, *buffers, *extra, out], n=n, attrs=attrs, dynamic=True
        )
        want = reference.matmul(x, weight, residual, out, start=start, bias=bias)
        assert_close(got, want, CLOSE)


@pytest.mark.parametrize(("scheme", "features"), [("q4", 35), ("f16", 16)])
def test_gate_up_has_the_accuracy_of_floats(
    matrix_trial: Trial, scheme: str, features: int
) -> None:
    rng, rows, cols = np.random.default_rng(features), 2 * features, 96
    buffers = matrix(rng, scheme, rows, cols)
    weight = reference.dequantize(scheme, buffers, rows, cols)
    attrs: Attrs = {"scheme": scheme, "rows": rows, "cols": cols, "activation": "silu"}
    for n in TOKENS:
        x, out = normal(rng, n, cols), normal(rng, n, features)
        (got,) = matrix_trial.run("gate_up", [x, *buffers, out], n=n, attrs=attrs, dynamic=True)
        assert_close(got, reference.gate_up(x, weight), CLOSE)


@pytest.mark.parametrize("gated", [False, True], ids=["matmul", "gate_up"])
def test_tokens_that_fill_large_tiles_go_into_them(
    matrix_trial: Trial, gated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large matrix takes tokens by large tiles, and what is left by small ones (both
    smaller here than elsewhere: the full ones take half a minute to compile)."""
    monkeypatch.setattr(linear_matrix, "LARGE", MatrixTile(tokens=64, rows=32, deep=1, wide=2))
    monkeypatch.setattr(linear_matrix, "SMALL", MatrixTile(tokens=32, rows=32, deep=1, wide=2))
    monkeypatch.setattr(linear_matrix, "MANY_ROWS", 32)
    monkeypatch.setattr(linear_matrix, "MANY_COLS", 16 if gated else 64)
    rng, rows, cols = np.random.default_rng(4), 42, 64
    outputs = rows // 2 if gated else rows
    buffers = matrix(rng, "q4", rows, cols)
    weight = reference.dequantize("q4", buffers, rows, cols)
    common: Attrs = {"scheme": "q4", "rows": rows, "cols": cols}
    plain: Attrs = {**common, "start": 0, "out_cols": rows, "epilogue": "none"}
    op, attrs = ("gate_up", {**common, "activation": "silu"}) if gated else ("matmul", plain)
    for n in (5, 64, 170):
        x, out = normal(rng, n, cols), normal(rng, n, outputs)
        (got,) = matrix_trial.run(op, [x, *buffers, out], n=n, attrs=attrs, dynamic=True)
        whole = reference.matmul(x, weight, None, normal(rng, n, rows), start=0)
        assert_close(got, reference.gate_up(x, weight) if gated else whole, CLOSE)


@pytest.mark.parametrize("exponent", [-30, -5, 6, 30])
def test_tokens_of_any_magnitude_fit_into_halves(matrix_trial: Trial, exponent: int) -> None:
    """The largest half is 65504: a model's outliers pass it, and its quiet rows lie far below."""
    rng, rows, cols = np.random.default_rng(2), 20, 64
    buffers = matrix(rng, "q8", rows, cols)
    weight = reference.dequantize("q8", buffers, rows, cols)
    attrs: Attrs = {"scheme": "q8", "rows": rows, "cols": cols, "start": 0, "out_cols": rows}
    x = (normal(rng, 3, cols) * 10.0**exponent).astype(np.float32)
    x[1] = 0
    out = normal(rng, 3, rows)
    (got,) = matrix_trial.run(
        "matmul", [x, *buffers, out], n=3, attrs={**attrs, "epilogue": "none"}, dynamic=True
    )
    assert_close(got, reference.matmul(x, weight, None, out, start=0), CLOSE)


def test_a_product_without_the_lower_halves_does_not_pass(matrix_trial: Trial) -> None:
    """The comparison can fail: one product in place of three is not f32's."""
    rng, rows, cols = np.random.default_rng(0), 64, 256
    buffers, x, out = matrix(rng, "q4", rows, cols), normal(rng, 16, cols), normal(rng, 16, rows)
    attrs: Attrs = {"scheme": "q4", "rows": rows, "cols": cols, "start": 0, "out_cols": rows}
    kernel = matrix_trial.kernel("matmul", {**attrs, "epilogue": "none"}, dynamic=True)
    assert isinstance(kernel, KernelSequence)
    halves, product = kernel.kernels
    rounded = product[0].wgsl.replace("value - most", "value - value")
    assert rounded != product[0].wgsl
    broken = dataclasses.replace(product[0], wgsl=rounded)
    (got,) = matrix_trial.adapter.run(
        dataclasses.replace(kernel, kernels=(halves, (broken, product[1]))),
        [x, *buffers, out],
        {"n": 16},
    )
    want = reference.matmul(x, reference.dequantize("q4", buffers, rows, cols), None, out, start=0)
    with pytest.raises(AssertionError, match="largest difference"):
        assert_close(got, want, CLOSE)


def test_the_emulation_knows_every_builtin(matrix_trial: Trial) -> None:
    attrs: Attrs = {"scheme": "q4", "rows": 64, "cols": 64, "activation": "silu"}
    kernel = matrix_trial.kernel("gate_up", attrs, dynamic=True)
    halves, product = (part.wgsl for part in dispatches(kernel))
    assert emulated(halves) == halves
    assert "subgroupMatrix" in product and "subgroupMatrix" not in emulated(product)
