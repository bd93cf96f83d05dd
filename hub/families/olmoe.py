"""The OLMoE family.

As Llama, with norms over all queries and all keys, and experts in every layer.
Reference: transformers' OlmoeForCausalLM; arXiv 2409.02060.
"""

from __future__ import annotations

from .config import DecoderConfig, read_sizes
from .decoder import DecoderFamily
from .family import Reader
from .parts import Experts
from .rope import read_rope


def _read(reader: Reader, model_type: str) -> DecoderConfig:
    reader.expect("hidden_act", "silu")
    reader.expect("quantization_config", None)
    reader.expect("clip_qkv", None)
    # Of training alone.
    reader.ignore("output_router_logits", "router_aux_loss_coef")
    sizes = read_sizes(reader, rms_norm_eps=1e-5, max_position_embeddings=4096)
    bias = reader.take("attention_bias", bool, False)
    return DecoderConfig(
        **sizes,
        rope=read_rope(reader, sizes),
        windows=(0,) * max(sizes["layers"], 0),
        qkv_bias=bias,
        output_bias=bias,
        qk_norm="row",
        experts=Experts(
            count=reader.take("num_experts", int, 64),
            top=reader.take("num_experts_per_tok", int, 8),
            intermediate_size=sizes["intermediate_size"],
            renormalize=reader.take("norm_topk_prob", bool, False),
            layers=(True,) * max(sizes["layers"], 0),
        ),
    )


OLMOE = DecoderFamily("olmoe", ("olmoe",), _read)
