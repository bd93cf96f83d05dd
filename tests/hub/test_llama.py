"""The Llama family reads its config strictly and names its weights in stream order."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from hub.errors import UnsupportedError
from hub.families import FAMILIES
from hub.families.rope import rope_table
from tests.hub.shapes import llama_8b, llama_config

LLAMA = FAMILIES["llama"]


def test_a_config_is_read_with_its_defaults() -> None:
    config = LLAMA.read(llama_config())
    assert (config.layers, config.heads, config.kv_heads, config.head_dim) == (2, 10, 2, 16)
    assert config.rope.theta == 10000.0
    assert config.windows == (0, 0)
    assert config.tied


def test_parameters_are_counted_as_the_checkpoint_has_them() -> None:
    config = LLAMA.read(llama_8b())
    assert config.parameters == 8_030_261_248


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"model_type": "mistral", "attention_bias": True}, "attention_bias"),
        ({"mlp_bias": True}, "mlp_bias"),
        ({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "dynamic"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantization_config"),
        ({"attn_logit_softcapping": 50.0}, "attn_logit_softcapping"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "layer_types"),
        ({"num_hidden_layers": "2"}, "num_hidden_layers"),
        ({"num_hidden_layers": True}, "num_hidden_layers"),
        ({"num_attention_heads": 9}, "KV heads"),
        ({"hidden_size": 150}, "hidden_size"),
        ({"vocab_size": 0}, "vocab_size"),
        ({"model_type": "gpt2"}, "gpt2"),
    ],
)
def test_an_option_that_is_not_computed_is_refused_by_name(
    change: dict[str, Any], named: str
) -> None:
    with pytest.raises(UnsupportedError, match=named):
        LLAMA.read(llama_config(**change))


def test_a_missing_size_is_named() -> None:
    config = llama_config()
    del config["intermediate_size"]
    with pytest.raises(UnsupportedError, match="intermediate_size"):
        LLAMA.read(config)


def test_newer_checkpoints_keep_rope_in_rope_parameters() -> None:
    scaling = llama_8b()["rope_scaling"] | {"rope_theta": 500000.0}
    config = llama_8b()
    del config["rope_scaling"], config["rope_theta"]
    assert LLAMA.read(config | {"rope_parameters": scaling}) == LLAMA.read(llama_8b())


def test_llama3_scaling_keeps_fast_frequencies_and_divides_slow_ones() -> None:
    config = LLAMA.read(llama_8b())
    scaled = np.array(rope_table(config.rope, 16).inv_freq)
    plain = 500000.0 ** (-np.arange(0, 128, 2) / 128)
    wavelength = 2 * math.pi / plain
    assert np.allclose(scaled[wavelength < 8192 / 4], plain[wavelength < 8192 / 4], rtol=1e-5)
    assert np.allclose(scaled[wavelength > 8192], plain[wavelength > 8192] / 8, rtol=1e-5)
    assert np.all(np.diff(scaled) < 0)


def test_weights_cover_the_checkpoint_once_and_in_layer_order() -> None:
    config = LLAMA.read(llama_config(tie_word_embeddings=False))
    specs = LLAMA.weights(config, 64)
    sources = [source for spec in specs for source in spec.sources]
    assert len(sources) == len(set(sources)) == 3 + 2 * 9
    names = [spec.name for spec in specs]
    assert names.index("layers.0.down") < names.index("layers.1.qkv") < names.index("lm_head")


def test_a_silent_mistral_config_has_the_defaults_of_mistral() -> None:
    """Without the keys it was read with full attention and as many KV heads as heads."""
    silent = llama_config(model_type="mistral", num_attention_heads=16)
    del silent["num_key_value_heads"]
    config = LLAMA.read(silent)
    assert (config.windows, config.kv_heads) == ((4096, 4096), 8)
    assert LLAMA.read(silent | {"sliding_window": None}).windows == (0, 0)
    assert LLAMA.read(silent | {"sliding_window": 32}).windows == (32, 32)


def test_llama_itself_has_no_window() -> None:
    """transformers ignores the key in a config of model_type llama; it was computed."""
    assert LLAMA.read(llama_config(sliding_window=32)).windows == (0, 0)


def test_marks_of_saving_tools_are_harmless() -> None:
    """config.json as several releases of transformers saved it was refused."""
    marks = {"_attn_implementation_autoset": True, "unsloth_version": "2025.1"}
    assert LLAMA.read(llama_config(**marks)) == LLAMA.read(llama_config())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rms_norm_eps": math.nan}, "rms_norm_eps"),
        ({"rope_theta": 0}, "rope_theta"),
        ({"max_position_embeddings": -5}, "max_position_embeddings"),
        ({"rope_scaling": {"factor": 0.0}}, "factor"),
        ({"rope_scaling": {"low_freq_factor": 4.0}}, "high_freq_factor"),
        ({"layer_types": [{}]}, "layer_types"),
        ({"layer_types": [1, "a"]}, "layer_types"),
    ],
)
def test_numbers_without_meaning_are_refused(change: dict[str, Any], named: str) -> None:
    """They gave models of NaN, divisions by zero and bare TypeErrors."""
    config = llama_8b()
    if "rope_scaling" in change:
        change = {"rope_scaling": config["rope_scaling"] | change["rope_scaling"]}
    with pytest.raises(UnsupportedError, match=named):
        LLAMA.read(config | change)
