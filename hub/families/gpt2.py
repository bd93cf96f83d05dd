"""The GPT-2 family.

Learned positions in the place of rotations, layer norms and biases everywhere, no gate, matrices
stored as [in, out]. Reference: transformers' GPT2LMHeadModel; Radford et al. 2019.
"""

from __future__ import annotations

from .activations import read_gelu
from .config import DecoderConfig, Names
from .decoder import DecoderFamily
from .family import Reader

NAMES = Names(
    embedding="transformer.wte",
    positions="transformer.wpe",
    layer="transformer.h.{}.",
    input_norm="ln_1",
    qkv=("attn.c_attn",),
    output="attn.c_proj",
    post_norm="ln_2",
    gate_up=("mlp.c_fc",),
    down="mlp.c_proj",
    norm="transformer.ln_f",
)


def _read(reader: Reader, model_type: str) -> DecoderConfig:
    # Of training, of other tasks, and how attention is computed in halves, which is not done here.
    reader.ignore(
        "embd_pdrop", "resid_pdrop", "attn_pdrop", "n_ctx", "task_specific_params",
        "reorder_and_upcast_attn", "gradient_checkpointing", "output_past",
    )  # fmt: skip
    for part in ("type", "use_proj", "activation", "proj_to_labels", "first_dropout"):
        reader.ignore(f"summary_{part}")
    reader.expect("quantization_config", None)
    reader.expect("add_cross_attention", False)
    hidden, heads = reader.take("n_embd", int), reader.take("n_head", int)
    layers = reader.take("n_layer", int)
    return DecoderConfig(
        vocab_size=reader.take("vocab_size", int),
        hidden_size=hidden,
        intermediate_size=reader.take("n_inner", int, 4 * hidden),
        layers=layers,
        heads=heads,
        kv_heads=heads,
        head_dim=hidden // max(heads, 1),
        context=reader.take("n_positions", int, 1024),
        norm_eps=reader.take("layer_norm_epsilon", float, 1e-5),
        tied=reader.take("tie_word_embeddings", bool, True),
        rope=None,
        windows=(0,) * max(layers, 0),
        qkv_bias=True,
        output_bias=True,
        feed_forward_bias=True,
        gated=False,
        activation=read_gelu(reader, "activation_function", "gelu_new"),
        norm="layer",
        scale=None if reader.take("scale_attn_weights", bool, True) else 1.0,
        layer_scales=reader.take("scale_attn_by_inverse_layer_idx", bool, False),
        transposed=True,
        names=NAMES,
    )


GPT2 = DecoderFamily("gpt2", ("gpt2",), _read)
