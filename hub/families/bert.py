"""The BERT family as a model of embeddings: MiniLM, BGE, Snowflake Arctic Embed.

Post-norm encoder with learned positions, biases and attention in both directions. The pooler and
the heads of checkpoints that have them are left where they are: how texts become vectors is told
by `embedding_files.py`. Reference: transformers' BertModel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import UnsupportedError
from .encoder import EncoderConfig, EncoderFamily
from .family import Reader

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
"""Names of transformers, and what computes the same here."""
BARE = "BertModel"
"""The class whose tensors have no prefix."""


def _read(reader: Reader, config: Mapping[str, Any]) -> EncoderConfig:
    reader.ignore("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")
    reader.ignore("gradient_checkpointing", "layer_norm_eps_source", "position_ids", "num_labels")
    reader.expect("position_embedding_type", "absolute")
    reader.expect("is_decoder", False)
    reader.expect("add_cross_attention", False)
    reader.expect("quantization_config", None)
    # Nothing is drawn from an encoder: there is no head to tie.
    reader.ignore("tie_word_embeddings")
    name = reader.take("hidden_act", str, "gelu")
    if name not in ACTIVATIONS:
        reader.refuse("hidden_act", f"the activation {name!r}")
    return EncoderConfig(
        vocab_size=reader.take("vocab_size", int),
        hidden_size=reader.take("hidden_size", int),
        intermediate_size=reader.take("intermediate_size", int),
        layers=reader.take("num_hidden_layers", int),
        heads=reader.take("num_attention_heads", int),
        context=reader.take("max_position_embeddings", int, 512),
        types=reader.take("type_vocab_size", int, 2),
        norm_eps=reader.take("layer_norm_eps", float, 1e-12),
        activation=ACTIVATIONS[name],
        prefix=_prefix(config),
    )


def _prefix(config: Mapping[str, Any]) -> str:
    """A model with a head keeps its encoder under `bert.`."""
    classes = config.get("architectures") or [BARE]
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise UnsupportedError(f"config.json: architectures is {classes!r}, not names of classes")
    return "" if BARE in classes else "bert."


BERT = EncoderFamily("bert", ("bert",), _read)
