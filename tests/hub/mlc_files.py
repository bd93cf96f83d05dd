"""MLC repositories as its converter writes them: fused tensors, groups of codes, raw shards.

The layout is written here on its own, without the reader's code.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.reference.tiny import TEMPLATE, write_checkpoint

Array = NDArray[Any]
SHARD_NBYTES = 100_000
CONVERSATION = {
    "name": "tiny",
    "system_template": "[{system_message}]\n",
    "system_message": "Be kind.",
    "system_prefix_token_ids": [0],
    "add_role_after_system_message": True,
    "roles": {"user": "U", "assistant": "A"},
    "role_templates": {"user": "{user_message}", "assistant": "{assistant_message}"},
    "seps": ["|", "</s>"],
    "role_content_sep": ": ",
    "role_empty_sep": ":",
    "stop_str": ["</s>"],
    "stop_token_ids": [1],
}


def write_mlc(
    folder: Path,
    config: Mapping[str, Any],
    weights: Mapping[str, NDArray[np.float32]],
    quantization: str,
    *,
    index: str = "tensor-cache.json",
    template: str | None = TEMPLATE,
    **changes: Any,
) -> Path:
    """A complete folder; `changes` go into mlc-chat-config.json."""
    write_checkpoint(folder, config, {})
    for name in ("config.json", "model.safetensors"):
        (folder / name).unlink()
    settings = {"bos_token": "<s>", "eos_token": "</s>"}
    settings |= {} if template is None else {"chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    kind = config["model_type"]
    chat = {
        "version": "0.1.0",
        "model_type": kind,
        "quantization": quantization,
        "model_config": model_config(config),
        "vocab_size": config["vocab_size"],
        "conv_template": CONVERSATION,
        "bos_token_id": config["bos_token_id"],
        "eos_token_id": config["eos_token_id"],
    }
    (folder / "mlc-chat-config.json").write_text(json.dumps(chat | changes))
    stored = list(_stored(_named(kind, config, weights), quantization))
    (folder / index).write_text(json.dumps({"metadata": {}, "records": _shards(folder, stored)}))
    return folder


def model_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """What MLC keeps of a config.json."""
    kind, heads = config["model_type"], config["num_attention_heads"]
    kept = ["hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers"]
    kept += ["rms_norm_eps", "vocab_size", "num_key_value_heads", "tie_word_embeddings"]
    if "layer_norm_eps" in config:
        kept.remove("tie_word_embeddings")
        kept += ["layer_norm_eps", "use_qkv_bias", "partial_rotary_factor", "rotary_pct"]
        kept += ["use_parallel_residual"] if kind == "gpt_neox" else []
    if kind.startswith("gemma"):
        kept.remove("tie_word_embeddings")
        kept += ["attention_bias", "hidden_activation"]
    made = {key: config[key] for key in kept if key in config} | {
        "context_window_size": config["max_position_embeddings"],
        "prefill_chunk_size": 128,
        "head_dim": config.get("head_dim") or config["hidden_size"] // heads,
        "tensor_parallel_shards": 1,
        "max_batch_size": 1,
    }
    if kind.startswith("qwen"):
        extra = {}
        if kind.startswith("qwen3"):
            extra["attention_bias"] = config.get("attention_bias", False)
            extra["weight_block_size"] = None
        if kind == "qwen3_moe":
            routed = ("moe_intermediate_size", "num_experts", "num_experts_per_tok")
            extra |= {key: config[key] for key in (*routed, "norm_topk_prob")}
            extra["decoder_sparse_step"] = 1
        return made | extra | {"rope_theta": config["rope_theta"], "hidden_act": "silu"}
    if kind == "stablelm":
        return made | {"rope_theta": config["rope_theta"]} | {"partial_rotary_factor": 0.25}
    theta = config.get("rope_theta", config.get("rotary_emb_base", 10000))
    made["position_embedding_base"] = theta
    if kind == "llama" and "rope_scaling" in config:
        made["rope_scaling"] = config["rope_scaling"]
    return made | EXTRA[kind](config, made) if kind in EXTRA else made


def _mistral(config: Mapping[str, Any], made: Mapping[str, Any]) -> dict[str, Any]:
    return {"sliding_window_size": config["sliding_window"], "attention_sink_size": 4}


def _gemma2(config: Mapping[str, Any], made: Mapping[str, Any]) -> dict[str, Any]:
    caps = ("attn_logit_softcapping", "final_logit_softcapping", "query_pre_attn_scalar")
    return {key: config[key] for key in (*caps, "sliding_window")}


def _gemma3(config: Mapping[str, Any], made: Mapping[str, Any]) -> dict[str, Any]:
    """All of it in a config of the text model, sizes of devices outside."""
    around = ("vocab_size", "tensor_parallel_shards", "max_batch_size")
    inner = {key: value for key, value in made.items() if key not in around}
    inner |= {"query_pre_attn_scalar": config["query_pre_attn_scalar"], "rope_scaling": 0}
    inner["sliding_window_size"] = config["sliding_window"]
    inner["kwargs"] = {"rope_local_base_freq": config["rope_local_base_freq"], "pad_token_id": 0}
    return {"text_config": inner, "is_text_model": True}


def _phi3(config: Mapping[str, Any], made: Mapping[str, Any]) -> dict[str, Any]:
    length = config["max_position_embeddings"]
    original = config.get("original_max_position_embeddings", 0)
    scaling = dict(config.get("rope_scaling") or {})
    if scaling:
        name = scaling.pop("type", None) or scaling.pop("rope_type")
        scaling |= {"type": name, "rope_type": name, "max_position_embeddings": length}
        scaling["original_max_position_embeddings"] = original
    return {
        "model_type": "phi3",
        "max_position_embeddings": length,
        "original_max_position_embeddings": original,
        "partial_rotary_factor": config.get("partial_rotary_factor", 1.0),
        "rope_scaling": scaling or None,
    }


EXTRA: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]] = {
    "gemma2": _gemma2,
    "gemma3_text": _gemma3,
    "mistral": _mistral,
    "phi3": _phi3,
}


def grouped(weight: Array, quantization: str) -> tuple[Array, Array]:
    """Codes as words and scales of a matrix, group by group: the largest element is 7 scales."""
    bits = int(quantization[1])
    group, in_word, most = {4: (32, 8, 7), 3: (40, 10, 3)}[bits]
    dtype = np.float16 if quantization[2:5] == "f16" else np.float32
    rows, cols = weight.shape
    padded = np.zeros((rows, -(-cols // group) * group), np.float32)
    padded[:, :cols] = weight.astype(dtype)
    groups = padded.reshape(rows, -1, group)
    scales = (np.abs(groups).max(axis=2) / dtype(most)).astype(dtype)
    inverse = 1 / np.where(scales == 0, 1, scales).astype(np.float32)
    codes = np.clip(np.rint(groups * inverse[:, :, None]) + most, 0, 2 * most).astype(np.uint32)
    words = np.zeros((rows, padded.shape[1] // in_word), np.uint32)
    for place in range(in_word):
        words |= codes.reshape(rows, -1, in_word)[:, :, place] << np.uint32(bits * place)
    return words, scales


def meant(weight: Array, quantization: str) -> NDArray[np.float32]:
    """The float32 values that the groups of a matrix stand for."""
    words, scales = grouped(weight, quantization)
    bits = int(quantization[1])
    group, in_word, most = {4: (32, 8, 7), 3: (40, 10, 3)}[bits]
    places = [(words >> np.uint32(bits * i)) & np.uint32((1 << bits) - 1) for i in range(in_word)]
    codes = np.stack(places, axis=2).reshape(len(words), -1).astype(np.float32) - most
    values = codes.reshape(len(words), -1, group) * scales.astype(np.float32)[:, :, None]
    return values.reshape(len(words), -1)[:, : weight.shape[1]]


def _named(
    kind: str, config: Mapping[str, Any], weights: Mapping[str, Array]
) -> Iterator[tuple[str, Array]]:
    """Tensors as MLC names and fuses them."""
    qwen = dict.fromkeys(("qwen2", "qwen3", "qwen3_moe"), "c_attn")
    qkv = {**qwen, "phi": "Wqkv"}.get(kind, "qkv_proj")
    prefix = "language_model." if kind == "gemma3_text" else ""
    for name, array in weights.items():
        if name.endswith("norm.weight") and kind.startswith("gemma"):
            array = array + np.float32(1)
        if ".q_proj." in name and not prefix:
            parts = [weights[name.replace("q_proj", f"{p}_proj")] for p in "qkv"]
            yield _phi_name(kind, name.replace("q_proj", qkv)), np.concatenate(parts)
        elif "query_key_value" in name:
            heads = array.reshape(config["num_attention_heads"], 3, -1, *array.shape[1:])
            yield name, heads.swapaxes(0, 1).reshape(array.shape)
        elif ".experts." in name:
            # All experts of a layer at once, where its first is.
            if ".experts.0." in name and ".up_proj." not in name:
                yield _experts(name, weights, config["num_experts"])
        elif ".gate_proj." in name:
            parts = [array, weights[name.replace("gate_proj", "up_proj")]]
            yield prefix + name.replace("gate_proj", "gate_up_proj"), np.concatenate(parts)
        elif ".up_proj." not in name and (prefix or not re.search(r"\.[kv]_proj\.", name)):
            yield prefix + _phi_name(kind, name), array


def _experts(name: str, weights: Mapping[str, Array], count: int) -> tuple[str, Array]:
    """[experts, rows, columns] of all gates, each with its up rows below, or of all ways down."""
    layer, part = name.split(".experts.0.")
    fused, parts = {
        "gate_proj.weight": ("moe_gate_up_proj.weight", ("gate_proj.weight", "up_proj.weight")),
        "down_proj.weight": ("moe_down_proj.weight", ("down_proj.weight",)),
    }[part]
    matrices = [
        np.concatenate([weights[f"{layer}.experts.{expert}.{part}"] for part in parts])
        for expert in range(count)
    ]
    return f"{layer}.{fused}", np.stack(matrices)


def _phi_name(kind: str, name: str) -> str:
    """MLC keeps names of old for the Phi models."""
    if kind not in ("phi", "phi3"):
        return name
    output = "self_attn.o_proj" if kind == "phi3" else "self_attn.dense"
    for ours, theirs in {
        "lm_head.": "lm_head." if kind == "phi3" else "lm_head.linear.",
        "model.final_layernorm": "lm_head.ln",
        "model.embed_tokens": "transformer.embd",
        "model.layers.": "transformer.h.",
        "model.norm": "transformer.norm",
        "input_layernorm": "ln",
        output: "mixer.out_proj",
        "self_attn.": "mixer.",
    }.items():
        name = name.replace(ours, theirs)
    return name


def _stored(
    tensors: Iterator[tuple[str, Array]], quantization: str
) -> Iterator[tuple[str, str, str, Array]]:
    """(name, dtype, format, bytes as an array) of everything in the shards."""
    dtype = np.float16 if quantization[2:5] == "f16" else np.float32
    for name, array in tensors:
        if array.ndim > 1 and not quantization.startswith("q0") and "mlp.gate." not in name:
            stem = name.removesuffix("weight")
            flat = grouped(array.reshape(-1, array.shape[-1]), quantization)
            words, scales = (part.reshape(*array.shape[:-1], -1) for part in flat)
            yield f"{stem}q_weight", "uint32", "raw", words
            yield f"{stem}q_scale", scales.dtype.name, "raw", scales
        else:
            yield name, np.dtype(dtype).name, "raw", array.astype(dtype)


def _shards(folder: Path, stored: list[tuple[str, str, str, Array]]) -> list[dict[str, Any]]:
    shards: list[tuple[bytearray, list[dict[str, Any]]]] = []
    for name, dtype, form, array in stored:
        if not shards or len(shards[-1][0]) + array.nbytes > SHARD_NBYTES:
            shards.append((bytearray(), []))
        data, records = shards[-1]
        place = {"nbytes": array.nbytes, "byteOffset": len(data)}
        records.append(
            {"name": name, "shape": [*array.shape], "dtype": dtype, "format": form, **place}
        )
        data += array.tobytes()
    found = []
    for number, (data, records) in enumerate(shards):
        (folder / f"params_shard_{number}.bin").write_bytes(data)
        record: dict[str, Any] = {"dataPath": f"params_shard_{number}.bin", "format": "raw-shard"}
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        found.append(record | {"nbytes": len(data), "md5sum": md5, "records": records})
    return found
