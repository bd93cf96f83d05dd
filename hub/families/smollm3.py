"""The SmolLM3 family.

As Llama, but every fourth layer, or those that `no_rope_layers` marks with 0, does not rotate;
with `use_sliding_window` these have the window. Reference: transformers' SmolLM3ForCausalLM; layers
without positions: arXiv 2501.18795.
"""

from __future__ import annotations

from .config import DecoderConfig, read_sizes, read_windows
from .decoder import DecoderFamily
from .family import Reader
from .rope import read_rope


def _read(reader: Reader, model_type: str) -> DecoderConfig:
    reader.expect("hidden_act", "silu")
    reader.expect("mlp_bias", False)
    reader.expect("quantization_config", None)
    # Transformers computes nothing with these.
    reader.ignore("pretraining_tp", "max_window_layers")
    sizes = read_sizes(reader, num_key_value_heads=4, tie_word_embeddings=True)
    bias = reader.take("attention_bias", bool, False)
    rotated = _rotated(reader, sizes["layers"])
    return DecoderConfig(
        **sizes,
        rope=read_rope(reader, sizes),
        windows=_windows(reader, rotated),
        qkv_bias=bias,
        output_bias=bias,
        rotated=rotated,
    )


def _rotated(reader: Reader, layers: int) -> tuple[bool, ...]:
    interval = reader.take("no_rope_layer_interval", int, 4)
    marks = reader.take("no_rope_layers", list, None)
    if marks is None:
        return tuple((index + 1) % max(interval, 1) != 0 for index in range(layers))
    return tuple(bool(mark) for mark in marks)


def _windows(reader: Reader, rotated: tuple[bool, ...]) -> tuple[int, ...]:
    window = reader.take("sliding_window", int, 0)
    if not reader.take("use_sliding_window", bool, False):
        window = 0
    if reader.has("layer_types"):
        return read_windows(reader, len(rotated), window, "full_attention")
    return tuple(0 if turns else window for turns in rotated)


SMOLLM3 = DecoderFamily("smollm3", ("smollm3",), _read)
