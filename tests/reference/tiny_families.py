"""Tiny random models of the families beyond Llama: together they switch every option there is.

Their tensors carry the names and shapes that transformers gives them (make_reference.py insists),
and every option is on in at least one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
    emphasis: Mapping[str, float] = field(default_factory=dict)
    """Factors for the tensors with these words in their names, so that what is written depends on
    all that was read and not on the last token alone."""
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
        tensors = {name: random_tensor(random, name, shape) for name, shape in shapes.items()}
        for word, factor in self.emphasis.items():
            tensors |= {n: t * np.float32(factor) for n, t in tensors.items() if word in n}
        if "gemma" in self.settings["model_type"]:
            # In steps that adding one and taking it off again gives back exactly.
            tensors |= {n: _stepped(t) for n, t in tensors.items() if t.ndim == 1}
        return tensors

    def write(self, folder: Path) -> Path:
        """Leave a complete checkpoint folder, tokenizer included."""
        return write_checkpoint(folder, self.config(), self.weights())


def _stepped(values: Array) -> Array:
    return (np.round(values * 4096) / 4096).astype(np.float32)


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


def _attention_biases(c: Settings) -> Shapes:
    if not c.get("attention_bias"):
        return {}
    query, key = _rows(c)
    biases: Shapes = {f"self_attn.{p}_proj.bias": (key,) for p in "kv"}
    return biases | {
        "self_attn.q_proj.bias": (query,),
        "self_attn.o_proj.bias": (c["hidden_size"],),
    }


def _head_norms(c: Settings) -> Shapes:
    dim = _rows(c)[0] // c["num_attention_heads"]
    return {f"self_attn.{p}_norm.weight": (dim,) for p in "qk"}


def _plain(c: Settings) -> Shapes:
    layer = _norms(c, *PRE_NORMS) | _separate(c) | _attention_biases(c)
    return _decoder(c, lambda index: layer)


def _qwen3(c: Settings) -> Shapes:
    layer = _norms(c, *PRE_NORMS) | _separate(c) | _head_norms(c) | _attention_biases(c)
    return _decoder(c, lambda index: layer)


def _olmo2(c: Settings) -> Shapes:
    query, key = _rows(c)
    norms = _norms(c, "post_attention_layernorm", "post_feedforward_layernorm")
    norms |= {"self_attn.q_norm.weight": (query,), "self_attn.k_norm.weight": (key,)}
    layer = norms | _separate(c) | _attention_biases(c)
    return _decoder(c, lambda index: layer)


def _experts(c: Settings, ffn: int) -> Shapes:
    """A router and the matrices of each expert, as published checkpoints name them."""
    hidden = c["hidden_size"]
    shapes: Shapes = {"mlp.gate.weight": (c["num_experts"], hidden)}
    for expert in range(c["num_experts"]):
        prefix = f"mlp.experts.{expert}"
        shapes |= {f"{prefix}.{part}_proj.weight": (ffn, hidden) for part in ("gate", "up")}
        shapes[f"{prefix}.down_proj.weight"] = (hidden, ffn)
    return shapes


def _sparse(c: Settings, shapes: Shapes, ffn: int) -> Shapes:
    """A layer with experts in the place of its feed-forward matrices."""
    return {k: v for k, v in shapes.items() if not k.startswith("mlp.")} | _experts(c, ffn)


def _qwen3_moe(c: Settings) -> Shapes:
    dense = _norms(c, *PRE_NORMS) | _separate(c) | _head_norms(c) | _attention_biases(c)
    sparse = _sparse(c, dense, c["moe_intermediate_size"])

    def layer(index: str) -> Shapes:
        step, at = c["decoder_sparse_step"], int(index)
        return sparse if (at + 1) % step == 0 and at not in c["mlp_only_layers"] else dense

    return _decoder(c, layer)


def _olmoe(c: Settings) -> Shapes:
    query, key = _rows(c)
    norms: Shapes = {"self_attn.q_norm.weight": (query,), "self_attn.k_norm.weight": (key,)}
    dense = _norms(c, *PRE_NORMS) | norms | _separate(c) | _attention_biases(c)
    layer = _sparse(c, dense, c["intermediate_size"])
    return _decoder(c, lambda index: layer)


def _gemma(c: Settings) -> Shapes:
    norms = _norms(c, *PRE_NORMS)
    if c["model_type"] != "gemma":
        norms |= _norms(c, "pre_feedforward_layernorm", "post_feedforward_layernorm")
    if c["model_type"] == "gemma3_text":
        norms |= _head_norms(c)
    layer = norms | _separate(c) | _attention_biases(c)
    return _decoder(c, lambda index: layer)


SHAPES: Mapping[str, Callable[[Settings], Shapes]] = {
    "gemma": _gemma,
    "gemma2": _gemma,
    "gemma3_text": _gemma,
    "llama": _plain,
    "olmo2": _olmo2,
    "olmoe": _olmoe,
    "phi3": _phi3,
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "qwen3_moe": _qwen3_moe,
    "smollm3": _plain,
}


def _factors(start: float, step: float, count: int) -> list[float]:
    return [round(start + step * i, 3) for i in range(count)]


def _qwen2_settings(**options: Any) -> Settings:
    return _settings("qwen2", "Qwen2ForCausalLM", **options)


def _phi3_settings(**options: Any) -> Settings:
    return _settings("phi3", "Phi3ForCausalLM", **options)


def _gemma_settings(model_type: str, architecture: str, **options: Any) -> Settings:
    options = {"head_dim": 32, "hidden_activation": "gelu_pytorch_tanh"} | options
    settings = _settings(model_type, architecture, tie_word_embeddings=True, **options)
    return {key: value for key, value in settings.items() if key != "hidden_act"}


OUTPUTS = {"o_proj.weight": 3.0, "down_proj.weight": 3.0}
ROUTER = {"mlp.gate.weight": 2.0}
OUTPUT_NORMS = {"post_attention_layernorm": 6.0, "post_feedforward_layernorm": 6.0}

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
    TinyDecoder(
        "tiny-phi4", 8, "a part of each head rotated, long rope, tied",
        _phi3_settings(
            hidden_size=128, partial_rotary_factor=0.75, tie_word_embeddings=True,
            rope_scaling=LONG_ROPE, max_position_embeddings=512,
            original_max_position_embeddings=16, sliding_window=262144,
        ),
    ),
    TinyDecoder(
        "tiny-llama-bias", 16, "biases on attention",
        _settings("llama", "LlamaForCausalLM", attention_bias=True, rope_scaling={
            "rope_type": "linear", "factor": 2.0,
        }),
    ),
    TinyDecoder(
        "tiny-qwen3", 13, "norms on heads that do not fill the hidden size, biases, untied",
        _settings("qwen3", "Qwen3ForCausalLM", head_dim=32, attention_bias=True),
        on_device=True,
        emphasis=OUTPUTS,
    ),
    TinyDecoder(
        "tiny-qwen3-window", 5, "a window from layer 1 on, tied",
        _settings(
            "qwen3", "Qwen3ForCausalLM", head_dim=40, tie_word_embeddings=True,
            use_sliding_window=True, sliding_window=12, max_window_layers=1,
        ),
        emphasis=OUTPUTS,
    ),
    TinyDecoder(
        "tiny-gemma", 1, "1 + w norms, scaled embeddings, GELU, one key head",
        _gemma_settings("gemma", "GemmaForCausalLM", num_key_value_heads=1),
        emphasis=OUTPUTS,
    ),
    TinyDecoder(
        "tiny-gemma2", 7, "soft caps within reach, norms on both sides, a window on odd layers",
        _gemma_settings(
            "gemma2", "Gemma2ForCausalLM", attn_logit_softcapping=2.0,
            final_logit_softcapping=12.0, query_pre_attn_scalar=24, sliding_window=10,
        ),
        on_device=True,
        emphasis=OUTPUT_NORMS,
    ),
    TinyDecoder(
        "tiny-gemma3", 1, "norms on heads, two rotary tables, linear scaling, two windows of three",
        _gemma_settings(
            "gemma3_text", "Gemma3ForCausalLM", num_hidden_layers=3, sliding_window=9,
            sliding_window_pattern=3, rope_local_base_freq=5000.0, rope_theta=100000.0,
            query_pre_attn_scalar=40, rope_scaling={"rope_type": "linear", "factor": 4.0},
        ),
        emphasis=OUTPUT_NORMS,
    ),
    TinyDecoder(
        "tiny-smollm3", 4, "a layer of three without positions, and with a window; biases",
        _settings(
            "smollm3", "SmolLM3ForCausalLM", num_hidden_layers=3, no_rope_layers=[1, 0, 1],
            use_sliding_window=True, sliding_window=20, attention_bias=True,
            tie_word_embeddings=True,
        ),
        on_device=True,
        emphasis=OUTPUTS,
    ),
    TinyDecoder(
        "tiny-olmo2", 13, "norms after, norms over all queries and all keys, biases",
        _settings("olmo2", "Olmo2ForCausalLM", attention_bias=True),
        on_device=True,
        emphasis={"embed_tokens": 10.0},
    ),
    TinyDecoder(
        "tiny-qwen3-moe", 6, "experts after a layer without, shares that add up to one, a window",
        _settings(
            "qwen3_moe", "Qwen3MoeForCausalLM", head_dim=32, num_hidden_layers=3,
            moe_intermediate_size=64, num_experts=10, num_experts_per_tok=3,
            norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[0],
            use_sliding_window=True, sliding_window=18,
        ),
        on_device=True,
        emphasis=OUTPUTS | ROUTER,
    ),
    TinyDecoder(
        "tiny-olmoe", 1, "experts in every layer, norms over all queries and all keys",
        _settings(
            "olmoe", "OlmoeForCausalLM", intermediate_size=96, num_experts=7,
            num_experts_per_tok=2, norm_topk_prob=False, clip_qkv=None,
        ),
        emphasis=OUTPUTS | ROUTER,
    ),
)  # fmt: skip
