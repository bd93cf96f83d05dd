"""The shape of press-guide as Hugging Face files state it. No weights, no torch."""

from dataclasses import asdict, dataclass
from typing import Any

from .tokenizer import SPECIAL_TOKENS, TURN_END, VOCABULARY_SIZE


@dataclass(frozen=True, slots=True)
class Architecture:
    """The numbers of a LlamaForCausalLM; field names are those of its `config.json`."""

    hidden_size: int = 384
    num_hidden_layers: int = 6
    num_attention_heads: int = 6
    num_key_value_heads: int = 2
    head_dim: int = 64
    intermediate_size: int = 1024
    vocab_size: int = VOCABULARY_SIZE
    max_position_embeddings: int = 1024
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-5


PRESS_GUIDE = Architecture()
END_OF_TURN_ID = SPECIAL_TOKENS.index(TURN_END)
PAD_ID = 0


def tensor_shapes(shape: Architecture) -> dict[str, tuple[int, ...]]:
    """Name and size of every tensor of the checkpoint."""
    hidden, inner = shape.hidden_size, shape.intermediate_size
    queries = shape.num_attention_heads * shape.head_dim
    keys = shape.num_key_value_heads * shape.head_dim
    layer: dict[str, tuple[int, ...]] = {
        "input_layernorm": (hidden,),
        "self_attn.q_proj": (queries, hidden),
        "self_attn.k_proj": (keys, hidden),
        "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, queries),
        "post_attention_layernorm": (hidden,),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }
    names: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (shape.vocab_size, hidden)}
    for index in range(shape.num_hidden_layers):
        names |= {f"model.layers.{index}.{part}.weight": size for part, size in layer.items()}
    return names | {"model.norm.weight": (hidden,)}


def model_config(architecture: Architecture = PRESS_GUIDE) -> dict[str, Any]:
    """The content of `config.json`."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": None,
        "eos_token_id": END_OF_TURN_ID,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "mlp_bias": False,
        "model_type": "llama",
        "pad_token_id": PAD_ID,
        "rope_scaling": None,
        "tie_word_embeddings": True,
        "torch_dtype": "float16",
        "use_cache": True,
        **asdict(architecture),
    }


def generation_config() -> dict[str, Any]:
    """The content of `generation_config.json`: greedy, ending with the turn."""
    return {
        "do_sample": False,
        "eos_token_id": [END_OF_TURN_ID, PAD_ID],
        "max_new_tokens": 256,
        "pad_token_id": PAD_ID,
    }
