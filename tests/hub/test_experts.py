"""A mixture of experts whose matrices are cut into parts computes what the whole one does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pytest

from hub.checkpoint import Checkpoint
from hub.compile import compile_plans
from hub.errors import CheckpointError
from hub.families import FAMILIES
from hub.forward import Walk
from hub.llvm import Reference
from hub.loss import StoredRows
from hub.rounding import Floats
from hub.schemes import SCHEMES
from hub.source_rows import check_sources
from hub.stream import packed_rows, press
from hub.weight_specs import WeightSpec
from tests.reference.answers import read_answers, relative_error
from tests.reference.tiny_families import TINY_FAMILIES
from tests.reference.tolerances import WIDE

(MODEL,) = (tiny for tiny in TINY_FAMILIES if tiny.name == "tiny-qwen3-moe")
FAMILY, SCHEME = FAMILIES["qwen3_moe"], SCHEMES["q4"]
ANSWERS = read_answers(MODEL.name, "q4")


class Tensors:
    """Tensors in memory, read by rows."""

    def __init__(self, tensors: Mapping[str, Floats]) -> None:
        self.tensors = tensors

    def shape(self, name: str) -> tuple[int, ...]:
        return self.tensors[name].shape

    def rows(self, name: str, start: int, stop: int) -> Floats:
        return self.tensors[name][start:stop]


class Counted(StoredRows):
    """Knows which experts of one layer were read."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint, SCHEME)
        self.experts: set[int] = set()

    def rows(self, spec: WeightSpec, start: int, stop: int) -> Floats:
        if spec.name == "layers.1.expert_down":
            self.experts.update(range(start // spec.unit, -(-stop // spec.unit)))
        return super().rows(spec, start, stop)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return Checkpoint.open(MODEL.write(tmp_path_factory.mktemp("experts")))


@pytest.fixture
def small_bindings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Bindings that hold a few experts of ten."""
    monkeypatch.setattr("hub.weight_specs.BINDING_NBYTES", 20_000)
    config = FAMILY.read(MODEL.config())
    names = [name for s in FAMILY.weights(config, 64) for name, _, _ in s.tensors(SCHEME)]
    assert "layers.1.expert_gate_up.3.q" in names and "layers.1.expert_down.1.s" in names
    yield


def test_a_damaged_expert_is_named_alone() -> None:
    """A layer's matrix has many sources; messages do not list them all."""
    tensors = MODEL.weights()
    specs = FAMILY.weights(FAMILY.read(MODEL.config()), 64)
    (stacked,) = (spec for spec in specs if spec.name == "layers.1.expert_gate_up")
    bad = "model.layers.1.mlp.experts.7.up_proj.weight"
    tensors[bad][3, 5] = np.nan
    with pytest.raises(CheckpointError, match=r"experts\.7\.up_proj\.weight' holds NaN"):
        packed_rows(stacked, SCHEME, Tensors(tensors), 15 * 64, 16 * 64)
    tensors[bad] = tensors[bad][:40]
    with pytest.raises(CheckpointError, match="experts") as raised:
        check_sources([stacked], Tensors(tensors))
    text = str(raised.value)
    assert text.startswith(bad) and "and 16 more tensors" in text and "[1280, 96]" in text


def test_parts_give_what_transformers_gives(checkpoint: Checkpoint, small_bindings: None) -> None:
    specs = FAMILY.weights(FAMILY.read(checkpoint.config), 64)
    tensors = {b.name: b.data for b in press(specs, SCHEME, checkpoint)}
    reference = Reference("qwen3_moe", checkpoint.config, SCHEME, tensors, context=64)
    found = reference.logits(ANSWERS.prompt)[list(ANSWERS.positions)]
    assert relative_error(found, ANSWERS.logits) <= WIDE
    last = reference.prefill(ANSWERS.prompt, 0)
    assert relative_error(last, ANSWERS.logits[-1]) <= WIDE


def test_a_walk_reads_the_chosen_experts_alone(
    checkpoint: Checkpoint, small_bindings: None
) -> None:
    rows = Counted(checkpoint)
    walk = Walk(FAMILY, FAMILY.read(checkpoint.config), rows, context=64, tokens=32)
    found = [walk.logits(ANSWERS.prompt[:1])]
    assert len(rows.experts) == MODEL.settings["num_experts_per_tok"]
    found.append(walk.logits(ANSWERS.prompt[1:], 1))
    logits = np.concatenate(found)[list(ANSWERS.positions)]
    assert relative_error(logits, ANSWERS.logits) <= WIDE


def test_every_part_has_a_kernel_of_the_library(small_bindings: None) -> None:
    (plan,) = compile_plans(
        model_id="experts",
        family="qwen3_moe",
        config=MODEL.config(),
        scheme=SCHEME,
        context=64,
        variants=("base",),
    )
    names = [kernel.name for kernel in plan.kernels]
    assert not [name for name in names if name.startswith(("tvm_expert", "tvm_route"))]
    steps = [step.kernel for step in plan.entries["prefill"].steps]
    for part in ("sort", "tile"):
        # Two layers, four parts of one matrix and two of the other.
        assert sum(f"_{part}_" in name for name in steps) == 2 * (4 + 2)
    assert all("decode_dot" in names for names in plan.alternatives.values())
