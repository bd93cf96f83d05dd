"""The Phi-3 family: Phi-3 mini, Phi-3.5 mini, Phi-4 mini.

As Llama, with queries, keys and values in one tensor of the checkpoint and gate and up in another,
long rope, perhaps a sliding window, and perhaps only a part of each head rotated. With an image
encoder beside the embedding (`phi3_v`) the text model is taken, images are not read. Reference:
transformers' Phi3ForCausalLM.
"""

from __future__ import annotations

from .config import DecoderConfig, Names, read_sizes, read_windows
from .decoder import DecoderFamily
from .family import Reader
from .rope import read_rope

NAMES = Names(qkv=("self_attn.qkv_proj",), gate_up=("mlp.gate_up_proj",))
VISION = ("img_processor", "embd_layer", "num_crops")
ORIGINAL_CONTEXT = 4096
"""transformers' Phi3Config where config.json is silent."""


def _read(reader: Reader, model_type: str) -> DecoderConfig:
    reader.ignore("embd_pdrop", "resid_pdrop")
    if model_type == "phi3_v":
        reader.ignore(*VISION)
    reader.expect("hidden_act", "silu")
    reader.expect("attention_bias", False)
    reader.expect("mlp_bias", False)
    reader.expect("quantization_config", None)
    reader.expect("lm_head_bias", False)
    # What transformers never looks at; anything else than 1 would mean another computation.
    reader.expect("full_attn_mod", 1)
    reader.expect("interpolate_factor", 1)
    sizes = read_sizes(reader, rms_norm_eps=1e-5)
    window = reader.take("sliding_window", int, 0)
    kind = "sliding_attention" if window else "full_attention"
    return DecoderConfig(
        **sizes,
        rope=read_rope(
            reader,
            sizes,
            kinds=("longrope",),
            partial=1.0,
            original=ORIGINAL_CONTEXT,
        ),
        windows=read_windows(reader, sizes["layers"], window, kind),
        names=NAMES,
    )


PHI3 = DecoderFamily("phi3", ("phi3", "phi3_v"), _read)
