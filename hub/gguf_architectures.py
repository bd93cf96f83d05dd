"""How the architectures of GGUF files are read: config.json's keys from theirs.

The keys and their meaning are those that llama.cpp writes and computes by. Where it computes by a
constant that no key holds, that constant stands here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .gguf_metadata import Metadata, shortest

Config = dict[str, Any]
ReadFloats = Callable[[str], "np.ndarray[Any, np.dtype[np.float32]]"]
"""All elements of a vector of the file by name."""

ATTENTION = ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output")
GATED = ("ffn_norm", "ffn_gate", "ffn_up", "ffn_down")
UNGATED = ("ffn_norm", "ffn_up", "ffn_down")
EXPERTS = ("ffn_norm", "ffn_gate_inp", "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps")
HEAD_NORMS = ("attn_q_norm", "attn_k_norm")
SANDWICH = ("post_attention_norm", "post_ffw_norm")


@dataclass(frozen=True, slots=True)
class Architecture:
    """How one `general.architecture` is read.

    `tensors` are all its tensors without layer and ending; `paired` says that the rows of queries
    and keys lie in pairs that rotate together, `parted` that those of all heads' queries, keys and
    values lie one after the other where the family has them head by head; `norm_offset` is what
    the file adds to norms, and `norm_eps` the key of what they divide by.
    """

    model_type: str
    read: Callable[[Metadata, Config, ReadFloats], Config]
    tensors: tuple[str, ...]
    paired: bool = False
    parted: bool = False
    norm_offset: float = 0.0
    norm_eps: str = "rms_norm_eps"


def _whole_heads(metadata: Metadata, config: Config) -> None:
    metadata.expect("rope.dimension_count", config["head_dim"])


def _attention_bias(metadata: Metadata) -> bool:
    return "blk.0.attn_q.bias" in metadata.tensors


def _scaling(metadata: Metadata, config: Config) -> Config:
    """rope_scaling of type none, linear or yarn."""
    kind = metadata.take("rope.scaling.type", str, "none")
    factor = metadata.take("rope.scaling.factor", float, 0.0)
    original = metadata.take("rope.scaling.original_context_length", int, 0)
    if kind == "none" or not factor:
        return {}
    scaling: Config = {"rope_type": kind, "factor": shortest(factor)}
    if kind == "yarn":
        scaling |= {"original_max_position_embeddings": original} if original else {}
        for name in ("beta_fast", "beta_slow"):
            if metadata.has(f"rope.scaling.yarn_{name}"):
                scaling[name] = shortest(metadata.take(f"rope.scaling.yarn_{name}", float))
    elif kind != "linear":
        raise metadata.refusal(f"has rope.scaling.type = {kind!r}")
    return {"rope_scaling": scaling}


def _llama(metadata: Metadata, config: Config, floats: ReadFloats) -> Config:
    _whole_heads(metadata, config)
    metadata.expect("expert_count", 0)
    metadata.expect("expert_used_count", 0)
    scaling = _scaling(metadata, config)
    if "rope_freqs.weight" in metadata.tensors:
        scaling = {"rope_scaling": _llama3(metadata, config, floats("rope_freqs.weight"))}
    return {"hidden_act": "silu", "attention_bias": _attention_bias(metadata), **scaling}


def _llama3(metadata: Metadata, config: Config, factors: Any) -> Config:
    """The scaling of Llama 3.1 and later, of which a file holds only the divisors."""
    low, high, original = 1.0, 4.0, 8192
    factor = float(factors.max()) if factors.size else 0.0
    exponents = np.arange(0, config["head_dim"], 2) / max(config["head_dim"], 1)
    rotations = original / (2 * math.pi * config["rope_theta"] ** exponents)
    smooth = np.clip((rotations - low) / (high - low), 0.0, 1.0)
    wanted = 1 / ((1 - smooth) / max(factor, 1.0) + smooth)
    if factors.shape != wanted.shape or not np.allclose(factors, wanted, rtol=1e-4):
        raise metadata.refusal("has rope_freqs.weight that are not those of Llama 3")
    return {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": low,
        "high_freq_factor": high,
        "original_max_position_embeddings": original,
    }


def _qwen2(metadata: Metadata, config: Config, floats: ReadFloats) -> Config:
    _whole_heads(metadata, config)
    return {"hidden_act": "silu", "use_sliding_window": False, **_scaling(metadata, config)}


def _qwen3(metadata: Metadata, config: Config, floats: ReadFloats) -> Config:
    _whole_heads(metadata, config)
    bias = {"attention_bias": _attention_bias(metadata), "use_sliding_window": False}
    return {"hidden_act": "silu", **bias, **_scaling(metadata, config)}


def _phi3(metadata: Metadata, config: Config, floats: ReadFloats) -> Config:
    dims = metadata.size("rope.dimension_count", config["head_dim"])
    read = {
        "hidden_act": "silu",
        "sliding_window": metadata.size("attention.sliding_window", 0) or None,
        "partial_rotary_factor": dims / config["head_dim"],
    }
    original = metadata.size("rope.scaling.original_context_length", 0)
    attention = metadata.take("rope.scaling.attn_factor", float, None)
    metadata.expect("rope.scaling.type", "longrope", "none")
    if "rope_factors_long.weight" not in metadata.tensors:
        return read
    scaling: Config = {"rope_type": "longrope"}
    for name in ("short", "long"):
        scaling[f"{name}_factor"] = [shortest(x) for x in floats(f"rope_factors_{name}.weight")]
    if attention is not None:
        scaling["attention_factor"] = _long_factor(config, original, attention)
    return read | {"rope_scaling": scaling, "original_max_position_embeddings": original}


def _long_factor(config: Config, original: int, stored: float) -> float:
    """The factor of long rope without the rounding of the file, where it is the usual one."""
    ratio = config["max_position_embeddings"] / max(original, 1)
    usual = 1.0
    if ratio > 1 and original > 1:
        usual = math.sqrt(1 + math.log(ratio) / math.log(original))
    return usual if math.isclose(usual, stored, rel_tol=1e-6) else stored


def _gemma(metadata: Metadata, config: Config, floats: ReadFloats) -> Config:
    _whole_heads(metadata, config)
    return {"hidden_activation": "gelu_pytorch_tanh"}


GEMMA2_LARGE, GEMMA3_LARGE = 46, 62
"""Layers of the 27B models, whose scores are scaled by another size than the head's."""


def _query_scalar(config: Config, large: int) -> float:
    if config["num_hidden_layers"] == large:
        return float(config["hidden_size"] / config["num_attention_heads"])
    return float(config["head_dim"])


def _gemma2(metadata: Metadata, config: Config, floats: ReadFloats) -> Config:
    caps = {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}
    return {
        **_gemma(metadata, config, floats),
        **{key: shortest(metadata.take(key, float, usual)) for key, usual in caps.items()},
        "sliding_window": metadata.size("attention.sliding_window", 4096),
        "query_pre_attn_scalar": _query_scalar(config, GEMMA2_LARGE),
    }


def _gemma3(metadata: Metadata, config: Config, floats: ReadFloats) -> Config:
    metadata.expect("final_logit_softcapping", 0.0)
    return {
        **_gemma(metadata, config, floats),
        "rope_theta": config["rope_theta"],
        "rope_local_base_freq": shortest(metadata.take("rope.freq_base_swa", float, 10000.0)),
        "sliding_window": metadata.size("attention.sliding_window"),
        "sliding_window_pattern": metadata.size("attention.sliding_window_pattern", 6),
        "query_pre_attn_scalar": _query_scalar(config, GEMMA3_LARGE),
        **_scaling(metadata, config),
    }


def _smollm3(metadata: Metadata, config: Config, floats: ReadFloats) -> Config:
    return {**_llama(metadata, config, floats), "no_rope_layer_interval": 4}


def _part_of_heads(metadata: Metadata, config: Config) -> float:
    """The share of a head that rotates."""
    dims = metadata.size("rope.dimension_count", config["head_dim"])
    return float(dims / config["head_dim"])


def _stablelm(metadata: Metadata, config: Config, floats: ReadFloats) -> Config:
    if config["head_dim"] * config["num_attention_heads"] != config["hidden_size"]:
        raise metadata.refusal("has heads that do not fill the hidden size")
    return {
        "hidden_act": "silu",
        "partial_rotary_factor": _part_of_heads(metadata, config),
        "head_dim": None,
        "use_qkv_bias": _attention_bias(metadata),
        "use_parallel_residual": metadata.take("use_parallel_residual", bool, False),
        **_scaling(metadata, config),
    }


def _phi2(metadata: Metadata, config: Config, floats: ReadFloats) -> Config:
    share = _part_of_heads(metadata, config)
    return {
        "hidden_act": "gelu_new",
        "partial_rotary_factor": share,
        **_scaling(metadata, config),
    }


def _gptneox(metadata: Metadata, config: Config, floats: ReadFloats) -> Config:
    """No key tells the kind of GELU: Pythia, Dolly and RedPajama have the exact one."""
    return {
        "hidden_act": "gelu",
        "rotary_pct": _part_of_heads(metadata, config),
        "rotary_emb_base": config["rope_theta"],
        "attention_bias": "blk.0.attn_qkv.bias" in metadata.tensors,
        "use_parallel_residual": metadata.take("use_parallel_residual", bool, True),
        **dict.fromkeys(("rope_theta", "head_dim", "num_key_value_heads")),
        **_scaling(metadata, config),
    }


SOFTMAX = 1
"""How a router's logits become shares, as files number it."""


def _experts(metadata: Metadata, *, renormalize: bool) -> Config:
    """Of models whose experts are all chosen by the router; what no key need say, none may deny."""
    metadata.expect("expert_gating_func", SOFTMAX)
    metadata.expect("expert_weights_norm", renormalize)
    metadata.expect("expert_weights_scale", 0.0, 1.0)
    metadata.expect("expert_shared_count", 0)
    metadata.expect("expert_shared_feed_forward_length", 0)
    return {
        "num_experts": metadata.size("expert_count"),
        "num_experts_per_tok": metadata.size("expert_used_count"),
        "norm_topk_prob": renormalize,
    }


def _qwen3_moe(metadata: Metadata, config: Config, floats: ReadFloats) -> Config:
    return {
        **_qwen3(metadata, config, floats),
        **_experts(metadata, renormalize=True),
        "moe_intermediate_size": metadata.size("expert_feed_forward_length"),
    }


def _olmoe(metadata: Metadata, config: Config, floats: ReadFloats) -> Config:
    metadata.expect("expert_feed_forward_length", config["intermediate_size"])
    return {**_olmo2(metadata, config, floats), **_experts(metadata, renormalize=False)}


def _olmo2(metadata: Metadata, config: Config, floats: ReadFloats) -> Config:
    _whole_heads(metadata, config)
    bias = _attention_bias(metadata)
    return {"hidden_act": "silu", "attention_bias": bias, **_scaling(metadata, config)}


ARCHITECTURES = {
    "llama": Architecture("llama", _llama, (*ATTENTION, *GATED, "rope_freqs"), paired=True),
    "qwen2": Architecture("qwen2", _qwen2, (*ATTENTION, *GATED)),
    "qwen3": Architecture("qwen3", _qwen3, (*ATTENTION, *HEAD_NORMS, *GATED)),
    "phi3": Architecture(
        "phi3",
        _phi3,
        ("attn_qkv", *ATTENTION, *GATED, "rope_factors_long", "rope_factors_short"),
    ),
    "gemma": Architecture("gemma", _gemma, (*ATTENTION, *GATED), norm_offset=1.0),
    "gemma2": Architecture("gemma2", _gemma2, (*ATTENTION, *SANDWICH, *GATED), norm_offset=1.0),
    "gemma3": Architecture(
        "gemma3_text",
        _gemma3,
        (*ATTENTION, *HEAD_NORMS, *SANDWICH, *GATED),
        norm_offset=1.0,
    ),
    "smollm3": Architecture("smollm3", _smollm3, (*ATTENTION, *GATED, "rope_freqs"), paired=True),
    "olmo2": Architecture("olmo2", _olmo2, (*ATTENTION, *HEAD_NORMS, *SANDWICH, *GATED)),
    "stablelm": Architecture(
        "stablelm", _stablelm, (*ATTENTION, *GATED), norm_eps="layer_norm_eps"
    ),
    "phi2": Architecture("phi", _phi2, (*ATTENTION, *UNGATED), norm_eps="layer_norm_eps"),
    "gptneox": Architecture(
        "gpt_neox",
        _gptneox,
        ("attn_qkv", *ATTENTION, *UNGATED),
        parted=True,
        norm_eps="layer_norm_eps",
    ),
    "qwen3moe": Architecture("qwen3_moe", _qwen3_moe, (*ATTENTION, *HEAD_NORMS, *EXPERTS)),
    "olmoe": Architecture("olmoe", _olmoe, (*ATTENTION, *HEAD_NORMS, *EXPERTS)),
}
"""By general.architecture."""
