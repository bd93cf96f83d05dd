"""The Llama family: Llama 2/3.x, TinyLlama, SmolLM2, Mistral (with its sliding window).

Pre-norm decoder, grouped-query attention, rotary embeddings in the half-split form (with llama3
scaling), SwiGLU, RMSNorm, no biases. Reference: transformers' LlamaForCausalLM and
MistralForCausalLM.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UnsupportedError
from ..schemes import GROUP, Scheme
from ..weight_specs import RopeTable, WeightSpec
from .decoder import build_module
from .family import Module, ModuleShape, Reader

MODEL_TYPES = ("llama", "mistral")
MISTRAL_DEFAULTS = (8, 4096)
"""KV heads and window that transformers' MistralConfig takes where config.json is silent."""
IGNORED = frozenset(
    """_name_or_path architectures bos_token_id eos_token_id pad_token_id dtype torch_dtype
    transformers_version use_cache initializer_range attention_dropout pretraining_tp
    max_position_embeddings_original is_llama_config rope_interleaved transformers.js_config
    model_type return_dict output_hidden_states output_attentions chunk_size_feed_forward
    id2label label2id problem_type is_encoder_decoder tie_word_embeddings_source unk_token_id
    quantization_config_original _attn_implementation_autoset unsloth_fixed
    unsloth_version""".split()
)


@dataclass(frozen=True, slots=True)
class Llama3Scaling:
    """rope_scaling of type llama3: low frequencies are divided by `factor`, smoothly."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_context: int


@dataclass(frozen=True, slots=True)
class LlamaConfig:
    """A Llama checkpoint's shape; field names as in the papers, sizes in elements."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    context: int
    rms_norm_eps: float
    rope_theta: float
    rope_scaling: Llama3Scaling | None
    tied: bool
    window: int
    """Sliding window in positions, 0 for full attention."""

    @property
    def qkv_rows(self) -> int:
        return (self.heads + 2 * self.kv_heads) * self.head_dim

    @property
    def parameters(self) -> int:
        hidden, ffn = self.hidden_size, self.intermediate_size
        layer = self.qkv_rows * hidden + self.heads * self.head_dim * hidden
        layer += 3 * hidden * ffn + 2 * hidden
        embeddings = self.vocab_size * hidden * (1 if self.tied else 2)
        return self.layers * layer + embeddings + hidden


class Llama:
    """The family object the build looks up."""

    def recognises(self, config: Mapping[str, Any]) -> bool:
        return config.get("model_type") in MODEL_TYPES

    def read(self, config: Mapping[str, Any]) -> LlamaConfig:
        if not self.recognises(config):
            raise UnsupportedError(
                f"config.json: model_type {config.get('model_type')!r} is not of the family "
                f"'llama' (it reads: {', '.join(MODEL_TYPES)})"
            )
        return _read(config)

    def weights(self, config: LlamaConfig, context: int) -> tuple[WeightSpec, ...]:
        hidden = config.hidden_size
        embed = WeightSpec(
            "embedding", "matrix", ("model.embed_tokens.weight",), config.vocab_size, hidden
        )
        rope = WeightSpec("rope", "rope", (), context, rope=rope_table(config, context))
        specs = [embed, rope]
        for index in range(config.layers):
            specs += _layer_weights(config, index)
        specs.append(WeightSpec("norm", "vector", ("model.norm.weight",), hidden))
        if not config.tied:
            specs.append(
                WeightSpec("lm_head", "matrix", ("lm_head.weight",), config.vocab_size, hidden)
            )
        return tuple(specs)

    def module(self, config: LlamaConfig, scheme: Scheme, shape: ModuleShape) -> Module:
        return build_module(config, self.weights(config, shape.context), scheme, shape)


def _layer_weights(config: LlamaConfig, index: int) -> list[WeightSpec]:
    name, source = f"layers.{index}", f"model.layers.{index}"
    hidden, ffn = config.hidden_size, config.intermediate_size
    qkv = tuple(f"{source}.self_attn.{p}_proj.weight" for p in "qkv")
    gate_up = tuple(f"{source}.mlp.{p}_proj.weight" for p in ("gate", "up"))
    output = (f"{source}.self_attn.o_proj.weight",)
    down = (f"{source}.mlp.down_proj.weight",)
    post = (f"{source}.post_attention_layernorm.weight",)
    return [
        WeightSpec(f"{name}.input_norm", "vector", (f"{source}.input_layernorm.weight",), hidden),
        WeightSpec(f"{name}.qkv", "matrix", qkv, config.qkv_rows, hidden),
        WeightSpec(f"{name}.output", "matrix", output, hidden, config.heads * config.head_dim),
        WeightSpec(f"{name}.post_norm", "vector", post, hidden),
        WeightSpec(f"{name}.gate_up", "matrix", gate_up, 2 * ffn, hidden),
        WeightSpec(f"{name}.down", "matrix", down, hidden, ffn),
    ]


def _read(config: Mapping[str, Any]) -> LlamaConfig:
    mistral = config["model_type"] == "mistral"
    # transformers computes no window for model_type llama, whatever its config says.
    reader = Reader(config, "llama", IGNORED if mistral else IGNORED | {"sliding_window"})
    reader.expect("hidden_act", "silu")
    reader.expect("attention_bias", False)
    reader.expect("mlp_bias", False)
    reader.expect("quantization_config", None)
    reader.expect("partial_rotary_factor", 1.0, None)
    hidden = reader.take("hidden_size", int)
    heads = reader.take("num_attention_heads", int)
    theta, scaling = _read_rope(reader)
    default_kv_heads, default_window = MISTRAL_DEFAULTS if mistral else (heads, 0)
    window = reader.take("sliding_window", int, 0) if mistral else 0
    if "sliding_window" not in config:
        window = default_window
    kinds = reader.take("layer_types", list, None)
    wanted = "sliding_attention" if window else "full_attention"
    if any(kind != wanted for kind in kinds or ()):
        raise UnsupportedError(f"config.json: layer_types are not all {wanted!r}: {kinds}")
    result = LlamaConfig(
        vocab_size=reader.take("vocab_size", int),
        hidden_size=hidden,
        intermediate_size=reader.take("intermediate_size", int),
        layers=reader.take("num_hidden_layers", int),
        heads=heads,
        kv_heads=reader.take("num_key_value_heads", int, default_kv_heads),
        head_dim=reader.take("head_dim", int, hidden // max(heads, 1)),
        context=reader.take("max_position_embeddings", int),
        rms_norm_eps=reader.take("rms_norm_eps", float, 1e-6),
        rope_theta=theta,
        rope_scaling=scaling,
        tied=reader.take("tie_word_embeddings", bool, False),
        window=window,
    )
    reader.done()
    _check(result)
    return result


def _read_rope(reader: Reader) -> tuple[float, Llama3Scaling | None]:
    """rope_theta and rope_scaling, or both in rope_parameters as newer checkpoints have them."""
    theta = reader.take("rope_theta", float, 10000.0)
    scaling = dict(reader.take("rope_scaling", dict, None) or {})
    scaling |= reader.take("rope_parameters", dict, None) or {}
    inner = Reader(scaling, "llama rope_scaling", frozenset())
    theta = inner.take("rope_theta", float, theta)
    kinds = {inner.take("rope_type", str, "default"), inner.take("type", str, "default")}
    kind = next(iter(kinds - {"default"}), "default")
    if kind == "default":
        inner.done()
        return theta, None
    if kind != "llama3":
        raise UnsupportedError(
            f"config.json: rope_scaling type {kind!r} is not supported by the family 'llama' "
            "(supported: 'default', 'llama3')"
        )
    result = Llama3Scaling(
        factor=inner.take("factor", float),
        low_freq_factor=inner.take("low_freq_factor", float),
        high_freq_factor=inner.take("high_freq_factor", float),
        original_context=inner.take("original_max_position_embeddings", int),
    )
    inner.done()
    return theta, result


def _check(config: LlamaConfig) -> None:
    sizes = ("vocab_size", "hidden_size", "intermediate_size", "layers", "heads", "kv_heads")
    problems = [f"{name} must be positive" for name in sizes if getattr(config, name) <= 0]
    if not problems and config.heads % config.kv_heads:
        problems.append(f"{config.heads} heads do not divide among {config.kv_heads} KV heads")
    grouped = ("hidden_size", "intermediate_size")
    problems += [
        f"{name} is not a multiple of {GROUP}" for name in grouped if getattr(config, name) % GROUP
    ]
    if config.head_dim % 8 or not 0 < config.head_dim <= 256:
        problems.append(f"head_dim {config.head_dim} is not a multiple of 8 up to 256")
    if config.heads * config.head_dim % GROUP:
        problems.append(f"heads * head_dim is not a multiple of {GROUP}")
    if problems or (problems := _check_numbers(config)):
        raise UnsupportedError(f"config.json: {'; '.join(problems)}")


def _check_numbers(config: LlamaConfig) -> list[str]:
    """What would be no number, or no angle, on the device; JSON may say NaN."""
    positive: dict[str, float] = {
        "max_position_embeddings": config.context,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_theta": config.rope_theta,
    }
    scaling = config.rope_scaling
    if scaling is not None:
        positive["rope_scaling factor"] = scaling.factor
        positive["rope_scaling low_freq_factor"] = scaling.low_freq_factor
        positive["rope_scaling high_freq_factor - low_freq_factor"] = (
            scaling.high_freq_factor - scaling.low_freq_factor
        )
    return [
        f"{name} is {value}, not a positive number"
        for name, value in positive.items()
        if not 0 < value < math.inf
    ]


def rope_table(config: LlamaConfig, context: int) -> RopeTable:
    """Inverse frequencies in float32 as transformers computes them."""
    exponents = np.arange(0, config.head_dim, 2, dtype=np.float32) / np.float32(config.head_dim)
    # In float64, because float32 powers differ between processors in their last bit.
    powers = np.power(config.rope_theta, exponents.astype(np.float64)).astype(np.float32)
    inv_freq = np.float32(1.0) / powers
    if config.rope_scaling is not None:
        inv_freq = _llama3(inv_freq, config.rope_scaling)
    return RopeTable(context, tuple(float(f) for f in inv_freq.astype(np.float32)))


def _llama3(inv_freq: np.ndarray, scaling: Llama3Scaling) -> np.ndarray:
    """Llama 3.1's frequency-dependent scaling (transformers, modeling_rope_utils)."""
    length = scaling.original_context
    wavelength = np.float32(2 * math.pi) / inv_freq
    slow = inv_freq / np.float32(scaling.factor)
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    smooth = (np.float32(length) / wavelength - np.float32(low)) / np.float32(high - low)
    blended = (np.float32(1) - smooth) * slow + smooth * inv_freq
    result = np.where(wavelength > length / low, slow, inv_freq)
    medium = (wavelength <= length / low) & (wavelength >= length / high)
    return np.where(medium, blended, result).astype(np.float32)
