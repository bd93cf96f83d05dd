"""Every kernel that reads a matrix, on `q3`: words of three bits, the fourth one spread over bits.

What else these kernels do is the same for every scheme and is tried with the others.
"""

from __future__ import annotations

import numpy as np
import pytest

from hub.kernels import reference
from hub.kernels.reference_packed import pack_row
from tests.hub.kernels.test_packed import CLOSE
from tests.hub.kernels.trial import Array, Attrs, Trial, assert_close, matrix, normal

ROWS, COLS = 38, 160
ON = pytest.mark.parametrize(
    "trial",
    [
        pytest.param(("lavapipe", name), id=name, marks=pytest.mark.gpu)
        for name in ("software", "base")
    ],
    indirect=True,
)


def operands(n: int) -> tuple[list[Array], Array]:
    """x and the buffers of a matrix, and the matrix they stand for."""
    rng = np.random.default_rng(n)
    buffers = matrix(rng, "q3", ROWS, COLS)
    return [normal(rng, n, COLS), *buffers], reference.dequantize("q3", buffers, ROWS, COLS)


@ON
def test_products_of_one_token_and_of_many(trial: Trial) -> None:
    plain: Attrs = {"scheme": "q3", "rows": ROWS, "cols": COLS, "start": 0, "out_cols": ROWS}
    gated: Attrs = {"scheme": "q3", "rows": ROWS, "cols": COLS, "activation": "silu"}
    for n in (1, 35):
        arrays, weight = operands(n)
        out = np.zeros((n, ROWS), np.float32)
        attrs = {**plain, "epilogue": "none"}
        (got,) = trial.run("matmul", [*arrays, out], n=n, attrs=attrs, dynamic=n > 1)
        assert_close(got, reference.matmul(arrays[0], weight, None, out, start=0), trial.tolerance)
        half = np.zeros((n, ROWS // 2), np.float32)
        (got,) = trial.run("gate_up", [*arrays, half], n=n, attrs=gated, dynamic=n > 1)
        assert_close(got, reference.gate_up(arrays[0], weight), trial.tolerance)


@ON
def test_rows_by_token(trial: Trial) -> None:
    (_, *buffers), weight = operands(3)
    ids, out = np.array([0, 37, 21], np.int32), np.zeros((3, COLS), np.float32)
    attrs: Attrs = {"scheme": "q3", "rows": ROWS, "cols": COLS, "start": 0, "total": ROWS}
    (got,) = trial.run("embedding", [ids, *buffers, out], n=3, attrs=attrs, dynamic=True)
    assert_close(got, weight[ids], 1e-6)


@pytest.mark.parametrize("encoding", CLOSE)
def test_packed_rows(base_trial: Trial, encoding: str) -> None:
    (x, *buffers), weight = operands(1)
    packed = pack_row(x[0], None, encoding)
    common: Attrs = {"scheme": "q3", "cols": COLS, "encoding": encoding, "results": "out"}
    plain: Attrs = {**common, "parts": f"0:{ROWS}", "out_cols": ROWS, "epilogue": "none"}
    out, half = np.zeros((1, ROWS), np.float32), np.zeros((1, ROWS // 2), np.float32)
    (got,) = base_trial.run("packed_matmul", [packed, *buffers, out], attrs=plain)
    assert_close(got, reference.matmul(x, weight, None, out, start=0), CLOSE[encoding])
    gated: Attrs = {**common, "rows": ROWS, "activation": "silu"}
    (got,) = base_trial.run("packed_gate_up", [packed, *buffers, half], attrs=gated)
    assert_close(got, reference.gate_up(x, weight), CLOSE[encoding])
