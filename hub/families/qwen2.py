"""The Qwen2 family: Qwen2 and Qwen2.5.

As Llama, with biases on queries, keys and values, and a sliding window on the upper layers where
`use_sliding_window` says so. Reference: transformers' Qwen2ForCausalLM.
"""

from __future__ import annotations

from .config import DecoderConfig, read_sizes, read_windows
from .decoder import DecoderFamily
from .family import Reader
from .rope import read_rope

DEFAULT_WINDOW = 4096
DEFAULT_FULL_LAYERS = 28
"""transformers' Qwen2Config where config.json is silent."""


def _read(reader: Reader, model_type: str) -> DecoderConfig:
    reader.expect("hidden_act", "silu")
    reader.expect("quantization_config", None)
    sizes = read_sizes(reader, num_key_value_heads=32)
    return DecoderConfig(
        **sizes,
        rope=read_rope(reader, sizes, kinds=("linear", "yarn")),
        windows=upper_windows(reader, sizes["layers"]),
        qkv_bias=True,
    )


def upper_windows(reader: Reader, layers: int) -> tuple[int, ...]:
    """Full attention below `max_window_layers`, a window from there on, if there is one at all."""
    window = reader.take(
        "sliding_window", int, 0 if reader.has("sliding_window") else DEFAULT_WINDOW
    )
    if not reader.take("use_sliding_window", bool, False):
        window = 0
    full = reader.take("max_window_layers", int, DEFAULT_FULL_LAYERS) if window else layers
    reader.ignore("max_window_layers")
    if reader.has("layer_types"):
        return read_windows(reader, layers, window, "full_attention")
    return tuple(window if index >= full else 0 for index in range(layers))


QWEN2 = DecoderFamily("qwen2", ("qwen2",), _read)
