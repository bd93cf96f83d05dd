"""Layers that remember, against numpy: states taken up and left in their places of the ring."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hub.kernels import PROFILES, reference_linear_attention
from hub.linear_operators import PLACES
from runtime.plan import STATE_RING
from tests.hub.kernels.adapter_process import AdapterProcess
from tests.hub.kernels.conftest import params
from tests.hub.kernels.trial import Attrs, Trial, assert_close, normal

Array = NDArray[Any]
PAIRS = (("lavapipe", "base"), ("swiftshader", "base"), ("lavapipe", "software"))
"""The GPU profiles share one text: each text is tried on each driver once."""
CALLS = ((False, 1, 7), (True, 1, 0), (True, 2, 3), (True, 5, 11), (True, 35, 9))
"""(dynamic, n, pos): five tokens leave their state where they found it."""


@pytest.fixture(scope="module", params=params(PAIRS))
def trial(request: pytest.FixtureRequest, adapters: dict[str, AdapterProcess]) -> Trial:
    """A driver and a profile."""
    driver, profile = request.param
    return Trial(adapters[driver], PROFILES[profile])


def before(state: Array, pos: int) -> Array:
    """What a call at `pos` begins with."""
    found: Array = state[pos % STATE_RING] * np.float32(pos > 0)
    return found


def check_state(got: Array, state: Array, want: Array, place: int) -> None:
    assert_close(got[place], want, 1e-5)
    others = [i for i in range(PLACES) if i != place]
    assert np.array_equal(got[others], state[others])


def test_the_convolution_looks_back_to_what_it_holds(trial: Trial) -> None:
    rng, channels, width, kernel = np.random.default_rng(3), 72, 104, 4
    attrs: Attrs = {"channels": channels, "width": width, "kernel": kernel}
    for dynamic, n, pos in CALLS:
        x, weight = normal(rng, n, width), normal(rng, channels * kernel)
        state, out = normal(rng, PLACES, kernel - 1, channels), np.zeros((n, channels), np.float32)
        left, got = trial.run(
            "causal_conv", [x, weight, state, out], attrs=attrs, dynamic=dynamic, n=n, pos=pos
        )
        want, held = reference_linear_attention.causal_conv(
            x[:, :channels], weight.reshape(channels, kernel), before(state, pos)
        )
        assert_close(got, want, 1e-5)
        check_state(left, state, held, (pos + n) % STATE_RING)


@pytest.mark.parametrize(("dim", "values"), [(24, 40), (128, 128)])
def test_a_state_is_read_forgotten_and_corrected(trial: Trial, dim: int, values: int) -> None:
    rng, key_heads, heads = np.random.default_rng(dim), 2, 4
    attrs: Attrs = {
        "key_heads": key_heads,
        "value_heads": heads,
        "kernel": 4,
        "key_dim": dim,
        "value_dim": values,
    }
    for dynamic, n, pos in CALLS:
        mixed = normal(rng, n, 2 * key_heads * dim + heads * values)
        rates, decays = normal(rng, n, 2 * heads) * 3, normal(rng, 2 * heads) - 1
        state, out = normal(rng, PLACES, heads, dim, values), np.zeros((n, heads * values), "f4")
        arrays = [mixed, rates, decays, state, out]
        left, got = trial.run("delta_rule", arrays, attrs=attrs, dynamic=dynamic, n=n, pos=pos)
        want, after = reference_linear_attention.delta_rule(
            mixed, rates, decays, before(state, pos), key_heads=key_heads
        )
        assert_close(got, want, 1e-5)
        check_state(left, state, after, (pos + n) % STATE_RING)


def test_heads_are_normed_and_gated(trial: Trial) -> None:
    rng, heads, dim, start = np.random.default_rng(7), 3, 40, 16
    width = start + heads * dim
    attrs: Attrs = {"heads": heads, "dim": dim, "width": width, "start": start, "eps": 1e-5}
    for dynamic, n in ((False, 1), (True, 6)):
        x, gates, weight = normal(rng, n, heads * dim), normal(rng, n, width) * 9, normal(rng, dim)
        arrays = [x, gates, weight, np.zeros_like(x)]
        (got,) = trial.run("gated_norm", arrays, attrs=attrs, dynamic=dynamic, n=n)
        want = reference_linear_attention.gated_norm(x, gates[:, start:], weight, eps=1e-5)
        assert_close(got, want, 1e-5)
