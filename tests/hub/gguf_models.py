"""The tiny models as far as GGUF files can hold them, and such files opened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from gguf import GGMLQuantizationType as Kind

from hub.gguf_checkpoint import GgufCheckpoint
from tests.hub.gguf_files import write_gguf
from tests.reference.tiny import TINY, TinyModel
from tests.reference.tiny_decoder import TinyDecoder
from tests.reference.tiny_families import TINY_FAMILIES

MODELS = {tiny.name: tiny for tiny in (*TINY, *TINY_FAMILIES)}
LOST: dict[str, dict[str, Any]] = {
    "tiny-gemma2": {"query_pre_attn_scalar": 32},
    "tiny-gemma3": {
        "query_pre_attn_scalar": 32,
        "rope_local_base_freq": 10000.0,
        "sliding_window_pattern": 6,
    },
    "tiny-redpajama": {"hidden_act": "gelu"},
    "tiny-qwen3-moe": {"mlp_only_layers": [], "use_sliding_window": False},
}
"""Options that no key of a file holds: the models are tried with what llama.cpp takes."""


def representable(model: str) -> TinyModel | TinyDecoder:
    """A tiny model as far as a file can hold it."""
    tiny = MODELS[model]
    if isinstance(tiny, TinyDecoder):
        return replace(tiny, settings={**tiny.settings, **LOST.get(model, {})})
    return tiny


def opened(folder: Path, model: str, kind: Kind = Kind.F32, **options: Any) -> GgufCheckpoint:
    tiny = representable(model)
    file = write_gguf(folder / "model.gguf", tiny.config(), tiny.weights(), kind, **options)
    return GgufCheckpoint.open(file)[0]
