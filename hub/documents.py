"""The documents of a built model: plans, index, chat files, licence, and the manifest last."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from model_configs.config import licence_text
from runtime import codec
from runtime.manifest import (
    MANIFEST_FORMAT,
    Architecture,
    File,
    Golden,
    GoldenVector,
    Licence,
    Loss,
    Manifest,
    Quantization,
    Sampling,
    Variant,
)
from runtime.plan import Plan
from runtime.weights import WeightIndex, blob_path

from . import synthetic
from .folders import NewFolder
from .order import Order
from .registry import MANIFEST
from .tokenizer_files import TokenizerFiles

if TYPE_CHECKING:
    from .families import FamilyConfig

CONFIG = "config.json"
"""Kept so that the reference host can compute a built model without its checkpoint."""
TOOLS = ("modelpress", "apache-tvm", "numpy")


def write_documents(
    order: Order,
    shape: FamilyConfig,
    plans: Sequence[Plan],
    index: WeightIndex,
    quantization: Quantization,
    expected: Golden | GoldenVector | None,
    losses: Mapping[str, Loss],
    folder: NewFolder,
) -> Manifest:
    """Plans, index, tokenizer, licence, and the manifest last; `losses` by variant."""
    model, material = order.model, order.material
    chat = material.chat or synthetic.tokenizer_files(shape.vocab_size)
    manifest = Manifest(
        format=MANIFEST_FORMAT,
        id=model.id,
        name=model.name,
        description=model.description,
        synthetic=material.checkpoint is None,
        languages=model.languages,
        source=material.source,
        licence=_licence(order, folder),
        architecture=_architecture(order, shape),
        quantization=quantization,
        variants=tuple(_variant(plan, losses, folder) for plan in plans),
        weights=folder.put("weights.json", index.dumps().encode()),
        weights_nbytes=index.nbytes,
        files=_files(order, chat, folder),
        bos_token_id=chat.bos_token_id,
        stop_token_ids=chat.stop_token_ids,
        system_prompt=model.system_prompt,
        suggestions=model.suggestions,
        sampling=Sampling(**asdict(model.sampling)),
        golden=expected if isinstance(expected, Golden) else None,
        tools={name: _version(name) for name in TOOLS},
        task="chat" if order.embedding is None else "embedding",
        embedding=order.embedding,
        golden_vector=expected if isinstance(expected, GoldenVector) else None,
    )
    folder.put(MANIFEST, manifest.dumps().encode())
    return manifest


def _files(order: Order, chat: TokenizerFiles, folder: NewFolder) -> dict[str, File]:
    config = codec.dumps(order.material.config).encode()
    documents = {CONFIG: config, **chat.documents}
    return {name: folder.put(name, data) for name, data in documents.items()}


def _licence(order: Order, folder: NewFolder) -> Licence:
    licence = order.model.licence
    text = order.material.licence_text or licence_text(licence.spdx)
    file = None if text is None else folder.put("LICENSE", text)
    return Licence(licence.spdx, licence.name, licence.url, file)


def _architecture(order: Order, shape: FamilyConfig) -> Architecture:
    return Architecture(
        family=order.model.family,
        parameters=shape.parameters,
        layers=shape.layers,
        hidden_size=shape.hidden_size,
        heads=shape.heads,
        kv_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        vocab_size=shape.vocab_size,
        context=order.context,
    )


def _variant(plan: Plan, losses: Mapping[str, Loss], folder: NewFolder) -> Variant:
    return Variant(
        modules=_modules(plan),
        loss=losses.get(plan.variant),
        name=plan.variant,
        plan=folder.put(f"plan.{plan.variant}.json", plan.dumps().encode()),
        features=plan.features,
        limits=plan.limits,
        weights_nbytes=plan.memory.weights,
        kv_nbytes_per_token=plan.memory.kv_per_token,
        scratch_nbytes=plan.memory.scratch,
        dispatches_per_token=sum(len(plan.entries[e].steps) for e in _step_entries(plan)),
    )


def _modules(plan: Plan) -> tuple[File, ...]:
    """The code of a plan for the processor, where the build has stored it."""
    if plan.module is None:
        return ()
    forms = (plan.module.single, plan.module.shared)
    return tuple(File(blob_path(f.sha256), f.nbytes, f.sha256) for f in forms if f is not None)


def _step_entries(plan: Plan) -> tuple[str, ...]:
    """What runs for a token of an answer, or for a few texts."""
    return ("encode",) if "encode" in plan.entries else ("decode", "sample")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "source checkout"
