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


@given(
    experts=st.integers(1, 200), rows=st.integers(1, 64), scheme=st.sampled_from(sorted(SCHEMES))
)
def test_a_unit_stays_in_one_part(experts: int, rows: int, scheme: str) -> None:
    unit = 32 * rows
    spec = WeightSpec("w", "matrix", ("a",), experts * unit, 2048, unit=unit)
    parts = spec.parts(SCHEMES[scheme])
    assert sum(part.rows for part in parts) == spec.rows
    assert all(part.start % unit == 0 and part.rows % unit == 0 for part in parts)


def test_a_pinned_matrix_is_stored_alike_under_every_scheme() -> None:
    spec = WeightSpec("router", "matrix", ("a",), 8, 64, pinned=SCHEMES["f32"])
    assert {spec.tensors(scheme) for scheme in SCHEMES.values()} == {
        (("router.w", "f32", (8, 64)),)
    }
