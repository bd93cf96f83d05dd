"""The config.json behind a GGUF file, rebuilt from its metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .errors import UnsupportedError
from .gguf_architectures import ARCHITECTURES, Architecture, Config, ReadFloats
from .gguf_header import GgufHeader
from .gguf_metadata import Metadata, shortest

AROUND = ("token_embd", "output_norm", "output")
"""Tensors around the layers."""
EPS_KEYS = {
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "layer_norm_eps": "attention.layer_norm_epsilon",
}
"""The file's key by config.json's."""


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
        architecture.norm_eps: shortest(metadata.take(EPS_KEYS[architecture.norm_eps], float)),
        "tie_word_embeddings": "output.weight" not in header.tensors,
        **_ids(header.metadata),
    }
    config |= architecture.read(metadata, config, floats)
    metadata.done()
    return {key: value for key, value in config.items() if value is not None}


def _check_tensors(metadata: Metadata, architecture: Architecture) -> None:
    known = {*AROUND, *architecture.tensors}
    for name, tensor in metadata.tensors.items():
        kind = re.sub(r"^blk\.\d+\.", "", name).removesuffix(".weight").removesuffix(".bias")
        if kind not in known:
            raise metadata.refusal(f"holds tensor {name!r}")
        if len(tensor.shape) not in ((3,) if kind.endswith("_exps") else (1, 2)):
            raise metadata.refusal(f"holds tensor {name!r} of {len(tensor.shape)} dimensions")
    if "token_embd.weight" not in metadata.tensors:
        raise metadata.refusal("lacks tensor 'token_embd.weight'")


def _sizes(metadata: Metadata) -> Config:
    hidden, heads = metadata.size("embedding_length"), metadata.size("attention.head_count")
    head_dim = metadata.size("attention.key_length", hidden // max(heads, 1))
    metadata.expect("attention.value_length", head_dim)
    sizes = {
        "hidden_size": hidden,
        "intermediate_size": metadata.size("feed_forward_length"),
        "num_hidden_layers": metadata.size("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": metadata.size("attention.head_count_kv", heads),
        "head_dim": head_dim,
        "max_position_embeddings": metadata.size("context_length"),
    }
    for name, size in sizes.items():
        if size < 1:
            raise metadata.refusal(f"has {name} = {size}")
    if sizes["num_hidden_layers"] > len(metadata.tensors):
        raise metadata.refusal(f"has {sizes['num_hidden_layers']} layers and fewer tensors")
    return sizes | {"rope_theta": shortest(metadata.take("rope.freq_base", float, 10000.0))}


def _ids(metadata: Mapping[str, Any]) -> Config:
    keys = {"bos_token_id": "bos", "eos_token_id": "eos"}
    found = {name: metadata.get(f"tokenizer.ggml.{short}_token_id") for name, short in keys.items()}
    return {name: id for name, id in found.items() if type(id) is int}
