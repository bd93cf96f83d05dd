"""Attention in both directions, and pooling, against numpy: texts of unequal lengths at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hub.encoder_operators import POOLINGS
from hub.kernels import PROFILES, reference_encoder
from tests.hub.kernels.adapter_process import AdapterProcess
from tests.hub.kernels.conftest import params
from tests.hub.kernels.trial import Attrs, Trial, assert_close, normal

Array = NDArray[Any]
LENGTHS = ((1,), (5, 1, 2), (70, 3, 64, 1))
PAIRS = (("lavapipe", "base"), ("swiftshader", "base"), ("lavapipe", "software"))
"""The GPU profiles share one text: each text is tried on each driver once."""


@pytest.fixture(scope="module", params=params(PAIRS))
def encoder_trial(request: pytest.FixtureRequest, adapters: dict[str, AdapterProcess]) -> Trial:
    """A driver and a profile."""
    driver, profile = request.param
    return Trial(adapters[driver], PROFILES[profile])


def laid_out(lengths: tuple[int, ...]) -> tuple[Array, Array]:
    """(spans, texts) of texts of these lengths, one behind the other."""
    ends = np.cumsum(lengths)
    texts = np.stack([ends - lengths, ends], axis=1).astype(np.int32)
    return np.repeat(texts, lengths, axis=0), texts


@pytest.mark.parametrize("head_dim", [32, 24])
def test_a_row_sees_its_own_text_and_no_other(encoder_trial: Trial, head_dim: int) -> None:
    rng, heads = np.random.default_rng(head_dim), 3
    attrs = {"heads": heads, "head_dim": head_dim, "scale": head_dim**-0.5}
    for lengths in LENGTHS:
        spans, _ = laid_out(lengths)
        n = len(spans)
        qkv = normal(rng, n, 3 * heads * head_dim) * 3
        out = np.zeros((n, heads * head_dim), np.float32)
        arrays = [qkv, spans, out]
        (got,) = encoder_trial.run("encoder_attention", arrays, n=n, attrs=attrs, dynamic=True)
        want = reference_encoder.encoder_attention(qkv, spans, heads=heads, scale=head_dim**-0.5)
        assert_close(got, want, 1e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_text_becomes_one_vector(encoder_trial: Trial, pooling: str) -> None:
    rng, normalized = np.random.default_rng(5), pooling != "max"
    attrs: Attrs = {"cols": 96, "pooling": pooling, "normalized": normalized}
    kernel = encoder_trial.kernel("pool", attrs, dynamic=True)
    _, texts = laid_out(LENGTHS[-1])
    x, out = normal(rng, int(texts[-1, 1]), 96), np.zeros((len(texts), 96), np.float32)
    symbols = {"n": len(x), "texts": len(texts)}
    (got,) = encoder_trial.adapter.run(kernel, [x, texts, out], symbols)
    want = reference_encoder.pool(x, texts, pooling=pooling, normalized=normalized)
    assert_close(got, want, 1e-6)
