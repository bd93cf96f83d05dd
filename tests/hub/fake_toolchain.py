"""A compiler that lays out the right buffers and compiles nothing: builds take milliseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hub.families import FAMILIES
from hub.order import Toolchain
from hub.schemes import Schemes
from runtime.manifest import Embedding
from runtime.plan import PLAN_FORMAT, Buffer, Entry, Expr, Kernel, Memory, Plan, Step
from runtime.progress import OnProgress, Progress

VARIANTS = {"f16": ("shader-f16",), "base": ()}


def compile_plans(
    *,
    model_id: str,
    family: str,
    config: Mapping[str, Any],
    scheme: Schemes,
    context: int,
    embedding: Embedding | None,
    on_progress: OnProgress,
) -> tuple[Plan, ...]:
    """Plans with every weight buffer and one kernel that does nothing."""
    reader = FAMILIES[family]
    shape = reader.read(config)
    on_progress(Progress("compile", 0, 1, "plans"))
    tensors = [t for spec in reader.weights(shape, context) for t in spec.tensors(scheme)]
    buffers = tuple(Buffer(name, "weight", dtype, Expr(_nbytes(s))) for name, dtype, s in tensors)
    zero = Expr(0)
    step = Step("nothing", (tensors[0][0],), (), (), (zero, zero, zero))
    weights = sum(_nbytes(dims) for _, _, dims in tensors)
    return tuple(
        Plan(
            format=PLAN_FORMAT,
            model=model_id,
            scheme=scheme.name,
            variant=name,
            features=features,
            limits={},
            vocab_size=shape.vocab_size,
            context=context,
            page_size=16,
            prefill_chunk=32,
            buffers=buffers,
            kernels=(Kernel("nothing", "@compute @workgroup_size(1) fn main() {}", "main"),),
            entries={name: Entry((), (step,)) for name in ("decode", "sample")},
            memory=Memory(weights, 64, 0, 0),
        )
        for name, features in VARIANTS.items()
    )


def _nbytes(shape: Sequence[int]) -> int:
    count = 4
    for size in shape:
        count *= size
    return count


@dataclass(frozen=True)
class CountingReference:
    """Answers with token ids counted up from the length of the prompt."""

    family: str
    config: Mapping[str, Any]
    scheme: Schemes
    tensors: Mapping[str, Any]
    context: int

    def greedy(self, prompt: Sequence[int], count: int) -> list[int]:
        return [(len(prompt) + i) % self.config["vocab_size"] for i in range(count)]


@dataclass(frozen=True)
class CountingEncoder:
    """Answers every text with 0, 1, ... below its length in tokens, over and over."""

    family: str
    config: Mapping[str, Any]
    scheme: Schemes
    tensors: Mapping[str, Any]
    embedding: Embedding

    def embed(self, tokens: Sequence[int]) -> list[float]:
        return [float(i % len(tokens)) for i in range(self.embedding.width)]


FAKE_TOOLCHAIN = Toolchain(
    FAMILIES,
    compile_plans,
    CountingReference,  # type: ignore[arg-type]
    CountingEncoder,  # type: ignore[arg-type]
)
