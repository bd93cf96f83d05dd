"""Plans: what they contain, that they are the same every time, and that no limit is passed."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from typing import Any

import pytest

from hub.compile import FEATURES, VARIANTS, compile_plans
from hub.memory import DEFAULT_LIMITS
from hub.schemes import SCHEMES
from runtime.plan import Plan
from tests.hub.shapes import llama_8b, llama_config


def plans(config: dict[str, Any], scheme: str = "q4", **options: Any) -> tuple[Plan, ...]:
    return compile_plans(
        model_id="tiny",
        family="llama",
        config=config,
        scheme=SCHEMES[scheme],
        context=options.pop("context", 256),
        **options,
    )


@pytest.fixture(scope="module")
def tiny() -> tuple[Plan, ...]:
    return plans(llama_config())


def test_variants_come_from_most_to_least_demanding(tiny: tuple[Plan, ...]) -> None:
    assert tuple(plan.variant for plan in tiny) == VARIANTS
    assert [plan.features for plan in tiny] == [
        FEATURES["matrix"],
        ("shader-f16", "subgroups"),
        ("shader-f16",),
        (),
        (),
    ]


def test_decode_is_nine_dispatches_a_layer_and_eight_on_processors(
    tiny: tuple[Plan, ...],
) -> None:
    for plan in tiny:
        layer = 8 if plan.variant == "software" else 9
        assert len(plan.entries["decode"].steps) == layer * 2 + 3
        # On matrix units every product takes its row apart first.
        prefill = 12 if plan.variant == "matrix" else 8
        assert len(plan.entries["prefill"].steps) == prefill * 2 + 4


def test_a_plan_survives_its_own_document(tiny: tuple[Plan, ...]) -> None:
    for plan in tiny:
        assert Plan.loads(plan.dumps()) == plan


def test_memory_is_the_sum_of_the_buffers(tiny: tuple[Plan, ...]) -> None:
    for plan in tiny:
        symbols = {"pages": 256 // plan.page_size}
        total = sum(buffer.nbytes.evaluate(symbols) for buffer in plan.buffers)
        memory = plan.memory
        assert total == (memory.weights + memory.kv_per_token * 256 + memory.scratch + memory.io), (
            plan.variant
        )


def test_the_kv_cache_is_half_as_large_in_f16(tiny: tuple[Plan, ...]) -> None:
    by_name = {plan.variant: plan.memory.kv_per_token for plan in tiny}
    assert by_name["base"] == by_name["software"] == 2 * by_name["f16"]
    assert by_name["base"] == 2 * 2 * 2 * 16 * 4  # layers, k and v, heads, head_dim, bytes


def test_weights_are_one_set_for_every_variant(tiny: tuple[Plan, ...]) -> None:
    weights = [[b for b in plan.buffers if b.role == "weight"] for plan in tiny]
    assert all(w == weights[0] for w in weights)


@pytest.mark.parametrize("scheme", ["f16", "f32", "q4", "q8"])
def test_an_8b_model_stays_within_the_default_limits(scheme: str) -> None:
    for plan in plans(llama_8b(), scheme, context=4096, variants=("f16+subgroups", "base")):
        for name, limit in DEFAULT_LIMITS.items():
            assert plan.limits[name] <= limit, (plan.variant, name)
        assert len(gzip.compress(plan.dumps().encode())) < 1_000_000


def test_tvm_alone_compiles_every_entry() -> None:
    (plan,) = plans(llama_config(), variants=("base",), library=False)
    assert any(kernel.name.startswith("tvm_") for kernel in plan.kernels)
    assert len(plan.entries["decode"].steps) == 9 * 2 + 3  # rope and append are two kernels


def test_a_matrix_over_the_binding_limit_still_gates_and_multiplies() -> None:
    """f16 gate_up of an 8B model is 235 MB: its parts are multiplied, then gated by TVM."""
    plan = plans(llama_8b(), "f16", context=64, variants=("base",))[0]
    names = {name for step in plan.entries["decode"].steps for name in step.bindings}
    assert {"layers.0.gate_up.0.w", "layers.0.gate_up.1.w"} <= names
    assert any(kernel.name.startswith("tvm_") for kernel in plan.kernels)


def test_the_same_input_gives_the_same_bytes_in_another_process() -> None:
    code = (
        "import hashlib; from tests.hub.test_compile import plans, llama_config;"
        "print([hashlib.sha256(p.dumps().encode()).hexdigest() for p in plans(llama_config())])"
    )
    outputs = set()
    for seed in ("1", "7"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, check=True
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1
