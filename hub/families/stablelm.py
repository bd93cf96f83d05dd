"""The StableLM family: StableLM 3B and StableLM 2.

As Llama, with layer norms, a quarter of each head rotated, biases on queries, keys and values
where `use_qkv_bias` says so, and perhaps both parts of a layer in parallel and a norm for each
head. Reference: transformers' StableLmForCausalLM; arXiv 2402.17834.
"""

from __future__ import annotations

from .config import DecoderConfig, Names, read_sizes
from .decoder import DecoderFamily
from .family import Reader
from .rope import read_rope

Q_NORM, K_NORM = (f"self_attn.{part}_layernorm.norms.{{}}" for part in "qk")


def _read(reader: Reader, model_type: str) -> DecoderConfig:
    reader.ignore("hidden_dropout")
    reader.expect("hidden_act", "silu")
    reader.expect("quantization_config", None)
    reader.expect("head_dim", None)
    sizes = read_sizes(
        reader,
        "layer_norm_eps",
        layer_norm_eps=1e-5,
        num_key_value_heads=32,
        max_position_embeddings=4096,
    )
    # Left in published files; transformers does not look at them.
    reader.expect("num_heads", sizes["heads"])
    reader.expect("rotary_scaling_factor", 1, None)
    parallel = reader.take("use_parallel_residual", bool, False)
    return DecoderConfig(
        **sizes,
        rope=read_rope(reader, sizes, partial=0.25),
        windows=(0,) * max(sizes["layers"], 0),
        qkv_bias=reader.take("use_qkv_bias", bool, False),
        norm="layer",
        qk_norm="layers" if reader.take("qk_layernorm", bool, False) else "",
        parallel=parallel,
        names=Names(
            q_norm=Q_NORM,
            k_norm=K_NORM,
            post_norm="" if parallel else "post_attention_layernorm",
        ),
    )


STABLELM = DecoderFamily("stablelm", ("stablelm",), _read)
