"""The Qwen3 mixture-of-experts family.

As Qwen3, with experts in the feed-forward part of the layers that `decoder_sparse_step` and
`mlp_only_layers` leave them in. Reference: transformers' Qwen3MoeForCausalLM; arXiv 2505.09388.
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
    # Of training alone; and transformers' windows begin at the first layer here.
    reader.ignore("output_router_logits", "router_aux_loss_coef", "max_window_layers")
    # What some checkpoints say, and every model of this type is.
    reader.expect("use_qk_norm", True)
    reader.expect("qkv_bias", False)
    reader.expect("shared_expert_intermediate_size", 0)
    sizes = read_sizes(
        reader, num_key_value_heads=4, intermediate_size=6144, max_position_embeddings=32768
    )
    bias = reader.take("attention_bias", bool, False)
    default = None if reader.has("sliding_window") else 4096
    window = reader.take("sliding_window", int, default)
    if not reader.take("use_sliding_window", bool, False):
        window = None
    return DecoderConfig(
        **sizes,
        rope=read_rope(reader, sizes, kinds=("linear", "yarn")),
        windows=(window or 0,) * max(sizes["layers"], 0),
        qkv_bias=bias,
        output_bias=bias,
        qk_norm="head",
        experts=_experts(reader, sizes["layers"]),
    )


def _experts(reader: Reader, layers: int) -> Experts:
    step = reader.take("decoder_sparse_step", int, 1)
    dense = reader.take("mlp_only_layers", list, None) or []
    if step < 1 or not all(isinstance(index, int) and 0 <= index < layers for index in dense):
        reader.refuse("mlp_only_layers", f"layers {dense} with a decoder_sparse_step of {step}")
    # Transformers 5 writes the second name.
    counts = {reader.take(f"num_{kind}experts", int, None) for kind in ("", "local_")} - {None}
    if len(counts) > 1:
        reader.refuse("num_experts", f"both of {sorted(counts)} experts")
    return Experts(
        count=counts.pop() if counts else 128,
        top=reader.take("num_experts_per_tok", int, 8),
        intermediate_size=reader.take("moe_intermediate_size", int, 768),
        renormalize=reader.take("norm_topk_prob", bool, False),
        layers=tuple((index + 1) % step == 0 and index not in dense for index in range(layers)),
    )


QWEN3_MOE = DecoderFamily("qwen3_moe", ("qwen3_moe",), _read)
