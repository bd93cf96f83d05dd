"""`matmul` and `gate_up` of the processor against numpy, over shapes that do not fit their blocks.

Rows that are rounded to int8 are rounded in numpy as well: what is left is the order of sums.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub.cpu.kernels import CpuProfile
from hub.cpu.kernels.rounded_product import takes_bytes
from hub.kernels import Op, reference
from hub.schemes import SCHEMES
from tests.hub.cpu.kernel_trial import Array, Trial
from tests.hub.kernels.trial import Attrs, matrix, normal

PROFILES = {
    "rounded": CpuProfile(),
    "rounded relaxed": CpuProfile(relaxed=True),
    "exact": CpuProfile(exact=True),
}
SHAPE: Attrs = {"rows": 4, "cols": 32, "start": 0, "out_cols": 4}
ENDINGS: tuple[Attrs, ...] = (
    {"epilogue": "none"},
    {"epilogue": "add", "bias": True, "activation": "gelu", "softcap": 3.0},
)
GATED: Attrs = {"rows": 8, "cols": 32, "activation": "silu"}


def rounded(x: Array) -> Array:
    """`x` with groups of 32 columns on a grid of 255 values."""
    groups = x.reshape(len(x), -1, 32)
    step = np.abs(groups).max(axis=2, keepdims=True) / np.float32(127)
    found: Array = np.rint(groups / np.where(step > 0, step, 1)) * step
    return found.reshape(x.shape)


def assert_near(got: Array, want: Array) -> None:
    error, size = np.abs(got - want), np.abs(want).max() + 1
    assert error.max() <= 3e-6 * size, (
        error.max(),
        size,
        np.unravel_index(error.argmax(), got.shape),
    )


WAYS = [
    (scheme, profile)
    for scheme in SCHEMES
    for profile in PROFILES
    if profile == "exact" or takes_bytes(scheme, relaxed=True) or profile == "rounded"
    if SCHEMES[scheme].group or profile == "exact"
]


@pytest.fixture(scope="module", params=WAYS, ids=str)
def trial(request: pytest.FixtureRequest) -> tuple[str, str, Trial]:
    scheme, profile = request.param
    ops = [
        Op(name, {"scheme": scheme, "n": n, **attrs})
        for n in (1, "n")
        for name, attrs in (
            *(("matmul", {**SHAPE, **ending}) for ending in ENDINGS),
            ("gate_up", GATED),
        )
    ]
    return scheme, profile, Trial(ops, PROFILES[profile])


SHAPES = {"rows": st.integers(1, 19), "groups": st.integers(1, 9), "n": st.integers(2, 18)}
FEW = settings(max_examples=2, deadline=None)


@FEW
@given(**SHAPES, start=st.integers(0, 5), seed=st.integers(0, 99))
@example(rows=9, groups=4, n=9, start=3, seed=0)
def test_a_product_is_numpys_and_writes_its_columns_alone(
    trial: tuple[str, str, Trial], rows: int, groups: int, n: int, start: int, seed: int
) -> None:
    scheme, profile, run = trial
    rng = np.random.default_rng(seed)
    cols, out_cols = 32 * groups, start + rows + 2
    buffers = matrix(rng, scheme, rows, cols)
    weight = reference.dequantize(scheme, buffers, rows, cols)
    shape: Attrs = {"rows": rows, "cols": cols, "start": start, "out_cols": out_cols}
    for ending in ENDINGS:
        for many in (False, True):
            x, out, residual = (
                normal(rng, n if many else 1, k) for k in (cols, out_cols, out_cols)
            )
            bias = normal(rng, out_cols)
            x[:, :32] = 0
            full = ending["epilogue"] == "add"
            extra = [bias, residual] if full else []
            op = Op("matmul", {"scheme": scheme, "n": "n" if many else 1, **shape, **ending})
            got = run.run(op, [x, *buffers, *extra, out], n=len(x))[-1]
            seen = x if profile == "exact" else rounded(x)
            want = reference.matmul(
                seen, weight, residual if full else None, out, start=start,
                bias=bias if full else None, activation=str(ending.get("activation", "")),
                softcap=float(ending.get("softcap", 0.0)),
            )  # fmt: skip
            assert_near(got, want)


@FEW
@given(**SHAPES, seed=st.integers(0, 99))
@example(rows=6, groups=5, n=8, seed=1)
def test_a_gated_product_is_numpys(
    trial: tuple[str, str, Trial], rows: int, groups: int, n: int, seed: int
) -> None:
    scheme, profile, run = trial
    rng = np.random.default_rng(seed)
    cols = 32 * groups
    buffers = matrix(rng, scheme, 2 * rows, cols)
    weight = reference.dequantize(scheme, buffers, 2 * rows, cols)
    for many in (False, True):
        x, out = normal(rng, n if many else 1, cols), normal(rng, n if many else 1, rows)
        attrs: Attrs = {**GATED, "rows": 2 * rows, "cols": cols, "scheme": scheme}
        op = Op("gate_up", {**attrs, "n": "n" if many else 1})
        got = run.run(op, [x, *buffers, out], n=len(x), parts=3)[-1]
        seen = x if profile == "exact" else rounded(x)
        assert_near(got, reference.gate_up(seen, weight))
