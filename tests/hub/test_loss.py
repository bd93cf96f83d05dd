"""Measured loss: the walk computes what the compiled model does, and the numbers are right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from hub.checkpoint import Checkpoint
from hub.families import FAMILIES
from hub.forward import Walk
from hub.llvm import Reference
from hub.loss import DAMPING, Moments, StoredRows, kl_divergence, measure
from hub.rounding import Floats
from hub.schemes import SCHEMES
from hub.stream import press
from tests.reference.answers import read_answers, relative_error
from tests.reference.tiny import TINY
from tests.reference.tiny_families import TINY_FAMILIES

MODEL = TINY[0]
TOKENS = (1, 5, 9, 17, 200, 3, 44)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return Checkpoint.open(MODEL.write(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def walk(checkpoint: Checkpoint) -> Walk:
    family = FAMILIES["llama"]
    config = family.read(checkpoint.config)
    return Walk(family, config, StoredRows(checkpoint), context=64, tokens=32)


def test_a_walk_is_the_compiled_model_at_every_token(checkpoint: Checkpoint, walk: Walk) -> None:
    """In two pieces, in a scheme: pages, positions and the rows of every matrix are right."""
    scheme, family = SCHEMES["q4"], FAMILIES["llama"]
    specs = family.weights(family.read(checkpoint.config), 64)
    tensors = {b.name: b.data for b in press(specs, scheme, checkpoint)}
    wanted = Reference("llama", checkpoint.config, scheme, tensors, context=64).logits(TOKENS)
    stored = walk.over(StoredRows(checkpoint, scheme))
    found = np.concatenate([stored.logits(TOKENS[:6]), stored.logits(TOKENS[6:], 6)])
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_experts_are_walked_too(tmp_path: Path) -> None:
    """Their operators read matrices whole, as plans do, and only attention is observed."""
    tiny = next(model for model in TINY_FAMILIES if model.name == "tiny-olmoe")
    source, family = Checkpoint.open(tiny.write(tmp_path)), FAMILIES["olmoe"]
    config, seen = family.read(source.config), set()
    first = Walk(family, config, StoredRows(source), context=64, tokens=32)
    found = first.over(StoredRows(source), lambda name, x: seen.add(name)).logits(TOKENS)
    tensors = {b.name: b.data for b in press(family.weights(config, 64), SCHEMES["f32"], source)}
    wanted = Reference("olmoe", source.config, SCHEMES["f32"], tensors, context=64).logits(TOKENS)
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()
    assert {"layers.0.qkv", "layers.0.output"} <= seen


def test_layers_that_remember_are_walked_too(tmp_path: Path) -> None:
    """In two pieces, against what transformers says."""
    tiny = next(model for model in TINY_FAMILIES if model.name == "tiny-qwen3.5")
    source, family = Checkpoint.open(tiny.write(tmp_path)), FAMILIES["qwen3_5"]
    walk = Walk(family, family.read(source.config), StoredRows(source), context=64, tokens=32)
    answers = read_answers(tiny.name, "f32")
    first, second = answers.prompt[:9], answers.prompt[9:]
    found = np.concatenate([walk.logits(first), walk.logits(second, 9)])[list(answers.positions)]
    assert relative_error(found, answers.logits) <= 1e-5


def test_a_matrix_is_observed_with_the_rows_it_meets(checkpoint: Checkpoint, walk: Walk) -> None:
    seen: dict[str, Floats] = {}
    walk.over(StoredRows(checkpoint), lambda name, x: seen.update({name: x})).logits(TOKENS)
    layers = [f"layers.{i}.{part}" for i in (0, 1) for part in ("qkv", "output", "gate_up", "down")]
    assert set(seen) == {*layers, "lm_head"}
    assert seen["layers.1.down"].shape == (len(TOKENS), MODEL.intermediate)


def test_fewer_bits_lose_more(checkpoint: Checkpoint, walk: Walk) -> None:
    losses = [
        measure(walk, walk.over(StoredRows(checkpoint, SCHEMES[name])), (TOKENS,), "own")
        for name in ("f32", "q8", "q4", "q3")
    ]
    divergences = [loss.kl_divergence for loss in losses]
    assert divergences == sorted(divergences) and divergences[0] == 0 < divergences[1]
    assert losses[0].top1_agreement == 1 and losses[0].tokens == len(TOKENS)


class Fixed:
    """Says the same of every text."""

    def __init__(self, logits: list[list[float]]) -> None:
        self.rows = np.array(logits, np.float32)

    def restart(self) -> None:
        pass

    def logits(self, tokens: Sequence[int], pos: int = 0) -> Floats:
        return self.rows[pos : pos + len(tokens)]


def test_the_divergence_is_that_of_the_definition() -> None:
    even, uneven = Fixed([[0, 0], [1, 1]]), Fixed([[5, 5], [np.log(3), 0]])
    loss = measure(even, uneven, ((7, 8),), "a.txt")
    # KL of (1/2, 1/2) from (3/4, 1/4) after one token of two.
    assert loss.kl_divergence == pytest.approx(np.log(4 / 3) / 4, rel=1e-3)
    assert (loss.top1_agreement, loss.tokens, loss.text) == (1.0, 2, "a.txt")
    assert kl_divergence(even.rows, even.rows) == 0


def test_importance_is_the_mean_square_of_a_column_every_token_counting_alike() -> None:
    moments = Moments()
    moments("m", np.array([[1, 2], [300, 0]], np.float32))
    moments("m", np.array([[0, 4], [0, 0]], np.float32))
    wanted = np.array([0.2 + 1, 0.8 + 1]) / 1.5
    assert moments.importance()["m"] == pytest.approx((wanted + DAMPING) / (1 + DAMPING), rel=1e-3)
