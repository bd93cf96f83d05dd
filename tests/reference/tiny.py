"""Tiny random models of the Llama family, one for each thing that can go wrong in it.

A checkpoint is made from a seed, so only its numbers' seed is committed. Sizes are odd on purpose:
vocabularies that no tile divides, heads that do not fill the hidden size, windows shorter than
the prompt.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from .answers import COMMON, SCHEMES

Array = NDArray[np.float32]
EMBEDDINGS = ("model.embed_tokens.weight", "gpt_neox.embed_in.weight", "transformer.wte.weight")
HEAD_SPREAD = 0.4
"""Log-normal spread of the output rows: wide enough that greedy choices are rarely close."""


@dataclass(frozen=True, slots=True)
class TinyModel:
    """A Llama-shaped model small enough to check everywhere; `extra` goes into config.json."""

    name: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    seed: int
    tied: bool = False
    architecture: str = "LlamaForCausalLM"
    extra: Mapping[str, Any] = field(default_factory=dict)
    schemes: tuple[str, ...] = COMMON

    def config(self) -> dict[str, Any]:
        """The config.json a publisher would ship."""
        return {
            "architectures": [self.architecture],
            "model_type": self.architecture.removesuffix("ForCausalLM").lower(),
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "intermediate_size": self.intermediate,
            "vocab_size": self.vocab,
            "tie_word_embeddings": self.tied,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "max_position_embeddings": 256,
            "bos_token_id": 0,
            "eos_token_id": 1,
            "torch_dtype": "float32",
        } | dict(self.extra)

    def weights(self) -> dict[str, Array]:
        """Named tensors, float32, in checkpoint order."""
        random = np.random.default_rng(self.seed)
        tensors = {}
        for name, shape in self._shapes().items():
            tensors[name] = random_tensor(random, name, shape)
        return tensors

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        query, key = self.heads * self.head_dim, self.kv_heads * self.head_dim
        shapes: dict[str, tuple[int, ...]] = {
            "model.embed_tokens.weight": (self.vocab, self.hidden)
        }
        for layer in range(self.layers):
            prefix = f"model.layers.{layer}"
            shapes |= {
                f"{prefix}.input_layernorm.weight": (self.hidden,),
                f"{prefix}.self_attn.q_proj.weight": (query, self.hidden),
                f"{prefix}.self_attn.k_proj.weight": (key, self.hidden),
                f"{prefix}.self_attn.v_proj.weight": (key, self.hidden),
                f"{prefix}.self_attn.o_proj.weight": (self.hidden, query),
                f"{prefix}.post_attention_layernorm.weight": (self.hidden,),
                f"{prefix}.mlp.gate_proj.weight": (self.intermediate, self.hidden),
                f"{prefix}.mlp.up_proj.weight": (self.intermediate, self.hidden),
                f"{prefix}.mlp.down_proj.weight": (self.hidden, self.intermediate),
            }
        shapes["model.norm.weight"] = (self.hidden,)
        if not self.tied:
            shapes["lm_head.weight"] = (self.vocab, self.hidden)
        return shapes

    def write(self, folder: Path) -> Path:
        """Leave a complete checkpoint folder, tokenizer included."""
        return write_checkpoint(folder, self.config(), self.weights())


def write_checkpoint(folder: Path, config: Mapping[str, Any], weights: Mapping[str, Array]) -> Path:
    """config.json, one safetensors file and a tokenizer of bytes in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(dict(weights), folder / "model.safetensors")
    _byte_tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"bos_token": "<s>", "eos_token": "</s>", "chat_template": TEMPLATE}) + "\n"
    )
    return folder


TEMPLATE = "{% for m in messages %}{{ m['content'] }}</s>{% endfor %}"

TINY = (
    TinyModel("tiny-grouped", 160, 2, 10, 2, 16, 416, 283, seed=41, schemes=SCHEMES),
    TinyModel("tiny-tied", 128, 2, 4, 4, 32, 352, 307, seed=15, tied=True),
    TinyModel(
        "tiny-scaled-rope", 128, 3, 4, 1, 32, 256, 269, seed=33,
        extra={
            "rope_theta": 500000.0,
            "rope_scaling": {
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32,
            },
        },
    ),
    TinyModel(
        "tiny-window", 96, 2, 4, 2, 32, 224, 293, seed=29,
        architecture="MistralForCausalLM",
        extra={"sliding_window": 16},
    ),
    TinyModel("tiny-wide-head", 96, 2, 3, 3, 64, 288, 277, seed=48),
)  # fmt: skip


def random_tensor(random: np.random.Generator, name: str, shape: tuple[int, ...]) -> Array:
    """What training might have left: norms near one, an output head with clear favourites."""
    normal = random.standard_normal(shape, dtype=np.float32)
    if name.endswith(".bias"):
        return np.float32(0.3) * normal
    if len(shape) == 1:
        return np.float32(1) + np.float32(0.1) * normal
    if name == "lm_head.weight" or name.endswith(EMBEDDINGS):
        spread = random.standard_normal((shape[0], 1), dtype=np.float32)
        normal = normal * np.exp(np.float32(HEAD_SPREAD) * spread)
    sharp = ("q_proj", "qkv_proj", "query_key_value", "c_attn")
    sharpness = 2.0 if any(word in name for word in sharp) else 1.0
    return normal * np.float32(sharpness / shape[1] ** 0.5)


def _byte_tokenizer() -> Tokenizer:
    """Two special tokens and the 256 bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate(["<s>", "</s>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    return tokenizer
