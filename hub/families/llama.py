"""The Llama family: Llama 2/3.x, TinyLlama, SmolLM2, Mistral (with its sliding window).

Pre-norm decoder, grouped-query attention, rotary embeddings in the half-split form (with llama3
scaling), SwiGLU, RMSNorm, biases on attention where `attention_bias` says so. Reference:
transformers' LlamaForCausalLM and MistralForCausalLM.
"""

from __future__ import annotations

from .config import DecoderConfig, read_sizes, read_windows
from .decoder import DecoderFamily
from .family import Reader
from .rope import read_rope

MISTRAL_DEFAULTS = (8, 4096)
"""KV heads and window that transformers' MistralConfig takes where config.json is silent."""


def _read(reader: Reader, model_type: str) -> DecoderConfig:
    mistral = model_type == "mistral"
    reader.ignore("pretraining_tp", "is_llama_config", "rope_interleaved")
    reader.ignore("max_position_embeddings_original")
    reader.expect("hidden_act", "silu")
    reader.expect("mlp_bias", False)
    reader.expect("quantization_config", None)
    defaults = {"num_key_value_heads": MISTRAL_DEFAULTS[0]} if mistral else {}
    sizes = read_sizes(reader, **defaults)
    window = _window(reader) if mistral else 0
    # transformers computes no window for model_type llama, whatever its config says.
    reader.ignore("sliding_window")
    kind = "sliding_attention" if window else "full_attention"
    windows = read_windows(reader, sizes["layers"], window, kind)
    if any(other != window for other in windows):
        reader.refuse("layer_types", "layers of several kinds")
    # MistralForCausalLM has no such option.
    bias = not mistral and reader.take("attention_bias", bool, False)
    reader.expect("attention_bias", False)
    return DecoderConfig(
        **sizes,
        rope=read_rope(reader, sizes),
        windows=windows,
        qkv_bias=bias,
        output_bias=bias,
    )


def _window(reader: Reader) -> int:
    silent = not reader.has("sliding_window")
    window: int = reader.take("sliding_window", int, 0)
    return MISTRAL_DEFAULTS[1] if silent else window


LLAMA = DecoderFamily("llama", ("llama", "mistral"), _read)
