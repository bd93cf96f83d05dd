"""`mask` against numpy."""

from __future__ import annotations

import numpy as np
import pytest

from hub.kernels import reference_mask as reference
from hub.kernels.mask import LEAST
from tests.hub.kernels.trial import Trial, normal


@pytest.mark.parametrize("vocab", [5, 3000])
def test_forbidden_logits_become_the_least_and_no_others_change(
    base_trial: Trial, vocab: int
) -> None:
    rng = np.random.default_rng(vocab)
    logits = normal(rng, vocab)
    allowed = rng.integers(0, 2**32, -(-vocab // 32), dtype=np.uint32)
    (masked,) = base_trial.run("mask", [allowed, logits], attrs={"vocab": vocab})
    want = reference.mask(allowed, logits)
    assert (masked == want).all()
    assert (masked == np.float32(LEAST)).any() and (masked == logits).any()
