"""GGUF files written as llama.cpp's converter writes them, by the gguf package's own writer.

Names come from the package's table; what the converter does to tensors (rows of queries and keys
in rotating pairs, one added to Gemma's norms) is done here on its own, without the reader's code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from numpy.typing import NDArray
from tokenizers import pre_tokenizers

from tests.reference.tiny import TEMPLATE

Array = NDArray[np.float32]

ARCHITECTURES = {"mistral": "llama", "gemma3_text": "gemma3", "phi": "phi2"} | {
    "gpt_neox": "gptneox",
    "qwen3_moe": "qwen3moe",
}
PAIRED = ("llama", "smollm3")


def write_gguf(
    file: Path,
    config: Mapping[str, Any],
    weights: Mapping[str, Array],
    kind: Kind = Kind.F32,
    *,
    other: Mapping[str, Kind] | None = None,
    extra: Mapping[str, Any] | None = None,
    tokenizer: Mapping[str, Any] | None = None,
) -> Path:
    """A complete file: matrices as `kind`, or as `other` says by a part of their names.

    `extra` are metadata keys set last: int, float, bool, str or list.
    """
    arch = ARCHITECTURES.get(config["model_type"], config["model_type"])
    writer = gguf.GGUFWriter(file, arch)
    _sizes(writer, config)
    _positions(writer, config, arch)
    _tokens(writer, tokenizer)
    for key, value in (extra or {}).items():
        _set(writer, key, value)
    for name, array in _stacked(weights).items():
        chosen = [found for part, found in (other or {}).items() if part in name]
        _tensor(writer, config, arch, name, array, (chosen or [kind])[0])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _stacked(weights: Mapping[str, Array]) -> dict[str, Array]:
    """Tensors of experts in one, the first expert first."""
    found: dict[str, list[Array]] = {}
    for name, array in weights.items():
        found.setdefault(re.sub(r"\.experts\.\d+\.", ".experts.", name), []).append(array)
    return {name: a[0] if len(a) == 1 else np.stack(a) for name, a in found.items()}


def stored(config: Mapping[str, Any], name: str, array: Array) -> Array:
    """A tensor of a checkpoint as the converter leaves it in the file."""
    arch = ARCHITECTURES.get(config["model_type"], config["model_type"])
    counts = {"q_proj": config["num_attention_heads"], "k_proj": config.get("num_key_value_heads")}
    for projection, count in counts.items():
        if f".{projection}." in name and arch in PAIRED:
            halves = array.reshape(count, 2, array.shape[0] // count // 2, *array.shape[1:])
            return halves.swapaxes(1, 2).reshape(array.shape)
    if "query_key_value" in name:
        heads = array.reshape(config["num_attention_heads"], 3, -1, *array.shape[1:])
        return heads.swapaxes(0, 1).reshape(array.shape)
    if name.endswith("norm.weight") and arch.startswith("gemma"):
        return array + np.float32(1)
    return array


def _tensor(
    writer: Any, config: Mapping[str, Any], arch: str, name: str, array: Array, kind: Kind
) -> None:
    (known,) = (key for key, text in gguf.MODEL_ARCH_NAMES.items() if text == arch)
    names = gguf.get_tensor_name_map(known, config["num_hidden_layers"])
    found = names.get_name(name, try_suffixes=(".weight", ".bias"))
    assert found is not None, name
    array = np.ascontiguousarray(stored(config, name, array))
    if array.ndim == 1 or kind == Kind.F32 or "mlp.gate." in name:
        writer.add_tensor(found, array)
    else:
        writer.add_tensor(found, gguf.quantize(array, kind), raw_dtype=kind)


def _sizes(writer: Any, config: Mapping[str, Any]) -> None:
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    if "rms_norm_eps" in config:
        writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    else:
        writer.add_layer_norm_eps(config["layer_norm_eps"])
    if "use_parallel_residual" in config:
        writer.add_parallel_residual(config["use_parallel_residual"])
    if "num_experts" in config:
        writer.add_expert_count(config["num_experts"])
        writer.add_expert_used_count(config["num_experts_per_tok"])
    if "moe_intermediate_size" in config:
        writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    writer.add_vocab_size(config["vocab_size"])
    share = config.get("partial_rotary_factor", config.get("rotary_pct", 1.0))
    if config["model_type"] == "stablelm":
        share = config.get("partial_rotary_factor", 0.25)
    writer.add_rope_dimension_count(int(head_dim * share))


def _positions(writer: Any, config: Mapping[str, Any], arch: str) -> None:
    writer.add_rope_freq_base(config.get("rope_theta", config.get("rotary_emb_base", 10000.0)))
    scaling = config.get("rope_scaling") or {}
    kind = scaling.get("rope_type") or scaling.get("type")
    if config.get("sliding_window") and arch not in (
        "llama",
        "qwen2",
        "qwen3",
        "qwen3moe",
        "smollm3",
    ):
        writer.add_sliding_window(config["sliding_window"])
    if arch == "gemma2":
        writer.add_attn_logit_softcapping(config["attn_logit_softcapping"])
        writer.add_final_logit_softcapping(config["final_logit_softcapping"])
    if kind in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(kind))
        writer.add_rope_scaling_factor(scaling["factor"])
    if kind == "yarn":
        writer.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])
    if kind == "llama3":
        writer.add_tensor("rope_freqs.weight", _llama3_factors(config, scaling))
    if kind in ("longrope", "su"):
        original = config["original_max_position_embeddings"]
        writer.add_rope_scaling_orig_ctx_len(original)
        ratio = config["max_position_embeddings"] / original
        factor = (1 + np.log(ratio) / np.log(original)) ** 0.5 if ratio > 1 else 1.0
        writer.add_rope_scaling_attn_factors(float(factor))
        for name in ("long", "short"):
            factors = np.array(scaling[f"{name}_factor"], np.float32)
            writer.add_tensor(f"rope_factors_{name}.weight", factors)


def _llama3_factors(config: Mapping[str, Any], scaling: Mapping[str, Any]) -> Array:
    """As the converter loops over frequencies."""
    length = scaling["original_max_position_embeddings"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    factors = []
    for index in range(0, head_dim, 2):
        wavelength = 2 * np.pi * config["rope_theta"] ** (index / head_dim)
        smooth = (length / wavelength - low) / (high - low)
        if wavelength < length / high:
            factors.append(1.0)
        elif wavelength > length / low:
            factors.append(scaling["factor"])
        else:
            factors.append(1 / ((1 - smooth) / scaling["factor"] + smooth))
    return np.array(factors, np.float32)


def _tokens(writer: Any, tokenizer: Mapping[str, Any] | None) -> None:
    """Of a byte-level tokenizer.json; without one, the bytes that the tiny models have."""
    if tokenizer is None:
        letters = ["<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
        vocab: dict[str, int] = {token: id for id, token in enumerate(letters)}
        merges: list[Any] = []
        special = {0, 1}
    else:
        vocab, merges = dict(tokenizer["model"]["vocab"]), tokenizer["model"]["merges"]
        vocab = vocab | {item["content"]: item["id"] for item in tokenizer["added_tokens"]}
        special = {item["id"] for item in tokenizer["added_tokens"]}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(sorted(vocab, key=lambda token: vocab[token]))
    writer.add_token_types([3 if id in special else 1 for id in range(len(vocab))])
    if merges:
        pairs = [" ".join(merge) if isinstance(merge, list) else merge for merge in merges]
        writer.add_token_merges(pairs)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_chat_template(TEMPLATE)


def _set(writer: Any, key: str, value: Any) -> None:
    add: Mapping[type, Any] = {
        int: writer.add_uint32,
        float: writer.add_float32,
        bool: writer.add_bool,
        str: writer.add_string,
        list: writer.add_array,
    }
    for part in writer.kv_data:
        part.pop(key, None)
    add[type(value)](key, value)
