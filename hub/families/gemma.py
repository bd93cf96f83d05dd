"""The Gemma family: Gemma 1, Gemma 2, and the text models of Gemma 3.

Norms with weights 1 + w, embeddings scaled by the root of their size, GELU gates, one matrix for
embedding and output head. Gemma 2 and 3 norm before and after each part and alternate layers with
a window and without; Gemma 2 holds scores and logits within soft caps (arXiv 2408.00118), Gemma 3
norms queries and keys and rotates its local layers slower (arXiv 2503.19786). Reference:
transformers' GemmaForCausalLM, Gemma2ForCausalLM and Gemma3ForCausalLM.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .config import DecoderConfig, Names, read_sizes, read_windows
from .decoder import DecoderFamily
from .family import Reader
from .rope import Rope, read_rope

SANDWICH = Names(
    output_norm="post_attention_layernorm",
    post_norm="pre_feedforward_layernorm",
    down_norm="post_feedforward_layernorm",
)
SCORE_CAP, LOGIT_CAP, QUERY_SCALAR, WINDOW = 50.0, 30.0, 256, 4096
LOCAL_THETA, GLOBAL_THETA, PATTERN = 10000.0, 1_000_000.0, 6
"""What transformers' configurations take where config.json is silent."""


def _read(reader: Reader, model_type: str) -> DecoderConfig:
    reader.ignore("cache_implementation")
    reader.expect("use_bidirectional_attention", None, False)
    reader.expect("quantization_config", None)
    reader.expect("hidden_activation", "gelu_pytorch_tanh", None)
    # An old name for the same function: transformers reads it so in Gemma 1 alone.
    old = ("gelu",) if model_type == "gemma" else ()
    reader.expect("hidden_act", "gelu_pytorch_tanh", *old)
    long = model_type == "gemma3_text"
    sizes = read_sizes(
        reader,
        head_dim=256,
        tie_word_embeddings=True,
        max_position_embeddings=131072 if long else 8192,
    )
    bias = reader.take("attention_bias", bool, False)
    return DecoderConfig(
        **sizes,
        **_PARTS[model_type](reader, sizes),
        qkv_bias=bias,
        output_bias=bias,
        activation="gelu_tanh",
        norm_offset=1.0,
        embedding_scale=sizes["hidden_size"] ** 0.5,
    )


def _gemma1(reader: Reader, sizes: Mapping[str, Any]) -> dict[str, Any]:
    return {"rope": _rope(reader, sizes, 10000.0), "windows": (0,) * max(sizes["layers"], 0)}


def _gemma2(reader: Reader, sizes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "rope": _rope(reader, sizes, 10000.0),
        "windows": _windows(reader, sizes["layers"], 2),
        "names": SANDWICH,
        **_scores(reader, SCORE_CAP, LOGIT_CAP),
    }


def _gemma3(reader: Reader, sizes: Mapping[str, Any]) -> dict[str, Any]:
    pattern = reader.take("_sliding_window_pattern", int, PATTERN)
    pattern = reader.take("sliding_window_pattern", int, pattern)
    if pattern <= 0:
        reader.refuse("sliding_window_pattern", f"every {pattern}th layer to differ")
    both = reader.take("rope_parameters", dict, None) or {}
    local_theta = reader.take("rope_local_base_freq", float, LOCAL_THETA)
    if both:
        # As newer releases of transformers save it: one set of parameters a kind of layer.
        kinds = [
            Reader({"rope_parameters": both.pop(kind, {})}, reader.family, frozenset())
            for kind in ("full_attention", "sliding_attention")
        ]
        Reader(both, f"{reader.family} rope_parameters", frozenset()).done()
        rope, local = _rope(kinds[0], sizes, GLOBAL_THETA), _rope(kinds[1], sizes, local_theta)
    else:
        rope, local = _rope(reader, sizes, GLOBAL_THETA), Rope(local_theta, sizes["head_dim"])
    return {
        "rope": rope,
        "local_rope": local,
        "windows": _windows(reader, sizes["layers"], pattern),
        "names": SANDWICH,
        "qk_norm": "head",
        **_scores(reader, 0.0, 0.0),
    }


def _rope(reader: Reader, sizes: Mapping[str, Any], theta: float) -> Rope:
    return read_rope(
        reader,
        sizes,
        kinds=("linear",),
        theta=theta,
    )


def _windows(reader: Reader, layers: int, pattern: int) -> tuple[int, ...]:
    """Every `pattern`th layer sees everything, or as layer_types says."""
    window = reader.take("sliding_window", int, 0 if reader.has("sliding_window") else WINDOW)
    if reader.has("layer_types"):
        return read_windows(reader, layers, window, "full_attention")
    return tuple(window if (index + 1) % pattern else 0 for index in range(layers))


def _scores(reader: Reader, score_cap: float, logit_cap: float) -> dict[str, Any]:
    """Caps that are null are none; those that are absent have a default."""
    caps = {"attn_logit_softcapping": score_cap, "final_logit_softcapping": logit_cap}
    read = [
        reader.take(key, float, 0.0 if reader.has(key) else default)
        for key, default in caps.items()
    ]
    scalar = reader.take("query_pre_attn_scalar", float, float(QUERY_SCALAR))
    if not scalar > 0:
        reader.refuse("query_pre_attn_scalar", f"a root of {scalar}")
    return {"score_cap": read[0], "logit_cap": read[1], "scale": scalar**-0.5}


_PARTS = {"gemma": _gemma1, "gemma2": _gemma2, "gemma3_text": _gemma3}
GEMMA = DecoderFamily("gemma", tuple(_PARTS), _read)
