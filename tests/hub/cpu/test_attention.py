"""Attention of the processor against numpy: windows, soft caps, pages in any order."""

from __future__ import annotations

import numpy as np
import pytest

from hub.cpu.kernels import CpuProfile
from hub.kernels import Op, reference
from hub.kernels.reference_encoder import encoder_attention
from tests.hub.cpu.kernel_trial import Trial
from tests.hub.kernels.trial import Attrs, normal

HEADS: Attrs = {"heads": 6, "kv_heads": 2, "head_dim": 12, "page_size": 16, "kv_dtype": "f32"}
PLAIN: Attrs = {**HEADS, "window": 0, "scale": 0.3}
CAPPED: Attrs = {**HEADS, "window": 7, "scale": 0.5, "softcap": 2.0}
BATCH: Attrs = {**PLAIN, "seats": 5, "stride": 3}
TEXTS: Attrs = {"heads": 3, "head_dim": 8, "scale": 0.4, "n": "n"}
CASES = [PLAIN, CAPPED]


@pytest.fixture(scope="module")
def trial() -> Trial:
    ops = [Op("attention", {**case, "n": "n"}) for case in CASES]
    ops += [Op("attention_rows", {**BATCH, "n": "n"}), Op("encoder_attention", TEXTS)]
    return Trial(ops, CpuProfile())


@pytest.mark.parametrize("attrs", CASES, ids=["plain", "window and soft cap"])
@pytest.mark.parametrize(("n", "pos"), [(1, 0), (1, 40), (5, 13), (17, 0)])
def test_attention_is_numpys(trial: Trial, attrs: Attrs, n: int, pos: int) -> None:
    rng = np.random.default_rng(n + pos)
    table = rng.permutation(5).astype(np.int32)[: -(-(pos + n) // 16)]
    keys, values = (normal(rng, 5, 2, 16, 12) for _ in range(2))
    q, out = normal(rng, n, 72), np.zeros((n, 72), np.float32)
    op = Op("attention", {**attrs, "n": 1 if n == 1 else "n"})
    got = trial.run(op, [q, table, keys, values, out], n=n, pos=pos)[-1]
    want = reference.attention(
        q, table, keys, values, heads=6, window=int(attrs["window"]), scale=float(attrs["scale"]),
        pos=pos, softcap=float(attrs.get("softcap", 0.0)),
    )  # fmt: skip
    error = np.abs(got - want).max()
    assert error < 2e-6, error


def test_tokens_of_different_sequences_attend_to_their_own(trial: Trial) -> None:
    rng = np.random.default_rng(7)
    positions = np.array([0, 33, 15, 47, 16], np.int32)
    pages = np.stack([rng.permutation(6)[:3] for _ in positions]).astype(np.int32)
    keys, values = (normal(rng, 6, 2, 16, 12) for _ in range(2))
    q, out = normal(rng, 5, 72), np.zeros((5, 72), np.float32)
    table = np.concatenate([positions, pages.ravel()])
    op = Op("attention_rows", {**BATCH, "n": "n"})
    got = trial.run(op, [q, table, keys, values, out], n=5)[-1]
    for i, pos in enumerate(positions):
        want = reference.attention(
            q[i : i + 1], pages[i], keys, values, heads=6, window=0, scale=0.3, pos=int(pos)
        )
        assert np.abs(got[i] - want[0]).max() < 2e-6, i


def test_rows_of_a_text_attend_to_all_of_it(trial: Trial) -> None:
    rng = np.random.default_rng(3)
    lengths = [1, 16, 5, 35]
    ends = np.cumsum(lengths)
    spans = np.repeat(np.stack([ends - lengths, ends], axis=1), lengths, axis=0).astype(np.int32)
    n = int(ends[-1])
    qkv, out = normal(rng, n, 72), np.zeros((n, 24), np.float32)
    got = trial.run(Op("encoder_attention", TEXTS), [qkv, spans, out], n=n)[-1]
    want = encoder_attention(qkv, spans, heads=3, scale=0.4)
    assert np.abs(got - want).max() < 2e-6
