"""The build: one model in one scheme, from its checkpoint to a complete folder of the hub.

Everything is written beside the hub's models and swapped in by rename when it is complete, so a
build that fails, for whatever reason, leaves the model built before as it was.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from runtime.manifest import Embedding, Golden, GoldenVector, Manifest, Quantization
from runtime.plan import Plan
from runtime.progress import OnProgress, Progress, ignore_progress
from runtime.weights import WEIGHTS_FORMAT, WeightIndex

from .documents import write_documents
from .errors import CompileError
from .folders import new_folder
from .golden import GOLDEN_TOKENS, golden_prompt
from .golden_vector import golden_text, rounded
from .mixing import settle
from .order import Order, Toolchain, read_shape
from .origins import check_all_used
from .rounding import Floats
from .schemes import Schemes, described
from .shards import ChunkWriter, read_buffers
from .source_rows import check_sources
from .stream import press
from .trials import Trials
from .weight_specs import WeightSpec

if TYPE_CHECKING:
    from .families import FamilyConfig

logger = logging.getLogger(__name__)

GOLDEN_PARAMETERS = 200_000_000
"""Larger models have no golden tokens: their reference would take minutes."""


def build_model(
    order: Order,
    root: Path,
    *,
    toolchain: Toolchain,
    on_progress: OnProgress = ignore_progress,
) -> Manifest:
    """Build into the hub at `root`; the registry is the caller's.

    Raises CheckpointError, UnsupportedError, CompileError, OutputError; whatever is raised, the
    folder of the model is either the old one or the new one, complete.
    """
    shape = read_shape(order, toolchain)
    specs = toolchain.families[order.model.family].weights(shape, order.context)
    if order.material.checkpoint is not None:
        check_sources(specs, order.material.checkpoint)
        check_all_used(specs, order.material.checkpoint)
    trials = Trials(order, shape, toolchain)
    importance = trials.importance()
    stored = settle(order.scheme, specs, order.material.checkpoint, importance)
    order = replace(order, scheme=stored)
    prompt = _golden_prompt(order, shape)
    plans, modules = _compile(order, toolchain, on_progress)
    id, scheme = order.model.id, order.scheme.name
    with ChunkWriter(root) as chunks, new_folder(root, id, scheme) as folder:
        for module in modules:
            chunks.store(module)
        index, quantization = _write_weights(order, specs, importance, chunks, on_progress)
        loss = trials.loss(order.scheme, importance, on_progress)
        quantization = replace(quantization, loss=loss)
        check_index(index, plans, synthetic=order.material.checkpoint is None)
        expected = _golden(order, prompt, index, root, toolchain, on_progress)
        losses = trials.rounding(plans, index, root)
        manifest = write_documents(
            order, shape, plans, index, quantization, expected, losses, folder
        )
    return manifest


def _compile(
    order: Order, toolchain: Toolchain, on_progress: OnProgress
) -> tuple[tuple[Plan, ...], tuple[bytes, ...]]:
    """The plans of every device, and the modules of those for the processor."""
    compile = partial(
        toolchain.compile_plans,
        model_id=order.model.id,
        family=order.model.family,
        config=order.material.config,
        scheme=order.scheme,
        context=order.context,
        embedding=order.embedding,
        on_progress=on_progress,
    )
    plans = compile()
    if toolchain.press_processor is None:
        return plans, ()
    more, modules = toolchain.press_processor(order.model.id, order.processor, compile)
    return (*plans, *more), modules


def _write_weights(
    order: Order,
    specs: Sequence[WeightSpec],
    importance: Mapping[str, Floats],
    chunks: ChunkWriter,
    on_progress: OnProgress,
) -> tuple[WeightIndex, Quantization]:
    scheme, checkpoint = order.scheme, order.material.checkpoint
    bits = bits_per_weight(specs, scheme)
    if checkpoint is None:
        empty = WeightIndex(WEIGHTS_FORMAT, 0, (), ())
        return empty, Quantization(scheme.name, bits, None, *described(scheme))
    total = sum(4 * math.prod(shape) for spec in specs for _, _, shape in spec.tensors(scheme))
    error = norm = 0.0
    for buffer in press(specs, scheme, checkpoint, importance):
        chunks.append(buffer)
        error, norm = error + buffer.error, norm + buffer.norm
        on_progress(Progress("weights", min(chunks.nbytes, total), total, "bytes"))
    # Six digits: sums in float64 may differ in the last ones between processors.
    relative = float(f"{math.sqrt(error / norm) if norm else 0.0:.6g}")
    found = Quantization(scheme.name, bits, relative, *described(scheme))
    chosen_by = "" if order.calibration is None else order.calibration.name
    return chunks.finish(), replace(found, calibration=chosen_by)


def bits_per_weight(specs: Sequence[WeightSpec], scheme: Schemes) -> float:
    """Stored bits per matrix element, scales included; every stored type is 4 bytes wide."""
    matrices = [spec for spec in specs if spec.kind == "matrix"]
    words = sum(math.prod(shape) for spec in matrices for _, _, shape in spec.tensors(scheme))
    return round(32 * words / sum(spec.rows * spec.cols for spec in matrices), 4)


def check_index(index: WeightIndex, plans: Sequence[Plan], *, synthetic: bool) -> None:
    """Every plan's weight buffers are the stored tensors, byte for byte of size."""
    stored = {tensor.name: tensor.nbytes for tensor in index.tensors}
    for plan in plans:
        weights = [buffer for buffer in plan.buffers if buffer.role == "weight"]
        wanted = {buffer.name: buffer.nbytes.evaluate({}) for buffer in weights}
        different = sorted(set(wanted.items()) ^ set(stored.items()))
        if different and not synthetic:
            raise CompileError(
                f"plan {plan.variant}: weight {different[0][0]!r} is not what was stored; "
                "this is a fault of modelpress, please report it"
            )


def _golden_prompt(order: Order, shape: FamilyConfig) -> list[int]:
    """Ids to continue greedily, or of a text; empty for a model that gets no golden tokens."""
    chat = order.material.chat
    if chat is None:
        return []
    if order.embedding is not None:
        text = golden_text(chat, order.embedding)
        return text if shape.parameters < GOLDEN_PARAMETERS else []
    prompt = golden_prompt(chat, order.model.system_prompt, order.model.suggestions)
    if shape.parameters >= GOLDEN_PARAMETERS:
        return []
    if prompt and max(prompt) >= shape.vocab_size:
        logger.warning(
            "%s: tokenizer.json does not fit the %d tokens of config.json: no golden tokens",
            order.model.id,
            shape.vocab_size,
        )
        return []
    return prompt[: order.context // 2]


def _golden(
    order: Order,
    prompt: Sequence[int],
    index: WeightIndex,
    root: Path,
    toolchain: Toolchain,
    on_progress: OnProgress,
) -> Golden | GoldenVector | None:
    if not prompt:
        return None
    on_progress(Progress("golden", 0, 1, "answers"))
    tensors = {tensor.name: data for tensor, data in read_buffers(root, index)}
    if order.embedding is not None:
        return _golden_vector(order, order.embedding, prompt, tensors, toolchain)
    reference = toolchain.reference(
        order.model.family, order.material.config, order.scheme, tensors, context=order.context
    )
    tokens = reference.greedy(prompt, min(GOLDEN_TOKENS, order.context - len(prompt)))
    on_progress(Progress("golden", 1, 1, "answers"))
    return Golden(tuple(prompt), tuple(tokens))


def _golden_vector(
    order: Order,
    embedding: Embedding,
    tokens: Sequence[int],
    tensors: Mapping[str, NDArray[Any]],
    toolchain: Toolchain,
) -> GoldenVector:
    family, config = order.model.family, order.material.config
    encoder = toolchain.encoder(family, config, order.scheme, tensors, embedding=embedding)
    return GoldenVector(tuple(tokens), rounded(encoder.embed(tokens)))
