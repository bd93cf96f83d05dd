"""The Qwen3 family.

As Llama, with a norm on every head of queries and keys, perhaps biases, and a window as in Qwen2.
Reference: transformers' Qwen3ForCausalLM.
"""

from __future__ import annotations

from .config import DecoderConfig, read_sizes
from .decoder import DecoderFamily
from .family import Reader
from .qwen2 import upper_windows
from .rope import read_rope


def _read(reader: Reader, model_type: str) -> DecoderConfig:
    reader.expect("hidden_act", "silu")
    reader.expect("quantization_config", None)
    sizes = read_sizes(reader, num_key_value_heads=32, head_dim=128)
    bias = reader.take("attention_bias", bool, False)
    return DecoderConfig(
        **sizes,
        rope=read_rope(reader, sizes, kinds=("linear", "yarn")),
        windows=upper_windows(reader, sizes["layers"]),
        qkv_bias=bias,
        output_bias=bias,
        qk_norm="head",
    )


QWEN3 = DecoderFamily("qwen3", ("qwen3",), _read)
