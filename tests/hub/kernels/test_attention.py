"""`rope_append` and `attention` against numpy, over permuted pages, windows and long positions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hub.kernels import PROFILES, Op, dispatches, kernel_for, reference
from tests.hub.kernels.conftest import PAIRS, params
from tests.hub.kernels.trial import CALLS, FEW, Trial, assert_close, normal

Array = NDArray[Any]
CACHES = params(pair for pair in PAIRS if pair[1] != "f16+subgroups")
"""A profile for each type of cache, on each driver: one stands for all with a cache in halves."""


@dataclass(frozen=True, slots=True)
class Case:
    """A shape of attention; `slack` pages lie unused between the sequence's own."""

    head_dim: int
    heads: int
    kv_heads: int
    page_size: int = 16
    window: int = 0
    positions: tuple[int, ...] = (0, 1, 63)
    slack: int = 3

    def attrs(self, trial: Trial) -> dict[str, int | float | str]:
        return {
            "heads": self.heads,
            "kv_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "page_size": self.page_size,
            "kv_dtype": trial.kv_dtype,
        }

    def cache(self, rng: np.random.Generator, trial: Trial, tokens: int) -> tuple[Array, ...]:
        """(page_table, k_cache, v_cache) for `tokens` positions, the pages in random order."""
        needed = -(-tokens // self.page_size)
        pages = needed + self.slack
        table = rng.permutation(pages)[:needed].astype(np.int32)
        dtype = np.float16 if trial.profile.f16 else np.float32
        shape = (pages, self.kv_heads, self.page_size, self.head_dim)
        return table, normal(rng, *shape).astype(dtype), normal(rng, *shape).astype(dtype)


CASES = {
    "d32": Case(32, 4, 2),
    "d64-groups-of-3": Case(64, 6, 2, positions=(0, 63, 700)),
    "d96-no-groups": Case(96, 3, 3, page_size=32),
    "d128-window": Case(128, 4, 1, window=50, positions=(0, 20, 300)),
    "d256-groups-of-5": Case(256, 5, 1, page_size=8, window=7, positions=(5, 40)),
    "d20-groups-of-8": Case(20, 8, 1),
    "d80-groups-of-7": Case(80, 7, 1, positions=(0, 33)),
    "d112-window": Case(112, 4, 2, window=40, positions=(0, 90)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_rope_append_rotates_and_stores_at_absolute_positions(trial: Trial, case: Case) -> None:
    rng = np.random.default_rng(case.head_dim)
    context = case.positions[-1] + 80
    rope = normal(rng, context, case.head_dim)
    attrs = case.attrs(trial) | {"context": context}
    width = (case.heads + 2 * case.kv_heads) * case.head_dim
    for dynamic, n in CALLS:
        for pos in case.positions:
            table, keys, values = case.cache(rng, trial, pos + n)
            qkv, q = normal(rng, n, width), normal(rng, n, case.heads * case.head_dim)
            got = trial.run(
                "rope_append",
                [qkv, rope, table, keys, values, q],
                attrs=attrs,
                dynamic=dynamic,
                n=n,
                pos=pos,
            )
            want = reference.rope_append(qkv, rope, table, keys, values, heads=case.heads, pos=pos)
            for one, other in zip(got, want, strict=True):
                assert_close(one, other, trial.tolerance)


@dataclass(frozen=True, slots=True)
class Heads:
    """What `rope_append` may do besides turning whole heads."""

    case: Case
    rotary: int
    table: int
    qk_norm: str = ""
    growth: float = 0.0

    def gains(self, rng: np.random.Generator) -> tuple[Array, ...]:
        each = self.case.head_dim
        both = (self.case.heads * each, self.case.kv_heads * each)
        sizes = {"": (), "head": (each, each), "row": both}
        sizes |= {"layer": (2 * each, 2 * each), "layers": both}
        return tuple(normal(rng, size) for size in sizes[self.qk_norm])


HEADS = {
    "partial": Heads(Case(32, 4, 2), 24, 24),
    "none": Heads(Case(32, 3, 1), 0, 32),
    "normed": Heads(Case(96, 6, 2), 96, 96, "head"),
    "normed-partial": Heads(Case(80, 2, 2), 20, 20, "head"),
    "normed-none": Heads(Case(32, 4, 4), 0, 32, "head"),
    "row-normed": Heads(Case(40, 6, 3), 40, 40, "row"),
    "layer-normed": Heads(Case(40, 4, 2), 16, 16, "layer"),
    "layer-normed-apart": Heads(Case(72, 3, 1), 72, 72, "layers"),
    "no-table": Heads(Case(24, 3, 3), 0, 0),
    "growing": Heads(Case(32, 4, 2), 32, 32, growth=0.1),
}


@pytest.mark.parametrize("heads", HEADS.values(), ids=HEADS)
def test_rope_append_norms_heads_and_turns_parts_of_them(trial: Trial, heads: Heads) -> None:
    rng, case = np.random.default_rng(7), heads.case
    rope, gains = normal(rng, 80, heads.table) if heads.table else None, heads.gains(rng)
    attrs = case.attrs(trial) | {"context": 80}
    if heads.rotary != case.head_dim:
        attrs |= {"rotary": heads.rotary, "table": heads.table}
    if heads.qk_norm:
        attrs |= {"qk_norm": heads.qk_norm, "eps": 1e-5}
    if heads.growth:
        attrs |= {"growth": heads.growth, "every": 7}
    for dynamic, n, pos in ((False, 1, 9), (True, 33, 5)):
        table, keys, values = case.cache(rng, trial, pos + n)
        qkv = normal(rng, n, (case.heads + 2 * case.kv_heads) * case.head_dim)
        q = normal(rng, n, case.heads * case.head_dim)
        arrays = [qkv, *(() if rope is None else (rope,)), *gains, table, keys, values, q]
        got = trial.run("rope_append", arrays, attrs=attrs, dynamic=dynamic, n=n, pos=pos)
        want = reference.rope_append(
            qkv,
            rope[:, : heads.rotary] if rope is not None and heads.rotary else None,
            table,
            keys,
            values,
            heads=case.heads,
            pos=pos,
            rotary=heads.rotary,
            gains=gains,
            qk_norm=heads.qk_norm,
            eps=1e-5,
            growth=heads.growth,
            every=7,
        )
        for one, other in zip(got, want, strict=True):
            assert_close(one, other, trial.tolerance)


def test_profiles_with_a_cache_in_halves_share_the_texts() -> None:
    """So that one of them stands for all where trying is slow."""
    attrs: dict[str, Any] = {"heads": 4, "kv_heads": 2, "head_dim": 64, "page_size": 16}
    attrs |= {"kv_dtype": "f16", "window": 40, "scale": 0.1}
    names = [name for name, profile in PROFILES.items() if profile.f16]
    texts = set()
    for name in names:
        kernels = [kernel_for(Op("attention", {**attrs, "n": n}), PROFILES[name]) for n in (1, "n")]
        parts = [part for kernel in kernels if kernel is not None for part in dispatches(kernel)]
        texts.add("".join(re.sub(r"^//.*|^enable .*", "", p.wgsl, flags=re.M) for p in parts))
    assert len(names) > 1 and len(texts) == 1


@pytest.mark.parametrize("trial", CACHES, indirect=True)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_attention_sees_its_past_within_the_window(trial: Trial, case: Case) -> None:
    rng = np.random.default_rng(case.head_dim + 1)
    scale = case.head_dim**-0.5
    attrs = case.attrs(trial) | {"window": case.window, "scale": scale}
    for dynamic, n in CALLS:
        for pos in case.positions:
            table, keys, values = case.cache(rng, trial, pos + n)
            q = normal(rng, n, case.heads * case.head_dim) * 3
            (got,) = trial.run(
                "attention",
                [q, table, keys, values, q * 0],
                attrs=attrs,
                dynamic=dynamic,
                n=n,
                pos=pos,
            )
            want = reference.attention(
                q, table, keys, values, heads=case.heads, window=case.window, scale=scale, pos=pos
            )
            assert_close(got, want, trial.tolerance)


@FEW
@given(
    quads=st.integers(2, 40),
    kv_heads=st.integers(1, 3),
    group=st.integers(1, 9),
    n=st.integers(1, 150),
    pos=st.integers(0, 200),
    window=st.one_of(st.just(0), st.integers(1, 200)),
)
def test_attention_of_many_tokens_in_any_shape(
    base_trial: Trial, quads: int, kv_heads: int, group: int, n: int, pos: int, window: int
) -> None:
    case = Case(4 * quads, kv_heads * group, kv_heads, window=window)
    rng, scale = np.random.default_rng(quads), case.head_dim**-0.5
    attrs = case.attrs(base_trial) | {"window": window, "scale": scale}
    table, keys, values = case.cache(rng, base_trial, pos + n)
    q = normal(rng, n, case.heads * case.head_dim) * 3
    arrays = [q, table, keys, values, q * 0]
    (got,) = base_trial.run("attention", arrays, attrs=attrs, dynamic=True, n=n, pos=pos)
    want = reference.attention(
        q, table, keys, values, heads=case.heads, window=window, scale=scale, pos=pos
    )
    assert_close(got, want, base_trial.tolerance)


DECODES = {
    **{f"d64-ratio-{ratio}": Case(64, 2 * ratio, 2) for ratio in range(1, 9)},
    "d64-ratio-14": Case(64, 14, 1),
    "d64-many-heads": Case(64, 32, 32, page_size=32),
    "d96-ratio-1": Case(96, 4, 4),
    "d128-ratio-8": Case(128, 8, 1, page_size=64),
    "d128-window": Case(128, 8, 2, window=37),
    "d256-ratio-4": Case(256, 4, 1, page_size=32),
    "d256-ratio-8-window": Case(256, 8, 1, window=256),
    "d512-ratio-4": Case(512, 4, 1),
    "d8-ratio-4": Case(8, 4, 1, page_size=4),
}
AT = (0, 1, 2, 30, 31, 32, 63, 64, 65, 576, 2500)
"""Around the number of splits, 16 to 64, where some of them have nothing, one or two keys."""
STALE = 70
"""The cache holds this many positions from the current one on, which nobody may look at."""


FEW_DECODES = ("d64-ratio-3", "d96-ratio-1", "d128-window", "d8-ratio-4")
DECODE_CASES = [
    pytest.param(*pair.values, case, id=f"{name}-{pair.id}", marks=pair.marks)
    for pair in CACHES
    for name, case in DECODES.items()
    if pair.id in ("lavapipe-base", "lavapipe-f16") or name in FEW_DECODES
]
"""Every shape on one driver for both kinds of cache: texts differ by shape. SwiftShader takes
seconds for a long one."""


@pytest.mark.parametrize(("trial", "case"), DECODE_CASES, indirect=["trial"])
def test_decode_attention_is_the_same_at_every_position(trial: Trial, case: Case) -> None:
    rng = np.random.default_rng(case.heads)
    scale = case.head_dim**-0.5
    attrs = case.attrs(trial) | {"window": case.window, "scale": scale}
    for pos in AT:
        table, keys, values = case.cache(rng, trial, pos + STALE)
        q = normal(rng, 1, case.heads * case.head_dim) * 3
        arrays = [q, table, keys, values, q * 0]
        (got,) = trial.run("attention", arrays, attrs=attrs, pos=pos)
        want = reference.attention(
            q, table, keys, values, heads=case.heads, window=case.window, scale=scale, pos=pos
        )
        assert_close(got, want, trial.tolerance)


def test_scores_stay_within_the_soft_cap(trial: Trial) -> None:
    rng, case = np.random.default_rng(5), Case(64, 4, 2, window=40)
    attrs = case.attrs(trial) | {"window": 40, "scale": 0.4, "softcap": 3.0}
    for dynamic, n, pos in ((False, 1, 70), (True, 33, 20)):
        table, keys, values = case.cache(rng, trial, pos + n)
        q = normal(rng, n, 256)
        arrays = [q, table, keys, values, q * 0]
        (got,) = trial.run("attention", arrays, attrs=attrs, dynamic=dynamic, n=n, pos=pos)
        want = reference.attention(
            q, table, keys, values, heads=4, window=40, scale=0.4, pos=pos, softcap=3.0
        )
        assert_close(got, want, trial.tolerance)


def test_attention_with_one_overwhelming_score_returns_that_value(trial: Trial) -> None:
    """Scores hundreds apart neither overflow nor divide zero by zero."""
    case = Case(32, 2, 1)
    rng = np.random.default_rng(3)
    table, keys, values = case.cache(rng, trial, 200)
    q = np.full((1, 64), 100, np.float32)
    keys[:] = -50
    keys[table[37 // 16], :, 37 % 16] = 50
    attrs = case.attrs(trial) | {"window": 0, "scale": 1.0}
    (got,) = trial.run("attention", [q, table, keys, values, q * 0], attrs=attrs, pos=199)
    value = values[table[37 // 16], 0, 37 % 16].astype(np.float32)
    assert_close(got, np.tile(value, 2)[None, :], trial.tolerance)
