"""The OLMo-2 family.

As Llama, with norms after attention and after the feed-forward part instead of before them, and
norms over all queries and all keys. Reference: transformers' Olmo2ForCausalLM; arXiv 2501.00656.
"""

from __future__ import annotations

from .config import DecoderConfig, Names, read_sizes
from .decoder import DecoderFamily
from .family import Reader
from .rope import read_rope

NAMES = Names(
    input_norm="",
    output_norm="post_attention_layernorm",
    post_norm="",
    down_norm="post_feedforward_layernorm",
)


def _read(reader: Reader, model_type: str) -> DecoderConfig:
    reader.expect("hidden_act", "silu")
    reader.expect("quantization_config", None)
    sizes = read_sizes(reader, rms_norm_eps=1e-5, max_position_embeddings=2048)
    bias = reader.take("attention_bias", bool, False)
    return DecoderConfig(
        **sizes,
        rope=read_rope(reader, sizes),
        windows=(0,) * max(sizes["layers"], 0),
        qkv_bias=bias,
        output_bias=bias,
        qk_norm="row",
        names=NAMES,
    )


OLMO2 = DecoderFamily("olmo2", ("olmo2",), _read)
