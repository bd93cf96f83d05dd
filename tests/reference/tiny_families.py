"""Tiny random models of the families beyond Llama: together they switch every option there is.

Their tensors carry the names and shapes that transformers gives them (make_reference.py insists),
and every option is on in at least one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .tiny import Array, random_tensor, write_checkpoint

Shapes = dict[str, tuple[int, ...]]
Settings = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TinyDecoder:
    """A checkpoint by its config.json; `options` says what it is there to try."""

    name: str
    seed: int
    options: str
    settings: Settings
    on_device: bool = False
    schemes = ("f32", "q4")

    @property
    def vocab(self) -> int:
        return int(self.settings["vocab_size"])

    def config(self) -> dict[str, Any]:
        """The config.json a publisher would ship."""
        return dict(self.settings)

    def weights(self) -> dict[str, Array]:
        """Named tensors, float32, in checkpoint order."""
        random = np.random.default_rng(self.seed)
        shapes = SHAPES[self.settings["model_type"]](self.settings)
        return {name: random_tensor(random, name, shape) for name, shape in shapes.items()}

    def write(self, folder: Path) -> Path:
        """Leave a complete checkpoint folder, tokenizer included."""
        return write_checkpoint(folder, self.config(), self.weights())


def _settings(model_type: str, architecture: str, **options: Any) -> Settings:
    """Two layers, grouped-query attention, sizes no tile divides; `options` over that."""
    return {
        "architectures": [architecture],
        "model_type": model_type,
        "vocab_size": 283,
        "hidden_size": 96,
        "intermediate_size": 224,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 0,
        "torch_dtype": "float32",
    } | options


def _rows(c: Settings) -> tuple[int, int]:
    """Elements of all query heads, and of all key heads."""
    heads = c["num_attention_heads"]
    head_dim = c.get("head_dim") or c["hidden_size"] // heads
    return heads * head_dim, c["num_key_value_heads"] * head_dim


def _decoder(c: Settings, layer: Callable[[str], Shapes]) -> Shapes:
    """The tensors around the layers as Llama names them."""
    hidden = c["hidden_size"]
    shapes: Shapes = {"model.embed_tokens.weight": (c["vocab_size"], hidden)}
    for index in range(c["num_hidden_layers"]):
        shapes |= {f"model.layers.{index}.{k}": v for k, v in layer(f"{index}").items()}
    shapes["model.norm.weight"] = (hidden,)
    if not c["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (c["vocab_size"], hidden)
    return shapes


def _separate(c: Settings) -> Shapes:
    """The matrices of a layer as Llama has them."""
    (query, key), hidden, ffn = _rows(c), c["hidden_size"], c["intermediate_size"]
    return {
        "self_attn.q_proj.weight": (query, hidden),
        "self_attn.k_proj.weight": (key, hidden),
        "self_attn.v_proj.weight": (key, hidden),
        "self_attn.o_proj.weight": (hidden, query),
        "mlp.gate_proj.weight": (ffn, hidden),
        "mlp.up_proj.weight": (ffn, hidden),
        "mlp.down_proj.weight": (hidden, ffn),
    }


def _norms(c: Settings, *names: str) -> Shapes:
    return {f"{name}.weight": (c["hidden_size"],) for name in names}


PRE_NORMS = ("input_layernorm", "post_attention_layernorm")


def _qwen2(c: Settings) -> Shapes:
    query, key = _rows(c)
    biases: Shapes = {f"self_attn.{p}_proj.bias": (key,) for p in "kv"}
    layer = _norms(c, *PRE_NORMS) | _separate(c) | {"self_attn.q_proj.bias": (query,)} | biases
    return _decoder(c, lambda index: layer)


def _phi3(c: Settings) -> Shapes:
    (query, key), hidden, ffn = _rows(c), c["hidden_size"], c["intermediate_size"]
    layer = _norms(c, *PRE_NORMS) | {
        "self_attn.qkv_proj.weight": (query + 2 * key, hidden),
        "self_attn.o_proj.weight": (hidden, query),
        "mlp.gate_up_proj.weight": (2 * ffn, hidden),
        "mlp.down_proj.weight": (hidden, ffn),
    }
    return _decoder(c, lambda index: layer)


SHAPES: Mapping[str, Callable[[Settings], Shapes]] = {"phi3": _phi3, "qwen2": _qwen2}


def _factors(start: float, step: float, count: int) -> list[float]:
    return [round(start + step * i, 3) for i in range(count)]


def _qwen2_settings(**options: Any) -> Settings:
    return _settings("qwen2", "Qwen2ForCausalLM", **options)


def _phi3_settings(**options: Any) -> Settings:
    return _settings("phi3", "Phi3ForCausalLM", **options)


LONG_ROPE = {
    "type": "longrope",
    "short_factor": _factors(1.0, 0.04, 12),
    "long_factor": _factors(1.2, 0.6, 12),
}

TINY_FAMILIES = (
    TinyDecoder(
        "tiny-qwen2", 21, "biases, untied", _qwen2_settings(use_sliding_window=False),
        on_device=True,
    ),
    TinyDecoder(
        "tiny-qwen2-window", 1, "tied, yarn, a window from layer 1 on",
        _qwen2_settings(
            tie_word_embeddings=True, use_sliding_window=True, sliding_window=16,
            max_window_layers=1, num_hidden_layers=3,
            rope_scaling={
                "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64,
            },
        ),
    ),
    TinyDecoder(
        "tiny-phi3", 2, "fused tensors, a window, head_dim 24",
        _phi3_settings(sliding_window=15, original_max_position_embeddings=256),
        on_device=True,
    ),
    TinyDecoder(
        "tiny-phi3-short", 6, "long rope within the original context",
        _phi3_settings(
            rope_scaling=LONG_ROPE, max_position_embeddings=1024,
            original_max_position_embeddings=128, sliding_window=262144,
        ),
    ),
    TinyDecoder(
        "tiny-phi3-long", 2, "long rope beyond the original context, tied",
        _phi3_settings(
            rope_scaling=LONG_ROPE, max_position_embeddings=512,
            original_max_position_embeddings=16, tie_word_embeddings=True,
        ),
    ),
)  # fmt: skip
