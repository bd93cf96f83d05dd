"""The GPT-NeoX family: Pythia, RedPajama-INCITE, Dolly.

Layer norms and biases everywhere, no gate, queries, keys and values of each head together in one
tensor, a part of each head rotated, and both parts of a layer in parallel unless
`use_parallel_residual` says no. Reference: transformers' GPTNeoXForCausalLM; arXiv 2204.06745.
"""

from __future__ import annotations

from .activations import read_gelu
from .config import DecoderConfig, Names, read_sizes
from .decoder import DecoderFamily
from .family import Reader
from .rope import read_rope

NAMES = Names(
    embedding="gpt_neox.embed_in",
    layer="gpt_neox.layers.{}.",
    qkv=("attention.query_key_value",),
    output="attention.dense",
    gate_up=("mlp.dense_h_to_4h",),
    down="mlp.dense_4h_to_h",
    norm="gpt_neox.final_layer_norm",
)


def _read(reader: Reader, model_type: str) -> DecoderConfig:
    reader.ignore("hidden_dropout", "classifier_dropout", "is_decoder", "gradient_checkpointing")
    reader.expect("quantization_config", None)
    # The family has other names for these; transformers does not look at them.
    for key in ("head_dim", "num_key_value_heads", "rope_theta", "partial_rotary_factor"):
        reader.expect(key, None)
    sizes = read_sizes(reader, "layer_norm_eps", layer_norm_eps=1e-5, max_position_embeddings=2048)
    bias = reader.take("attention_bias", bool, True)
    return DecoderConfig(
        **sizes,
        rope=read_rope(
            reader,
            sizes,
            partial=reader.take("rotary_pct", float, 0.25),
            theta=reader.take("rotary_emb_base", float, 10000.0),
        ),
        windows=(0,) * max(sizes["layers"], 0),
        qkv_bias=bias,
        output_bias=bias,
        feed_forward_bias=True,
        gated=False,
        parallel=reader.take("use_parallel_residual", bool, True),
        activation=read_gelu(reader, "hidden_act", "gelu"),
        norm="layer",
        interleaved=True,
        names=NAMES,
    )


GPT_NEOX = DecoderFamily("gpt_neox", ("gpt_neox",), _read)
