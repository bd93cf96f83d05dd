"""The Qwen3.5 family: three layers of four remember, the fourth attends.

A layer that remembers is a gated delta network (arXiv 2412.06464); one that attends is as in
Qwen3, with norms of weights 1 + w, a quarter of each head rotated, and a gate on what each head
gives. Published with a vision tower around it (`qwen3_5`) and layers that guess further tokens:
the text model is taken, images are not read. Reference: transformers' Qwen3_5ForCausalLM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..linear_operators import DeltaShape
from .config import HARMLESS, DecoderConfig, Names, read_sizes
from .decoder import DecoderFamily
from .family import Reader
from .parts import Recurrence
from .rope import Rope, read_rope

TEXT_MODEL = Names(
    embedding="model.language_model.embed_tokens",
    layer="model.language_model.layers.{}.",
    norm="model.language_model.norm",
)
VISION = (
    "vision_config", "image_token_id", "video_token_id", "vision_start_token_id",
    "vision_end_token_id", "language_model_only",
)  # fmt: skip
GUESSING = ("mtp_num_hidden_layers", "mtp_use_dedicated_embeddings")
"""Of the layers that guess further tokens, which are not computed."""
INTERVAL, ROTATED = 4, 0.25
"""transformers' Qwen3_5TextConfig where config.json is silent: every fourth layer attends."""
REMEMBERS, ATTENDS = "linear_attention", "full_attention"


def _read(reader: Reader, model_type: str) -> DecoderConfig:
    reader.expect("quantization_config", None)
    if model_type == "qwen3_5_text":
        return _text(reader, Names())
    reader.ignore(*VISION)
    text = Reader(dict(reader.take("text_config", dict)), reader.family, HARMLESS)
    # Said outside, inside or twice. In doubt there is a head: its absence would be noticed.
    said = [r.take("tie_word_embeddings", bool, None) for r in (reader, text)]
    given = [tied for tied in said if tied is not None]
    text.expect("model_type", "qwen3_5_text")
    text.expect("quantization_config", None)
    config = _text(text, TEXT_MODEL)
    text.done()
    return replace(config, tied=bool(given) and all(given))


def _text(reader: Reader, names: Names) -> DecoderConfig:
    reader.expect("hidden_act", "silu")
    reader.expect("attn_output_gate", True)
    # Of the norm of heads that remember: other names of one function.
    reader.expect("output_gate_type", "swish", "silu", None)
    reader.expect("mamba_ssm_dtype", "float32", None)
    reader.expect("mlp_only_layers", [], None)
    reader.ignore(*GUESSING)
    sizes = read_sizes(reader, num_key_value_heads=4, head_dim=256, max_position_embeddings=32768)
    bias = reader.take("attention_bias", bool, False)
    return DecoderConfig(
        **sizes,
        rope=_rope(reader, sizes),
        windows=(0,) * max(sizes["layers"], 0),
        qkv_bias=bias,
        output_bias=bias,
        norm_offset=1.0,
        qk_norm="head",
        query_gates=True,
        recurrence=_recurrence(reader, sizes["layers"]),
        names=names,
    )


def _rope(reader: Reader, sizes: Mapping[str, Any]) -> Rope:
    """Every position of a text is the same in time, height and width, whose sections are one
    rotation then."""
    settings = dict(reader.take("rope_parameters", dict, None) or {})
    for key in ("mrope_section", "mrope_interleaved"):
        settings.pop(key, None)
    for key, usual in (("partial_rotary_factor", ROTATED), ("rope_theta", 10000.0)):
        said = reader.take(key, float, settings.get(key, usual))
        if settings.setdefault(key, said) != said:
            reader.refuse(key, f"both {said} and {settings[key]}")
    inner = Reader({"rope_parameters": settings}, reader.family, frozenset())
    return read_rope(inner, sizes, kinds=(), partial=ROTATED)


def _recurrence(reader: Reader, layers: int) -> Recurrence:
    interval = reader.take("full_attention_interval", int, INTERVAL)
    if interval < 1:
        reader.refuse("full_attention_interval", f"every {interval}th layer to attend")
    usual = [ATTENDS if (index + 1) % interval == 0 else REMEMBERS for index in range(layers)]
    kinds = reader.take("layer_types", list, None) or usual
    for kind in kinds:
        if kind not in (REMEMBERS, ATTENDS):
            reader.refuse("layer_types", f"layers of the type {kind!r}")
    shape = DeltaShape(
        key_heads=reader.take("linear_num_key_heads", int, 16),
        value_heads=reader.take("linear_num_value_heads", int, 32),
        key_dim=reader.take("linear_key_head_dim", int, 128),
        value_dim=reader.take("linear_value_head_dim", int, 128),
        kernel=reader.take("linear_conv_kernel_dim", int, 4),
    )
    return Recurrence(shape, tuple(kind == REMEMBERS for kind in kinds))


QWEN3_5 = DecoderFamily("qwen3_5", ("qwen3_5", "qwen3_5_text"), _read)
