"""Small config.json dicts of the Llama family for tests of the compiler."""

from __future__ import annotations

from typing import Any


def llama_config(**changes: Any) -> dict[str, Any]:
    """Two layers, grouped-query attention, sizes that are not powers of two."""
    return {
        "model_type": "llama",
        "vocab_size": 523,
        "hidden_size": 160,
        "intermediate_size": 320,
        "num_hidden_layers": 2,
        "num_attention_heads": 10,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 256,
        "tie_word_embeddings": True,
        "hidden_act": "silu",
    } | changes


def llama_8b() -> dict[str, Any]:
    """The shape of Llama 3.1 8B."""
    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    return llama_config(
        vocab_size=128256,
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
        max_position_embeddings=131072,
        tie_word_embeddings=False,
        rope_theta=500000.0,
        rope_scaling=scaling,
    )
