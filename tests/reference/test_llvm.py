"""The first rungs of the ladder: transformers, the quantizer's weights, TVM on this processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hub.llvm import Reference
from hub.schemes import SCHEMES
from tests.reference.answers import (
    COMMON,
    DATA,
    DATA_NBYTES,
    NEW_TOKENS,
    digest,
    read_answers,
    relative_error,
    ways_to_cut,
)
from tests.reference.checkpoints import (
    CONTEXT,
    PRESS_GUIDE,
    family_of,
    press_checkpoint,
    press_guide_folder,
)
from tests.reference.tiny import TINY
from tests.reference.tiny_families import TINY_FAMILIES
from tests.reference.tolerances import PREFILL_AGAINST_DECODE, WIDE

MODELS = {tiny.name: tiny for tiny in (*TINY, *TINY_FAMILIES)}
CASES = [(t.name, s) for t in TINY for s in t.schemes if t is TINY[0] or s in ("f32", "q4")]
CASES += [(t.name, s) for t in TINY_FAMILIES for s in t.schemes if t.on_device or s == "q4"]
CASES += [(PRESS_GUIDE, scheme) for scheme in COMMON]
IDS = [f"{model}-{scheme}" for model, scheme in CASES]


@pytest.fixture(scope="module", params=CASES, ids=IDS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    model, scheme = request.param
    if model == PRESS_GUIDE:
        return model, scheme, press_checkpoint(press_guide_folder(), scheme)
    folder = MODELS[model].write(tmp_path_factory.mktemp(model))
    return model, scheme, press_checkpoint(folder, scheme)


def test_the_weights_are_the_ones_the_reference_was_made_from(case: Any) -> None:
    model, scheme, pressed = case
    answers = read_answers(model, scheme)
    assert digest(pressed.weights) == answers.weights_sha256, (
        "the quantizer or the tiny models changed: `python -m tests.reference.make_reference`"
    )


def test_the_compiled_model_agrees_with_transformers(case: Any) -> None:
    model, scheme, pressed = case
    answers = read_answers(model, scheme)
    # One compilation for everything: a sequence that starts again at 0 sees none of the old cache.
    scheme_of = SCHEMES[scheme]
    family = family_of(pressed.config)
    reference = Reference(family, pressed.config, scheme_of, pressed.buffers, context=CONTEXT)
    logits = reference.logits(answers.prompt)
    error = relative_error(logits[list(answers.positions)], answers.logits)
    print(f"{model} {scheme}: {error:.1e}")
    assert error <= WIDE
    for chunks in ways_to_cut(len(answers.prompt)):
        chunked = prefill(reference, answers.prompt, chunks)
        assert relative_error(chunked, logits[-1]) <= PREFILL_AGAINST_DECODE["llvm"], chunks
    assert tuple(reference.greedy(answers.prompt, NEW_TOKENS)) == answers.tokens


def prefill(reference: Reference, prompt: tuple[int, ...], chunks: list[int]) -> Any:
    start, logits = 0, np.zeros(0, np.float32)
    for size in chunks:
        logits = reference.prefill(prompt[start : start + size], start)
        start += size
    assert start == len(prompt)
    return logits


def test_the_reference_stays_small() -> None:
    total = sum(path.stat().st_size for path in Path(DATA).iterdir())
    assert total < DATA_NBYTES, f"{total} bytes"
