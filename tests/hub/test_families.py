"""Every family: it is recognised, takes each tensor once, and refuses what it does not compute."""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace
from typing import Any

import pytest

from hub.compile import compile_plans
from hub.errors import UnsupportedError
from hub.families import FAMILIES
from hub.families.config import Names
from hub.schemes import SCHEMES
from tests.reference.tiny_decoder import TinyDecoder
from tests.reference.tiny_families import LONG_ROPE, TINY_FAMILIES
from tests.reference.tiny_shapes import SHAPES

BY_NAME = {tiny.name: tiny for tiny in TINY_FAMILIES}
ODD: tuple[Any, ...] = (None, -1, 0, 7, 1.5, math.nan, math.inf, "x", [], {}, [1], True)
EACH = pytest.mark.parametrize("tiny", TINY_FAMILIES, ids=BY_NAME)


def read(tiny: TinyDecoder | str, **changes: Any) -> Any:
    config = (BY_NAME[tiny] if isinstance(tiny, str) else tiny).config() | changes
    (family,) = (family for family in FAMILIES.values() if family.recognises(config))
    return family.read({key: value for key, value in config.items() if value is not ...})


@EACH
def test_every_tensor_of_a_checkpoint_is_taken_once(tiny: TinyDecoder) -> None:
    config, family = read(tiny), SHAPES[tiny.config()["model_type"]]
    (reader,) = (f for f in FAMILIES.values() if f.recognises(tiny.config()))
    sources = [name for spec in reader.weights(config, 64) for name in spec.sources]
    shapes = family(tiny.settings)
    assert sorted(sources) == sorted(shapes)
    elements = sum(map(math.prod, shapes.values()))
    assert config.parameters == elements


@EACH
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"an_option_of_tomorrow": 1}, "an_option_of_tomorrow"),
        ({"quantization_config": {"quant_method": "awq"}}, "quantization_config"),
        ({"hidden_act": "relu"}, "hidden_act"),
        ({"num_attention_heads": 0}, "heads"),
        ({"hidden_size": 100}, "hidden_size"),
        ({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "dynamic"),
        ({"rope_theta": float("nan")}, "rope_theta"),
        ({"rms_norm_eps": 0.0}, "rms_norm_eps"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_no_family_computes_is_refused_by_name(
    tiny: TinyDecoder, change: dict[str, Any], named: str
) -> None:
    with pytest.raises(UnsupportedError, match=named):
        read(tiny, **change)


@pytest.mark.parametrize(
    ("tiny", "change", "named"),
    [
        ("tiny-qwen2", {"layer_types": ["sliding_attention"] * 2}, "layer_types"),
        ("tiny-qwen2-window", {"layer_types": ["full_attention"]}, "layer_types"),
        ("tiny-qwen2", {"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ("tiny-phi3", {"attention_bias": True}, "attention_bias"),
        ("tiny-phi3", {"lm_head_bias": True}, "lm_head_bias"),
        ("tiny-phi3-long", {"rope_scaling": LONG_ROPE | {"long_factor": [1.0]}}, "long_factor"),
        ("tiny-phi3-long", {"rope_scaling": LONG_ROPE | {"short_factor": "1"}}, "short_factor"),
        ("tiny-phi4", {"partial_rotary_factor": 0.55}, "even"),
        ("tiny-qwen3", {"rope_scaling": {"rope_type": "llama3"}}, "llama3"),
        ("tiny-llama-bias", {"mlp_bias": True}, "mlp_bias"),
        ("tiny-gemma", {"hidden_activation": "silu"}, "hidden_activation"),
        ("tiny-gemma2", {"hidden_act": "gelu"}, "hidden_act"),
        ("tiny-gemma2", {"attn_logit_softcapping": -1.0}, "attn_logit_softcapping"),
        ("tiny-gemma3", {"use_bidirectional_attention": True}, "use_bidirectional_attention"),
        ("tiny-smollm3", {"no_rope_layers": [1, 0]}, "no_rope_layers"),
        ("tiny-smollm3", {"mlp_bias": True}, "mlp_bias"),
        ("tiny-olmo2", {"sliding_window": 16}, "sliding_window"),
        ("tiny-stablelm", {"head_dim": 16}, "head_dim"),
        ("tiny-phi", {"tie_word_embeddings": True}, "tie_word_embeddings"),
        ("tiny-phi", {"hidden_act": "gelu_10"}, "gelu_10"),
        ("tiny-pythia", {"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ("tiny-pythia", {"rotary_pct": 0.3}, "even"),
        ("tiny-gpt2", {"add_cross_attention": True}, "add_cross_attention"),
        ("tiny-gpt2", {"activation_function": "relu"}, "activation_function"),
        ("tiny-ministral", {"layer_types": ["chunked_attention"] * 3}, "chunked_attention"),
        ("tiny-ministral3", {"layer_types": ["full_attention"] * 2}, "layer_types"),
        ("tiny-ministral3", {"rope_parameters": {"rope_type": "yarn"}}, "llama_4_scaling_beta"),
        ("tiny-qwen3-moe", {"mlp_only_layers": [3]}, "mlp_only_layers"),
        ("tiny-qwen3-moe", {"num_experts_per_tok": 11}, "num_experts_per_tok"),
        ("tiny-qwen3-moe", {"num_experts": 257}, "num_experts"),
        ("tiny-qwen3-moe", {"moe_intermediate_size": 40}, "intermediate size"),
        ("tiny-qwen3-moe", {"n_shared_experts": 1}, "n_shared_experts"),
        ("tiny-qwen3-moe", {"num_local_experts": 8}, "num_experts"),
        ("tiny-qwen3-moe", {"shared_expert_intermediate_size": 64}, "shared_expert"),
        ("tiny-olmoe", {"clip_qkv": 8.0}, "clip_qkv"),
        ("tiny-gemma4", {"enable_moe_block": True}, "enable_moe_block"),
        ("tiny-gemma4", {"attention_k_eq_v": True}, "attention_k_eq_v"),
        ("tiny-gemma4", {"use_bidirectional_attention": "all"}, "use_bidirectional_attention"),
        ("tiny-gemma4", {"num_kv_shared_layers": 4}, "num_kv_shared_layers"),
        ("tiny-gemma4", {"hidden_size_per_layer_input": 40}, "hidden_size_per_layer_input"),
        ("tiny-gemma4", {"global_head_dim": 520}, "global_head_dim"),
        ("tiny-qwen3.5", {"layer_types": ["sliding_attention"] * 3}, "sliding_attention"),
        ("tiny-qwen3.5", {"layer_types": ["linear_attention"]}, "layer_types"),
        ("tiny-qwen3.5", {"attn_output_gate": False}, "attn_output_gate"),
        ("tiny-qwen3.5", {"linear_conv_kernel_dim": 1}, "linear_conv_kernel_dim"),
        ("tiny-qwen3.5", {"linear_num_value_heads": 3}, "do not divide"),
        ("tiny-qwen3.5", {"rope_theta": 5000.0}, "rope_theta"),
    ],
)
def test_what_one_family_does_not_compute_is_refused_by_name(
    tiny: str, change: dict[str, Any], named: str
) -> None:
    with pytest.raises(UnsupportedError, match=named):
        read(tiny, **change)


@EACH
def test_no_value_of_any_key_is_read_but_with_a_refusal_or_a_config(tiny: TinyDecoder) -> None:
    """Sizes that are null, a root of zero, a share of a head that is no number ended in a
    TypeError or a ZeroDivisionError."""
    (family,) = (family for family in FAMILIES.values() if family.recognises(tiny.config()))
    for key, value in tiny.config().items():
        inner = value if isinstance(value, dict) else {}
        changes: list[dict[str, Any]] = [{key: odd} for odd in ODD]
        changes += [{key: inner | {name: odd}} for name in inner for odd in ODD]
        for change in changes:
            if key != "model_type":
                with contextlib.suppress(UnsupportedError):
                    assert family.read(tiny.config() | change).layers > 0


def test_long_rope_had_another_name() -> None:
    renamed = LONG_ROPE | {"type": "su"}
    assert read("tiny-phi3-long", rope_scaling=renamed) == read("tiny-phi3-long")


def test_long_rope_takes_the_long_factors_for_long_contexts_alone() -> None:
    family, config = FAMILIES["phi3"], read("tiny-phi3-long")
    tables = {
        context: next(s.rope for s in family.weights(config, context) if s.rope is not None)
        for context in (16, 17)
    }
    assert tables[16].inv_freq[0] == 1.0
    assert tables[17].inv_freq[0] == pytest.approx(1 / 1.2)
    assert tables[16].scale == tables[17].scale > 1


def test_gemma_3_reads_its_rotations_in_both_forms() -> None:
    both = {
        "full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 100000.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 5000.0},
    }
    newer = {"rope_parameters": both, "rope_scaling": ..., "rope_theta": ...}
    assert read("tiny-gemma3", rope_local_base_freq=..., **newer) == read("tiny-gemma3")


def test_gemma_caps_that_are_null_are_none_and_absent_ones_have_defaults() -> None:
    off = read("tiny-gemma2", attn_logit_softcapping=None, final_logit_softcapping=None)
    assert (off.score_cap, off.logit_cap) == (0.0, 0.0)
    silent = read("tiny-gemma2", attn_logit_softcapping=..., final_logit_softcapping=...)
    assert (silent.score_cap, silent.logit_cap) == (50.0, 30.0)


def test_windows_lie_where_each_family_has_them() -> None:
    assert read("tiny-qwen2").windows == (0, 0)
    assert read("tiny-qwen2-window").windows == (0, 16, 16)
    assert read("tiny-gemma2").windows == (10, 0)
    assert read("tiny-gemma3").windows == (9, 9, 0)
    assert read("tiny-smollm3").windows == (0, 20, 0)
    assert read("tiny-smollm3", no_rope_layers=None).rotated == (True, True, True)


def test_experts_lie_where_the_config_leaves_them() -> None:
    def layers(**changes: Any) -> tuple[bool, ...]:
        return tuple(map(read("tiny-qwen3-moe", num_hidden_layers=4, **changes).sparse, range(4)))

    assert layers() == (False, True, True, True)
    assert layers(mlp_only_layers=None, decoder_sparse_step=2) == (False, True, False, True)
    assert read("tiny-qwen3-moe", num_experts=..., num_local_experts=10) == read("tiny-qwen3-moe")


def test_a_window_of_null_is_none() -> None:
    assert read("tiny-qwen3-moe", sliding_window=None).windows == (0, 0, 0)
    assert read("tiny-qwen3-moe", sliding_window=...).windows == (4096,) * 3
    assert read("tiny-qwen3-moe", use_sliding_window=False).windows == (0, 0, 0)


def test_parts_of_a_layer_hold_whole_experts() -> None:
    changes = {"num_experts": 64, "hidden_size": 2048, "moe_intermediate_size": 768}
    specs = FAMILIES["qwen3_moe"].weights(read("tiny-qwen3-moe", **changes), 64)
    stacked = {spec.name: spec for spec in specs if spec.name.startswith("layers.1.expert")}
    for name, unit in (("layers.1.expert_gate_up", 2 * 768), ("layers.1.expert_down", 2048)):
        parts = stacked[name].parts(SCHEMES["f16"])
        assert len(parts) > 1
        assert all(part.start % unit == 0 and part.rows % unit == 0 for part in parts)


def test_ministral_3_is_read_from_within_its_vision_model() -> None:
    text = BY_NAME["tiny-ministral3"].config()
    outer: dict[str, Any] = {"model_type": "mistral3", "text_config": text}
    outer |= {"vision_config": {"hidden_size": 8}}
    outer |= {"tie_word_embeddings": True, "spatial_merge_size": 2}
    family = FAMILIES["ministral"]
    config = family.read(outer)
    assert replace(config, names=Names()) == read("tiny-ministral3")
    first = family.weights(config, 64)[0]
    assert first.sources == ("model.language_model.embed_tokens.weight",)
    silent = {key: value for key, value in text.items() if key != "tie_word_embeddings"}
    assert not family.read(outer | {"tie_word_embeddings": False}).tied
    assert family.read(outer | {"text_config": silent}).tied
    assert not family.read(outer | {"text_config": silent, "tie_word_embeddings": None}).tied
    with pytest.raises(UnsupportedError, match="model_type = 'mistral'"):
        family.read(outer | {"text_config": text | {"model_type": "mistral"}})


def test_the_text_model_of_phi_3_5_vision_is_read_without_its_image_encoder() -> None:
    outer = BY_NAME["tiny-phi3-long"].config() | {
        "model_type": "phi3_v",
        "img_processor": {"name": "clip_vision_model", "num_img_tokens": 144},
        "embd_layer": {"embedding_cls": "image"},
    }
    assert FAMILIES["phi3"].read(outer) == read("tiny-phi3-long")
    with pytest.raises(UnsupportedError, match="embd_layer"):
        FAMILIES["phi3"].read(outer | {"model_type": "phi3"})


def test_qwen_3_5_is_read_from_within_its_vision_model() -> None:
    text = BY_NAME["tiny-qwen3.5-long"].config()
    outer = {"model_type": "qwen3_5", "text_config": text, "vision_config": {"depth": 2}}
    family = FAMILIES["qwen3_5"]
    config = family.read(outer)
    assert replace(config, names=Names()) == read("tiny-qwen3.5-long")
    assert family.weights(config, 64)[0].sources == ("model.language_model.embed_tokens.weight",)
    assert not family.read(outer | {"tie_word_embeddings": False}).tied
    every_second = {k: v for k, v in text.items() if k != "layer_types"}
    every_second |= {"full_attention_interval": 2}
    assert family.read(every_second).recurrence.layers == (True, False)


def test_gemma_4_is_read_from_within_its_towers_and_its_last_layer_sees_everything() -> None:
    text = BY_NAME["tiny-gemma4"].config()
    outer = {"model_type": "gemma4", "text_config": text, "audio_config": {}, "vision_config": {}}
    config = FAMILIES["gemma4"].read(outer)
    ours = read("tiny-gemma4")
    assert replace(config, names=ours.names) == ours
    sources = {s for spec in FAMILIES["gemma4"].weights(config, 64) for s in spec.sources}
    assert all(source.startswith("model.language_model.") for source in sources)
    sliding = ["sliding_attention"] * 5
    assert read("tiny-gemma4", layer_types=sliding, num_kv_shared_layers=0).windows[-1] == 0


def test_queries_grow_only_where_a_sequence_gets_that_far() -> None:
    def texts(context: int) -> str:
        (plan,) = compile_plans(
            model_id="m",
            family="ministral",
            config=BY_NAME["tiny-ministral3"].config(),
            scheme=SCHEMES["q4"],
            context=context,
            variants=("base",),
        )
        return "".join(kernel.wgsl for kernel in plan.kernels)

    assert "growth" in texts(17)
    assert "growth" not in texts(16)


def test_weights_fit_their_bindings_in_every_scheme() -> None:
    family = FAMILIES["gemma"]
    config = read("tiny-gemma2", vocab_size=256000, hidden_size=2304)
    (embedding,) = (s for s in family.weights(config, 64) if s.name == "embedding")
    assert all(len(embedding.parts(scheme)) > 1 for scheme in SCHEMES.values())
