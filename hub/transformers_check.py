"""Logits by Hugging Face transformers in float32, on the weights that a built model stands for.

Needs torch and transformers, which are no dependency of the press.
"""

# mypy: disable-error-code="import-not-found, import-untyped, unused-ignore"

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from runtime.manifest import Manifest
from runtime.weights import WeightIndex

from .families import FAMILIES
from .rounding import Floats
from .schemes import stored_schemes
from .shards import read_buffers
from .stream import dequantized


class _Shapes:
    """The shapes of checkpoint tensors, as transformers' own model has them."""

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self._shapes = shapes

    def shape(self, name: str) -> tuple[int, ...]:
        return self._shapes[name]

    def rows(self, name: str, start: int, stop: int) -> Floats:
        raise NotImplementedError(f"{name}: only shapes are known here")


def logits(root: Path, manifest: Manifest, index: WeightIndex, tokens: Sequence[int]) -> Floats:
    """float32[len(tokens), vocab] for one sequence."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

    config = json.loads((root / manifest.files["config.json"].path).read_bytes())
    settings = AutoConfig.for_model(**config)
    _fix_long_rope(settings, manifest.architecture.context)
    # A text model that is read from within a vision model.
    inner = hasattr(settings, "text_config")
    auto = AutoModelForImageTextToText if inner else AutoModelForCausalLM
    model = auto.from_config(settings, dtype=torch.float32)
    state = dict(by_published_name(model.state_dict()))
    source = _Shapes({name: tuple(tensor.shape) for name, tensor in state.items()})
    family = FAMILIES[manifest.architecture.family]
    specs = family.weights(family.read(config), manifest.architecture.context)
    buffers = {tensor.name: data for tensor, data in read_buffers(root, index)}
    scheme = stored_schemes(manifest.quantization)
    for name, values in dequantized(specs, scheme, buffers, source):
        assert math.prod(state[name].shape) == values.size, name
        state[name].copy_(torch.from_numpy(np.array(values)))
    with torch.inference_mode():
        result: Floats = model.eval()(torch.tensor([list(tokens)])).logits[0].numpy()
    return result


def by_published_name(state: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The tensors of a model under the names of published checkpoints: transformers joins the
    matrices of all experts of a layer, checkpoints hold them one by one."""
    for name, tensor in state.items():
        place, _, joined = name.rpartition(".experts.")
        if joined not in ("gate_up_proj", "down_proj"):
            yield name, tensor
            continue
        parts = ("gate_proj", "up_proj") if joined == "gate_up_proj" else ("down_proj",)
        for expert, matrix in enumerate(tensor):
            for part, rows in zip(parts, matrix.chunk(len(parts)), strict=True):
                yield f"{place}.experts.{expert}.{part}.weight", rows


def _fix_long_rope(settings: Any, context: int) -> None:
    """A model built for more than the original context takes the long factors at any length;
    transformers would take the short ones for a short sequence."""
    rope = getattr(settings, "rope_parameters", None) or {}
    if rope.get("rope_type") != "longrope":
        return
    if context > rope["original_max_position_embeddings"]:
        rope["short_factor"] = rope["long_factor"]
