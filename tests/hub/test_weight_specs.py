"""Weights that pass a binding are cut into parts of rows; everything else stays whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub.schemes import SCHEMES
from hub.weight_specs import BINDING_NBYTES, WeightSpec


@given(
    rows=st.integers(1, 300_000),
    groups=st.integers(1, 512),
    scheme=st.sampled_from(sorted(SCHEMES)),
)
def test_parts_tile_the_rows_and_each_fits_a_binding(rows: int, groups: int, scheme: str) -> None:
    spec = WeightSpec("w", "matrix", ("a",), rows, 32 * groups)
    parts = spec.parts(SCHEMES[scheme])
    assert [p.start for p in parts] == [sum(p.rows for p in parts[:i]) for i in range(len(parts))]
    assert sum(p.rows for p in parts) == rows
    assert all(p.rows > 0 for p in parts)
    for _, _, shape in spec.tensors(SCHEMES[scheme]):
        count = 1
        for dim in shape:
            count *= dim
        assert 4 * count <= BINDING_NBYTES


def test_a_small_matrix_keeps_its_name() -> None:
    spec = WeightSpec("embedding", "matrix", ("a",), 100, 64)
    names = [name for name, _, _ in spec.tensors(SCHEMES["q4"])]
    assert names == ["embedding.q", "embedding.s"]


def test_a_large_one_is_numbered() -> None:
    spec = WeightSpec("lm_head", "matrix", ("a",), 128256, 4096)
    names = [name for name, _, _ in spec.tensors(SCHEMES["q4"])]
    assert names[:3] == ["lm_head.0.q", "lm_head.0.s", "lm_head.1.q"]
