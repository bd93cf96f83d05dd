"""The Gemma 4 family: the text models of E2B and E4B.

As Gemma 3, with weights of norms as they are, values normed, scores that are not scaled, and wider
heads in the layers that see everything, of which a part is rotated. The last layers keep no keys
and values but read those of earlier ones, and every layer is given inputs of its own (per-layer
embeddings). Published with towers for images and sounds around it (`gemma4`): the text model is
taken, neither is read. Reference: transformers' Gemma4ForCausalLM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .config import HARMLESS, DecoderConfig, Names, read_sizes, read_windows
from .decoder import DecoderFamily
from .family import Reader
from .gemma import SANDWICH
from .parts import LayerInputs
from .rope import Rope, read_rope

INSIDE = "model.language_model."
TEXT_MODEL = replace(
    SANDWICH,
    embedding=f"{INSIDE}embed_tokens",
    layer=f"{INSIDE}layers.{{}}.",
    norm=f"{INSIDE}norm",
    layer_embedding=f"{INSIDE}embed_tokens_per_layer",
    input_projection=f"{INSIDE}per_layer_model_projection",
    input_norm_of_all=f"{INSIDE}per_layer_projection_norm",
)
AROUND = (
    "vision_config", "audio_config", "image_token_id", "audio_token_id", "video_token_id",
    "boi_token_id", "eoi_token_id", "boa_token_id", "eoa_token_id", "eoa_token_index",
    "vision_soft_tokens_per_image",
)  # fmt: skip
WINDOW, PATTERN, GLOBAL_HEAD_DIM = 512, 6, 512
INPUTS, INPUT_VOCAB = 256, 262144
ROPES: Mapping[str, Mapping[str, Any]] = {
    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
    "full_attention": {
        "rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1_000_000.0,
    },
}  # fmt: skip
"""What transformers' Gemma4TextConfig takes where config.json is silent."""


def _read(reader: Reader, model_type: str) -> DecoderConfig:
    reader.expect("quantization_config", None)
    if model_type == "gemma4_text":
        return _text(reader, SANDWICH)
    reader.ignore(*AROUND)
    text = Reader(dict(reader.take("text_config", dict)), reader.family, HARMLESS)
    tied = reader.take("tie_word_embeddings", bool, True)
    text.expect("model_type", "gemma4_text")
    text.expect("quantization_config", None)
    config = _text(text, TEXT_MODEL)
    text.done()
    return replace(config, tied=tied and config.tied)


def _text(reader: Reader, names: Names) -> DecoderConfig:
    reader.expect("hidden_activation", "gelu_pytorch_tanh")
    # Of images alone; "all" would let every token see every other.
    reader.expect("use_bidirectional_attention", None, "vision")
    reader.expect("attention_k_eq_v", False)
    reader.expect("num_global_key_value_heads", None)
    reader.expect("enable_moe_block", False)
    reader.ignore("num_experts", "top_k_experts", "moe_intermediate_size")
    sizes = read_sizes(
        reader,
        num_key_value_heads=4,
        head_dim=256,
        tie_word_embeddings=True,
        max_position_embeddings=131072,
    )
    wide = reader.take("global_head_dim", int, GLOBAL_HEAD_DIM)
    bias = reader.take("attention_bias", bool, False)
    widened = reader.take("use_double_wide_mlp", bool, False)
    size = reader.take("hidden_size_per_layer_input", int, INPUTS)
    vocab = reader.take("vocab_size_per_layer_input", int, INPUT_VOCAB)
    return DecoderConfig(
        **sizes,
        **_ropes(reader, sizes, wide),
        windows=_windows(reader, sizes["layers"]),
        global_head_dim=wide,
        qkv_bias=bias,
        output_bias=bias,
        qk_norm="head",
        value_norm=True,
        scale=1.0,
        activation="gelu_tanh",
        embedding_scale=sizes["hidden_size"] ** 0.5,
        logit_cap=reader.take("final_logit_softcapping", float, 0.0),
        shared_layers=reader.take("num_kv_shared_layers", int, 0),
        shared_widening=2 if widened else 1,
        layer_inputs=LayerInputs(vocab, size) if size else None,
        layer_scales_output=True,
        names=names,
    )


def _ropes(reader: Reader, sizes: Mapping[str, Any], wide: int) -> dict[str, Any]:
    both = dict(reader.take("rope_parameters", dict, None) or ROPES)
    found: dict[str, Rope] = {}
    for field, kind, dim in (
        ("rope", "full_attention", wide),
        ("local_rope", "sliding_attention", sizes["head_dim"]),
    ):
        inner = Reader({"rope_parameters": both.pop(kind, {})}, reader.family, frozenset())
        shape = {**sizes, "head_dim": dim}
        found[field] = read_rope(inner, shape, kinds=("linear", "proportional"), partial=1.0)
    Reader(both, f"{reader.family} rope_parameters", frozenset()).done()
    return found


def _windows(reader: Reader, layers: int) -> tuple[int, ...]:
    window = reader.take("sliding_window", int, WINDOW)
    if reader.has("layer_types"):
        found = read_windows(reader, layers, window, "full_attention")
    else:
        found = tuple(window if (i + 1) % PATTERN else 0 for i in range(layers))
    # As transformers: the last layer always sees everything.
    return (*found[:-1], 0)


GEMMA4 = DecoderFamily("gemma4", ("gemma4", "gemma4_text"), _read)
