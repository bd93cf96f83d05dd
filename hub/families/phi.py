"""The Phi family: Phi-1, Phi-1.5 and Phi-2.

One layer norm before a layer whose two parts stand in parallel, biases everywhere, no gate, a part
of each head rotated. Reference: transformers' PhiForCausalLM; arXiv 2309.05463.
"""

from __future__ import annotations

from .activations import read_gelu
from .config import DecoderConfig, Names, read_sizes
from .decoder import DecoderFamily
from .family import Reader
from .rope import read_rope

NAMES = Names(
    q_norm="self_attn.q_layernorm",
    k_norm="self_attn.k_layernorm",
    output="self_attn.dense",
    post_norm="",
    gate_up=("mlp.fc1",),
    down="mlp.fc2",
    norm="model.final_layernorm",
)


def _read(reader: Reader, model_type: str) -> DecoderConfig:
    reader.ignore("embd_pdrop", "resid_pdrop")
    reader.expect("quantization_config", None)
    # The head has a bias, so it is no embedding.
    reader.expect("tie_word_embeddings", False)
    sizes = read_sizes(reader, "layer_norm_eps", layer_norm_eps=1e-5, max_position_embeddings=2048)
    head_norms = reader.take("qk_layernorm", bool, False)
    if head_norms and sizes["head_dim"] * sizes["heads"] != sizes["hidden_size"]:
        reader.refuse("qk_layernorm", "norms of another size than the heads")
    return DecoderConfig(
        **sizes,
        rope=read_rope(reader, sizes, partial=0.5),
        windows=(0,) * max(sizes["layers"], 0),
        qkv_bias=True,
        output_bias=True,
        feed_forward_bias=True,
        head_bias=True,
        gated=False,
        parallel=True,
        activation=read_gelu(reader, "hidden_act", "gelu_new"),
        norm="layer",
        qk_norm="layer" if head_norms else "",
        names=NAMES,
    )


PHI = DecoderFamily("phi", ("phi",), _read)
