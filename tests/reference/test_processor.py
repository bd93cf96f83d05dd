"""The ladder's rung on the processor: plans of variant cpu, in WebAssembly.

The exact entries must answer as transformers does. The fast ones round rows to int8 where they
meet quantized matrices, which moves logits by a bounded amount.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from hub.cpu import transcendental
from tests.reference.checkpoints import PRESS_GUIDE
from tests.reference.processor import Processed
from tests.reference.tiny import TINY
from tests.reference.tolerances import BROKEN_KERNEL, ROUNDED_ROWS, WIDE

EXACT, ROUNDED = "_f32", ""


async def test_the_demo_model_computes_what_transformers_does(tmp_path: Path) -> None:
    processed = Processed(PRESS_GUIDE, "q4", tmp_path)
    found = await processed.compare((EXACT, ROUNDED))
    print({suffix: (way.error, way.chunked) for suffix, way in found.items()})
    assert found[EXACT].error <= WIDE
    assert found[EXACT].chunked <= WIDE
    assert found[EXACT].tokens == processed.answers.tokens
    assert WIDE < found[ROUNDED].error <= ROUNDED_ROWS
    # A number between two codes may be rounded to either, which later layers see.
    assert found[ROUNDED].chunked <= ROUNDED_ROWS
    assert processed.plan.module is not None
    assert processed.plan.module.single.nbytes < 100_000


async def test_without_the_library_tvm_computes_the_same(tmp_path: Path) -> None:
    processed = Processed(TINY[0].name, "q4", tmp_path, library=False)
    found = (await processed.compare((ROUNDED,)))[ROUNDED]
    assert found.error <= WIDE
    assert found.chunked <= WIDE
    assert found.tokens == processed.answers.tokens


async def test_a_broken_function_fails_the_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: Mapping[str, Callable[..., Any]] = {
        **transcendental.EXPANSIONS,
        "tirx.exp": lambda x: transcendental.exp(x) * transcendental.exp(x),
    }
    monkeypatch.setattr(transcendental, "EXPANSIONS", broken)
    processed = Processed(TINY[0].name, "q4", tmp_path, library=False)
    found = (await processed.compare((ROUNDED,)))[ROUNDED]
    assert found.error > BROKEN_KERNEL
