"""The Ministral family: Ministral with layers of two kinds, and Ministral 3.

As Mistral. `ministral` names by layer whether it has the window; `ministral3` rotates by yarn and
lets queries grow with their position beyond the original context. Ministral 3 is published with a
vision tower around it (`mistral3`): its text model is taken, images are not read. Reference:
transformers' MinistralForCausalLM and Ministral3ForCausalLM.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .config import HARMLESS, DecoderConfig, Names, read_sizes, read_windows
from .decoder import DecoderFamily
from .family import Reader
from .rope import read_rope

TEXT_MODEL = Names(
    embedding="model.language_model.embed_tokens",
    layer="model.language_model.layers.{}.",
    norm="model.language_model.norm",
)
VISION = (
    "vision_config", "image_token_id", "image_token_index", "multimodal_projector_bias",
    "projector_hidden_act", "spatial_merge_size", "vision_feature_layer",
)  # fmt: skip
WINDOW = 4096
GROWTH = {
    "type": "yarn",
    "rope_theta": 1e6,
    "factor": 16.0,
    "original_max_position_embeddings": 16384,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "llama_4_scaling_beta": 0.1,
}
"""transformers' Ministral3Config where config.json is silent."""


def _read(reader: Reader, model_type: str) -> DecoderConfig:
    reader.expect("quantization_config", None)
    if model_type != "mistral3":
        return _PARTS[model_type](reader, Names())
    reader.ignore(*VISION)
    inner = dict(reader.take("text_config", dict))
    text = Reader(inner, reader.family, HARMLESS)
    # Said outside, inside or twice. In doubt there is a head: its absence would be noticed.
    said = [r.take("tie_word_embeddings", bool, None) for r in (reader, text)]
    given = [tied for tied in said if tied is not None]
    text.expect("model_type", "ministral3")
    text.expect("quantization_config", None)
    config = _ministral3(text, TEXT_MODEL)
    text.done()
    return replace(config, tied=bool(given) and all(given))


def _ministral(reader: Reader, names: Names) -> DecoderConfig:
    reader.expect("hidden_act", "silu")
    sizes = read_sizes(reader, num_key_value_heads=8, max_position_embeddings=131072)
    silent = not reader.has("sliding_window")
    window = WINDOW if silent else reader.take("sliding_window", int, 0)
    kind = "sliding_attention" if window else "full_attention"
    return DecoderConfig(
        **sizes,
        rope=read_rope(reader, sizes),
        windows=read_windows(reader, sizes["layers"], window, kind),
        names=names,
    )


def _ministral3(reader: Reader, names: Names) -> DecoderConfig:
    reader.expect("hidden_act", "silu")
    sizes = read_sizes(
        reader,
        num_key_value_heads=8,
        head_dim=128,
        rms_norm_eps=1e-5,
        max_position_embeddings=262144,
    )
    settings: dict[str, Any] = dict(reader.take("rope_parameters", dict, None) or GROWTH)
    # Said twice: transformers looks at the one outside.
    settings.pop("max_position_embeddings", None)
    inner = Reader(settings, f"{reader.family} rope_parameters", frozenset())
    growth = inner.take("llama_4_scaling_beta", float)
    every = inner.take("original_max_position_embeddings", int)
    del settings["llama_4_scaling_beta"]
    reader.expect("layer_types", None)
    window = reader.take("sliding_window", int, 0)
    return DecoderConfig(
        **sizes,
        rope=read_rope(
            Reader({"rope_parameters": settings}, reader.family, frozenset()),
            sizes,
            original=every,
        ),
        windows=(window,) * max(sizes["layers"], 0),
        growth=growth,
        growth_every=every,
        names=names,
    )


_PARTS = {"ministral": _ministral, "ministral3": _ministral3}
MINISTRAL = DecoderFamily("ministral", (*_PARTS, "mistral3"), _read)
