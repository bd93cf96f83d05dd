"""Kernels of a mixture of experts against numpy, over shapes that do not fit their tiles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub.kernels import PROFILES, Op, dispatches, kernel_for, reference, reference_experts
from hub.kernels.experts import PAIRS
from hub.schemes import SCHEMES
from tests.hub.kernels.adapter_process import AdapterProcess
from tests.hub.kernels.trial import FEW, Array, Attrs, Trial, assert_close, matrix, normal

SEEDS = st.integers(0, 2**32 - 1)
SOME_CALLS = ((False, 1), (True, 1), (True, 33), (True, 70))
CASES = [("lavapipe", "base", scheme) for scheme in SCHEMES]
CASES += [("lavapipe", "software", "f32"), ("lavapipe", "software", "q4")]
CASES += [("lavapipe", "f16+subgroups", "q4"), ("swiftshader", "base", "q4")]


@pytest.fixture(
    scope="session",
    params=[pytest.param(case, id="-".join(case), marks=pytest.mark.gpu) for case in CASES],
)
def case(request: pytest.FixtureRequest, adapters: dict[str, AdapterProcess]) -> tuple[Trial, str]:
    """A device and a scheme: all schemes once, each way to compute once, one on both drivers.

    Processors read weights by the macro that tiles read them by.
    """
    driver, profile, scheme = request.param
    return Trial(adapters[driver], PROFILES[profile]), scheme


def some_ids(rng: np.random.Generator, n: int, total: int, top: int) -> Array:
    """i32[n, top]: different experts for each token, and a favourite that fills a tile."""
    ids = np.argsort(rng.random((n, total)) - (np.arange(total) == 1), axis=1)[:, :top]
    return ids.astype(np.int32)


def spoilt(scheme: str, buffers: tuple[Array, ...], ids: Array, start: int) -> tuple[Array, ...]:
    """The matrix of four experts with no numbers in those that nobody chose."""
    if scheme != "f32":
        return buffers
    (values,) = buffers
    experts = np.array_split(values.copy(), 4)
    for index, rows in enumerate(experts):
        if start + index not in ids:
            rows[:] = np.nan
    return (np.concatenate(experts),)


@FEW
@given(total=st.integers(1, 200), top=st.integers(1, 9), seed=SEEDS)
@example(total=130, top=8, seed=1)
def test_route_takes_the_largest_logits_and_their_shares(
    trial: Trial, total: int, top: int, seed: int
) -> None:
    rng, top = np.random.default_rng(seed), min(top, total)
    attrs: Attrs = {"total": total, "top": top} | ({"renormalize": True} if seed % 2 else {})
    for dynamic, n in SOME_CALLS[:3]:
        logits = np.round(2 * normal(rng, n, total), 1)
        arrays = [logits, np.zeros((n, top), np.int32), normal(rng, n, top)]
        ids, shares = trial.run("route", arrays, n=n, attrs=attrs, dynamic=dynamic)
        want = reference_experts.route(logits, top=top, renormalize=bool(seed % 2))
        assert (ids == want[0]).all()
        assert_close(shares, want[1], 1e-5)


def test_route_names_experts_that_exist_whatever_the_logits_are(trial: Trial) -> None:
    logits = np.array([[np.nan, 1, np.inf, -np.inf, np.nan]], np.float32)
    arrays = [logits, np.zeros((1, 5), np.int32), np.zeros((1, 5), np.float32)]
    ids, _ = trial.run("route", arrays, attrs={"total": 5, "top": 5})
    assert sorted(ids[0].tolist()) == [0, 1, 2, 3, 4]
    assert ids[0].tolist()[:2] == [2, 1]


@FEW
@given(features=st.integers(1, 5), groups=st.integers(1, 4), seed=SEEDS)
def test_expert_gate_up_writes_the_chosen_experts_of_its_part(
    case: tuple[Trial, str], features: int, groups: int, seed: int
) -> None:
    trial, scheme = case
    rng, cols, features = np.random.default_rng(seed), 32 * groups, 8 * features + 4
    experts, start, top = 4, seed % 3, 3
    rows = experts * 2 * features
    buffers = matrix(rng, scheme, rows, cols)
    weight = reference.dequantize(scheme, buffers, rows, cols).reshape(experts, -1, cols)
    attrs: Attrs = {"scheme": scheme, "features": features, "cols": cols, "start": start}
    attrs = {**attrs, "experts": experts, "top": top, "activation": "silu"}
    for dynamic, n in SOME_CALLS:
        x, ids = normal(rng, n, cols), some_ids(rng, n, experts + 3, top)
        out = normal(rng, n, top * features)
        arrays = [x, ids, *spoilt(scheme, buffers, ids, start), out]
        (got,) = trial.run("expert_gate_up", arrays, n=n, attrs=attrs, dynamic=dynamic)
        want = reference_experts.expert_gate_up(x, ids, weight, out, start=start)
        assert_close(got, want, trial.tolerance)


@FEW
@given(quads=st.integers(1, 40), groups=st.integers(1, 4), seed=SEEDS)
def test_expert_down_adds_what_its_part_gives_by_shares(
    case: tuple[Trial, str], quads: int, groups: int, seed: int
) -> None:
    trial, scheme = case
    rng, rows, features = np.random.default_rng(seed), 4 * quads, 32 * groups
    experts, start, top = 4, seed % 3, 3
    buffers = matrix(rng, scheme, experts * rows, features)
    weight = reference.dequantize(scheme, buffers, experts * rows, features)
    weight = weight.reshape(experts, rows, features)
    adds = seed % 2 == 0
    attrs: Attrs = {"scheme": scheme, "rows": rows, "features": features, "start": start}
    attrs = {**attrs, "experts": experts, "top": top, "epilogue": "add" if adds else "accumulate"}
    for dynamic, n in SOME_CALLS:
        hidden, ids = normal(rng, n, top * features), some_ids(rng, n, experts + 3, top)
        shares, before = rng.random((n, top)).astype(np.float32), normal(rng, n, rows)
        extra = [before, normal(rng, n, rows)] if adds else [before]
        arrays = [hidden, ids, shares, *spoilt(scheme, buffers, ids, start), *extra]
        (got,) = trial.run("expert_down", arrays, n=n, attrs=attrs, dynamic=dynamic)
        want = reference_experts.expert_down(hidden, ids, shares, weight, before, start=start)
        assert_close(got, want, trial.tolerance)


def test_a_favourite_expert_fills_tiles(base_trial: Trial) -> None:
    """Every token's first choice is one expert: more choices than a tile takes, all in order."""
    rng, experts, features, cols, n = np.random.default_rng(3), 40, 36, 64, 3 * PAIRS.tokens + 5
    buffers = matrix(rng, "q4", experts * 2 * features, cols)
    weight = reference.dequantize("q4", buffers, experts * 2 * features, cols)
    weight = weight.reshape(experts, 2 * features, cols)
    x, out = normal(rng, n, cols), normal(rng, n, 2 * features)
    ids = np.stack([np.full(n, 39), rng.integers(0, 39, n)], axis=1).astype(np.int32)
    attrs: Attrs = {"scheme": "q4", "features": features, "cols": cols, "start": 0, "top": 2}
    attrs = {**attrs, "experts": experts, "activation": "silu"}
    arrays = [x, ids, *buffers, out]
    (got,) = base_trial.run("expert_gate_up", arrays, n=n, attrs=attrs, dynamic=True)
    want = reference_experts.expert_gate_up(x, ids, weight, out, start=0)
    assert_close(got, want, base_trial.tolerance)


def test_profiles_share_the_texts() -> None:
    """What is tried on one profile of each pair holds for the other."""
    common: Attrs = {"scheme": "q4", "features": 64, "start": 0, "experts": 8, "top": 2}
    ops = [
        Op("route", {"total": 8, "top": 2}),
        Op("expert_gate_up", {**common, "cols": 64, "activation": "silu"}),
        Op("expert_down", {**common, "rows": 64, "epilogue": "add"}),
    ]
    for op in (*ops, *(Op(op.name, {**op.attrs, "n": "n"}) for op in ops)):
        for one, other in (("base", "f16"), ("f16+subgroups", "matrix")):
            texts = []
            for name in (one, other):
                kernel = kernel_for(op, PROFILES[name])
                assert kernel is not None
                texts.append([k.wgsl.replace(f"[{name}]", "") for k in dispatches(kernel)])
            assert texts[0] == texts[1], op
