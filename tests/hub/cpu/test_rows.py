"""Norms and rotation on the processor against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hub.cpu.kernels import CpuProfile
from hub.kernels import Op, reference
from tests.hub.cpu.kernel_trial import Trial
from tests.hub.kernels.trial import normal

EPS = 1e-5
NORMS = [
    Op("rms_norm", {"cols": 12, "eps": EPS, "n": "n"}),
    Op("rms_norm", {"cols": 36, "eps": EPS, "n": "n", "residual": True}),
    Op("layer_norm", {"cols": 20, "eps": EPS, "n": "n"}),
]
HEADS: dict[str, Any] = {"heads": 4, "kv_heads": 2, "head_dim": 16, "kv_dtype": "f32"}
HEADS |= {"page_size": 8, "context": 64, "n": "n"}
TURNED: dict[str, dict[str, Any]] = {
    "whole": {},
    "part": {"rotary": 8, "table": 16},
    "none": {"rotary": 0, "table": 0},
    "head": {"qk_norm": "head", "eps": EPS},
    "row": {"qk_norm": "row", "eps": EPS},
    "layer": {"qk_norm": "layer", "eps": EPS},
    "layers": {"qk_norm": "layers", "eps": EPS, "rotary": 8, "table": 8},
    "growth": {"growth": 0.1, "every": 5},
}
BATCH = {"seats": 4, "stride": 2}


@pytest.fixture(scope="module")
def trial() -> Trial:
    turned = [Op("rope_append", {**HEADS, **attrs}) for attrs in TURNED.values()]
    batch = Op("rope_append_rows", {**HEADS, **BATCH})
    return Trial([*NORMS, *turned, batch], CpuProfile())


@pytest.mark.parametrize("op", NORMS, ids=["rms", "rms and residual", "layer"])
def test_a_norm_is_numpys(trial: Trial, op: Op) -> None:
    rng, cols = np.random.default_rng(0), op.integer("cols")
    x, weight, extra, out = (normal(rng, *s) for s in ((5, cols), (cols,), (5, cols), (5, cols)))
    if op.name == "layer_norm":
        arrays, want = [x, weight, extra[0], out], None
        want = reference.layer_norm(x, weight, extra[0], eps=EPS)
    else:
        residual = extra if op.attrs.get("residual") else None
        arrays = [x, weight, *([extra] if residual is not None else []), out]
        want = reference.rms_norm(x, weight, eps=EPS, residual=residual)
    assert np.abs(trial.run(op, arrays, n=5)[-1] - want).max() < 2e-6


def _gains(rng: np.random.Generator, norm: str) -> tuple[Any, ...]:
    sizes = {"head": (16, 16), "layer": (32, 32), "row": (64, 32), "layers": (64, 32), "": ()}
    return tuple(normal(rng, size) for size in sizes[norm])


@pytest.mark.parametrize("name", TURNED)
def test_heads_are_normed_turned_and_appended_as_in_numpy(trial: Trial, name: str) -> None:
    rng, attrs = np.random.default_rng(1), {**HEADS, **TURNED[name]}
    qkv, table = normal(rng, 7, 8 * 16), rng.permutation(4).astype(np.int32)
    width = attrs.get("table", 16)
    rope = normal(rng, 64, width) if width else None
    gains = _gains(rng, attrs.get("qk_norm", ""))
    keys, values = (normal(rng, 4, 2, 8, 16) for _ in range(2))
    given = [array for array in (qkv, rope, *gains) if array is not None]
    q = np.zeros((7, 64), np.float32)
    got = trial.run(Op("rope_append", attrs), [*given, table, keys, values, q], n=7, pos=13)
    rotary = attrs.get("rotary", 16)
    # The first columns of each half of a wider table are those of the rotated elements.
    seen = None if rope is None else np.split(rope, 2, axis=1)
    columns = None if seen is None else np.concatenate([h[:, : rotary // 2] for h in seen], axis=1)
    want = reference.rope_append(
        qkv, columns, table, keys, values, heads=4, pos=13, rotary=rotary, gains=gains,
        qk_norm=attrs.get("qk_norm", ""), eps=EPS, growth=attrs.get("growth", 0.0),
        every=attrs.get("every", 1),
    )  # fmt: skip
    for found, expected in zip(got[-3:], want, strict=True):
        assert np.abs(found - expected).max() < 5e-6


def test_tokens_of_different_sequences_are_appended_to_their_own(trial: Trial) -> None:
    rng = np.random.default_rng(2)
    positions = np.array([3, 8, 0, 15], np.int32)
    pages = np.arange(8, dtype=np.int32)[::-1].reshape(4, 2)
    qkv, rope = normal(rng, 4, 8 * 16), normal(rng, 64, 16)
    keys, values = (normal(rng, 8, 2, 8, 16) for _ in range(2))
    table = np.concatenate([positions, pages.ravel()]).astype(np.int32)
    op = Op("rope_append_rows", {**HEADS, **BATCH})
    q = np.zeros((4, 64), np.float32)
    got = trial.run(op, [qkv, rope, table, keys, values, q], n=4)[-3:]
    for i, pos in enumerate(positions):
        keys, values, one = reference.rope_append(
            qkv[i : i + 1], rope, pages[i], keys, values, heads=4, pos=int(pos)
        )
        assert np.abs(got[2][i] - one[0]).max() < 5e-6, i
    assert np.abs(got[0] - keys).max() < 5e-6 and (got[1] == values).all()
