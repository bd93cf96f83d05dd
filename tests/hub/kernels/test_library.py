"""What holds for every kernel of the library, whatever it computes."""

from __future__ import annotations

import math
import re

import pytest

from hub.kernels import KERNELS, PROFILES, LibraryKernel, Op, Profile, dispatches, kernel_for
from tests.hub.kernels.catalogue import llama_ops, other_ops

LLAMA = {
    "tiny": llama_ops(hidden=384, heads=6, kv_heads=2, head_dim=64, features=1024, vocab=4096),
    "1b": llama_ops(hidden=2048, heads=32, kv_heads=8, head_dim=64, features=8192, vocab=128256),
    "wide": llama_ops(  # every limit at once
        hidden=8192, heads=64, kv_heads=8, head_dim=256, features=28672, vocab=262144
    ),
}
SYMBOLS = {"n": 500, "pos": 8191, "seed": 1, "texts": 60}


def kernels(shape: str, profile: Profile) -> list[tuple[Op, LibraryKernel]]:
    found = [(op, kernel_for(op, profile)) for op in LLAMA[shape](profile)]
    return [(op, part) for op, kernel in found if kernel is not None for part in dispatches(kernel)]


@pytest.fixture(params=PROFILES)
def profile(request: pytest.FixtureRequest) -> Profile:
    return PROFILES[request.param]


@pytest.fixture(params=LLAMA)
def shape(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_op_is_in_the_catalogue(profile: Profile) -> None:
    packed = {name for name in KERNELS if "pack" in name} | {"decode_attention"}
    expected = set(KERNELS) - (packed if profile.software else set())
    others = {op.name for op in other_ops(profile)}
    assert {op.name for op, _ in kernels("tiny", profile)} | others == expected


def test_an_op_without_a_kernel_is_left_to_the_compiler() -> None:
    assert kernel_for(Op("transpose", {}), PROFILES["base"]) is None


def test_text_is_the_same_every_time_and_names_follow_it(shape: str, profile: Profile) -> None:
    names: dict[str, str] = {}
    for (op, kernel), (_, again) in zip(
        kernels(shape, profile), kernels(shape, profile), strict=True
    ):
        assert kernel == again
        assert kernel.name.startswith(op.name)
        assert names.setdefault(kernel.name, kernel.wgsl) == kernel.wgsl


def test_bindings_are_what_the_plan_will_bind(shape: str, profile: Profile) -> None:
    for op, kernel in kernels(shape, profile):
        storage = re.findall(r"@binding\((\d+)\) var<storage, (\w+)>", kernel.wgsl)
        assert [int(number) for number, _ in storage] == list(range(len(storage))), op
        assert len(storage) <= 8, op
        written = [int(number) for number, mode in storage if mode == "read_write"]
        assert written == list(kernel.writes), op
        bound = re.findall(r"@binding\((\d+)\) var<uniform>", kernel.wgsl)
        assert bound == ([str(len(storage))] if kernel.uniforms else []), op
        struct = re.search(r"struct Uniforms \{(.*?)\}", kernel.wgsl, re.S)
        members = re.findall(r"(\w+): (\w+),", struct.group(1)) if struct else []
        assert [kind for _, kind in members] == [u.type for u in kernel.uniforms], op
        for (member, _), uniform in zip(members, kernel.uniforms, strict=True):
            # A constant of the step has a name in the text alone.
            assert uniform.value.value == member or isinstance(uniform.value.value, int), op


def test_grids_and_workgroups_are_within_default_limits(shape: str, profile: Profile) -> None:
    for op, kernel in kernels(shape, profile):
        grid = [side.evaluate(SYMBOLS) for side in kernel.grid]
        assert all(1 <= side <= 65535 for side in grid), (op, grid)
        size = re.search(r"@workgroup_size\((\d+)\)", kernel.wgsl)
        assert size and 1 <= int(size.group(1)) <= (64 if profile.software else 256), op
        assert workgroup_nbytes(kernel.wgsl) <= 16384, op


def test_static_ops_have_static_grids(profile: Profile) -> None:
    for op, kernel in kernels("tiny", profile):
        symbols = frozenset[str]().union(*(side.symbols() for side in kernel.grid))
        counted = {"pool": {"texts"}, "last_row": set()}.get(op.name, {"n"})
        if "_sort_" in kernel.name:
            counted = set()  # one workgroup for all of them
        assert symbols == (counted if op.attrs.get("n") == "n" else set())


def test_optional_features_are_enabled_where_used_and_nowhere_else(profile: Profile) -> None:
    for op, kernel in kernels("tiny", profile):
        lines = kernel.wgsl.splitlines()
        enabled = [line for line in lines if line.startswith("enable ")]
        assert lines[: len(enabled)] == enabled
        assert ("enable f16;" in enabled) == bool(re.search(r"\bf16\b", body(kernel.wgsl))), op
        used = re.search(r"subgroupAdd|@builtin\(subgroup_", kernel.wgsl)
        assert ("enable subgroups;" in enabled) == bool(used), op
        squares = "enable chromium_experimental_subgroup_matrix;" in enabled
        assert squares == ("subgroupMatrix" in kernel.wgsl), op
        assert profile.f16 or "enable f16;" not in enabled
        assert profile.subgroups or "enable subgroups;" not in enabled
        assert profile.matrix or not squares


def body(wgsl: str) -> str:
    """The text without directives and comments."""
    return re.sub(r"//.*|^enable .*$", "", wgsl, flags=re.M)


def workgroup_nbytes(wgsl: str) -> int:
    """Bytes of all workgroup variables, each a scalar, a vector or an array of any."""
    sizes = {"f32": 4, "i32": 4, "u32": 4, "f16": 2, "atomic<u32>": 4}
    sizes |= {f"vec{n}<{t}>": (n + n % 2) * sizes[t] for n in (2, 3, 4) for t in ("f32", "u32")}
    sizes["vec4<f16>"] = 8
    found = re.findall(r"var<workgroup> \w+: (?:array<)*(.+?)((?:, \d+>)*);", wgsl)
    assert len(found) == wgsl.count("var<workgroup>")
    counts = ((sizes[element], re.findall(r"\d+", dims)) for element, dims in found)
    return sum(size * math.prod(map(int, dims)) for size, dims in counts)
