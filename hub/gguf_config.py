"""The config.json behind a GGUF file, rebuilt from its metadata.

The keys and their meaning are those that llama.cpp writes and computes by. Where it computes by a
constant that no key holds, that constant stands here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import UnsupportedError
from .gguf_header import GgufHeader
from .gguf_metadata import Metadata

Config = dict[str, Any]
ReadFloats = Callable[[str], "np.ndarray[Any, np.dtype[np.float32]]"]
"""All elements of a vector of the file by name."""

ATTENTION = ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output")
GATED = ("ffn_norm", "ffn_gate", "ffn_up", "ffn_down")
HEAD_NORMS = ("attn_q_norm", "attn_k_norm")
SANDWICH = ("post_attention_norm", "post_ffw_norm")
AROUND = ("token_embd", "output_norm", "output")


@dataclass(frozen=True, slots=True)
class Architecture:
    """How one `general.architecture` is read.

    `tensors` are all its tensors without layer and ending; `paired` says that the rows of queries
    and keys lie in pairs that rotate together; `norm_offset` is what the file adds to norms.
    """

    model_type: str
    read: Callable[[Metadata, Config, ReadFloats], Config]
    tensors: tuple[str, ...]
    paired: bool = False
    norm_offset: float = 0.0


def architecture_of(header: GgufHeader) -> Architecture:
    """UnsupportedError for an architecture that is not read, or a part of a split file."""
    name = header.metadata.get("general.architecture")
    if header.metadata.get("split.count", 1) not in (0, 1):
        raise UnsupportedError(
            f"{header.where}: one part of several; join them first with "
            "`llama-gguf-split --merge FIRST_PART OUT.gguf`"
        )
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise UnsupportedError(
            f"{header.where}: architecture {name!r} is not read from GGUF; there are: "
            f"{', '.join(ARCHITECTURES)}. Build from the model's safetensors instead"
        )
    return ARCHITECTURES[name]


def read_config(header: GgufHeader, floats: ReadFloats) -> Config:
    """What config.json says of this model; UnsupportedError names what cannot be told."""
    architecture, metadata = architecture_of(header), Metadata(header)
    _check_tensors(metadata, architecture)
    config = {
        "model_type": architecture.model_type,
        "vocab_size": header.tensors["token_embd.weight"].shape[0],
        **_sizes(metadata),
        "tie_word_embeddings": "output.weight" not in header.tensors,
        **_ids(header.metadata),
    }
    config |= architecture.read(metadata, config, floats)
    metadata.done()
    return config


def _check_tensors(metadata: Metadata, architecture: Architecture) -> None:
    known = {*AROUND, *architecture.tensors}
    for name, tensor in metadata.tensors.items():
        kind = re.sub(r"^blk\.\d+\.", "", name).removesuffix(".weight").removesuffix(".bias")
        if kind not in known:
            raise metadata.refusal(f"holds tensor {name!r}")
        if len(tensor.shape) not in (1, 2):
            raise metadata.refusal(f"holds tensor {name!r} of {len(tensor.shape)} dimensions")
    if "token_embd.weight" not in metadata.tensors:
        raise metadata.refusal("lacks tensor 'token_embd.weight'")


def _sizes(metadata: Metadata) -> Config:
    hidden, heads = metadata.size("embedding_length"), metadata.size("attention.head_count")
    head_dim = metadata.size("attention.key_length", hidden // max(heads, 1))
    metadata.expect("attention.value_length", head_dim)
    return {
        "hidden_size": hidden,
        "intermediate_size": metadata.size("feed_forward_length"),
        "num_hidden_layers": metadata.size("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": metadata.size("attention.head_count_kv", heads),
        "head_dim": head_dim,
        "max_position_embeddings": metadata.size("context_length"),
        "rms_norm_eps": _short(metadata.take("attention.layer_norm_rms_epsilon", float)),
        "rope_theta": _short(metadata.take("rope.freq_base", float, 10000.0)),
    }


def _short(value: float) -> float:
    """The shortest decimal that is this float32: 1e-05, not 9.999999747378752e-06."""
    return float(str(np.float32(value)))


def _ids(metadata: Mapping[str, Any]) -> Config:
    keys = {"bos_token_id": "bos", "eos_token_id": "eos"}
    found = {name: metadata.get(f"tokenizer.ggml.{short}_token_id") for name, short in keys.items()}
    return {name: id for name, id in found.items() if type(id) is int}


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
    scaling: Config = {"rope_type": kind, "factor": _short(factor)}
    if kind == "yarn":
        scaling |= {"original_max_position_embeddings": original} if original else {}
        for name in ("beta_fast", "beta_slow"):
            if metadata.has(f"rope.scaling.yarn_{name}"):
                scaling[name] = _short(metadata.take(f"rope.scaling.yarn_{name}", float))
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
        scaling[f"{name}_factor"] = [_short(x) for x in floats(f"rope_factors_{name}.weight")]
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
        **{key: _short(metadata.take(key, float, usual)) for key, usual in caps.items()},
        "sliding_window": metadata.size("attention.sliding_window", 4096),
        "query_pre_attn_scalar": _query_scalar(config, GEMMA2_LARGE),
    }


def _gemma3(metadata: Metadata, config: Config, floats: ReadFloats) -> Config:
    metadata.expect("final_logit_softcapping", 0.0)
    return {
        **_gemma(metadata, config, floats),
        "rope_theta": config["rope_theta"],
        "rope_local_base_freq": _short(metadata.take("rope.freq_base_swa", float, 10000.0)),
        "sliding_window": metadata.size("attention.sliding_window"),
        "sliding_window_pattern": metadata.size("attention.sliding_window_pattern", 6),
        "query_pre_attn_scalar": _query_scalar(config, GEMMA3_LARGE),
        **_scaling(metadata, config),
    }


def _smollm3(metadata: Metadata, config: Config, floats: ReadFloats) -> Config:
    return {**_llama(metadata, config, floats), "no_rope_layer_interval": 4}


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
}
"""By general.architecture."""
