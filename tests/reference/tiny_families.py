"""Tiny random models of the families beyond Llama: together they switch every option there is.

Their tensors carry the names and shapes that transformers gives them (make_reference.py insists),
and every option is on in at least one of them.
"""

from __future__ import annotations

from typing import Any

from .tiny_decoder import TinyDecoder
from .tiny_shapes import Settings


def _settings(model_type: str, architecture: str, **options: Any) -> Settings:
    """Two layers, grouped-query attention, sizes no tile divides; `options` over that."""
    return {
        "architectures": [architecture],
        "model_type": model_type,
        "vocab_size": 283,
        "hidden_size": 96,
        "intermediate_size": 224,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 0,
        "torch_dtype": "float32",
    } | options


def _factors(start: float, step: float, count: int) -> list[float]:
    return [round(start + step * i, 3) for i in range(count)]


def _qwen2_settings(**options: Any) -> Settings:
    return _settings("qwen2", "Qwen2ForCausalLM", **options)


def _phi3_settings(**options: Any) -> Settings:
    return _settings("phi3", "Phi3ForCausalLM", **options)


def _gemma_settings(model_type: str, architecture: str, **options: Any) -> Settings:
    options = {"head_dim": 32, "hidden_activation": "gelu_pytorch_tanh"} | options
    settings = _settings(model_type, architecture, tie_word_embeddings=True, **options)
    return {key: value for key, value in settings.items() if key != "hidden_act"}


def _gemma4_settings(**options: Any) -> Settings:
    options = {
        "num_hidden_layers": 5,
        "layer_types": [SLIDING, FULL, SLIDING, SLIDING, FULL],
        "num_kv_shared_layers": 2,
        "use_double_wide_mlp": True,
        "global_head_dim": 48,
        "hidden_size_per_layer_input": 32,
        "vocab_size_per_layer_input": 283,
        "sliding_window": 9,
        "final_logit_softcapping": None,
        "attention_bias": False,
        "rope_parameters": {
            SLIDING: {"rope_type": "default", "rope_theta": 10000.0},
            FULL: {
                "rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1e5,
            },
        },
    } | options  # fmt: skip
    settings = _gemma_settings("gemma4_text", "Gemma4ForCausalLM", **options)
    return {key: value for key, value in settings.items() if key != "rope_theta"}


def _layer_norm_settings(model_type: str, architecture: str, **options: Any) -> Settings:
    settings = _settings(model_type, architecture, layer_norm_eps=1e-5, **options)
    return {key: value for key, value in settings.items() if key != "rms_norm_eps"}


def _qwen3_5_settings(**options: Any) -> Settings:
    settings = _settings(
        "qwen3_5_text", "Qwen3_5ForCausalLM", head_dim=32, attention_bias=False,
        linear_num_key_heads=2, linear_num_value_heads=2, linear_key_head_dim=16,
        linear_value_head_dim=32, linear_conv_kernel_dim=4,
        rope_parameters={
            "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25,
            "mrope_interleaved": True, "mrope_section": [2, 1, 1],
        },
    )  # fmt: skip
    settings = {**settings, **options}
    layers = len(settings["layer_types"])
    return {k: v for k, v in settings.items() if k != "rope_theta"} | {"num_hidden_layers": layers}


def _gpt_neox_settings(**options: Any) -> Settings:
    options = {"hidden_act": "gelu", "attention_bias": True} | options
    settings = _layer_norm_settings("gpt_neox", "GPTNeoXForCausalLM", **options)
    absent = ("rope_theta", "num_key_value_heads")
    return {key: value for key, value in settings.items() if key not in absent}


def _gpt2_settings(**options: Any) -> Settings:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": 283,
        "n_positions": 128,
        "n_embd": 96,
        "n_layer": 2,
        "n_head": 4,
        "n_inner": 224,
        "layer_norm_epsilon": 1e-5,
        "tie_word_embeddings": True,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 0,
        "torch_dtype": "float32",
    } | options


OUTPUTS = {"o_proj.weight": 3.0, "down_proj.weight": 3.0}
ROUTER = {"mlp.gate.weight": 2.0}
REMEMBERED = OUTPUTS | {"linear_attn.out_proj": 3.0, "conv1d": 2.0, "A_log": -1.0, "dt_bias": -1.0}
"""A tenth of a state is forgotten at a token, not all of it."""
REMEMBERS, ATTENDS = "linear_attention", "full_attention"
SLIDING, FULL = "sliding_attention", "full_attention"
GEMMA4 = {"post_attention_layernorm": 4.0, "post_per_layer_input_norm": 2.0}
OUTPUT_NORMS = {"post_attention_layernorm": 6.0, "post_feedforward_layernorm": 6.0}

LONG_ROPE = {
    "type": "longrope",
    "short_factor": _factors(1.0, 0.04, 12),
    "long_factor": _factors(1.2, 0.6, 12),
}

TINY_FAMILIES = (
    TinyDecoder(
        "tiny-qwen2", 21, "biases, untied", _qwen2_settings(use_sliding_window=False),
        on_device=True,
    ),
    TinyDecoder(
        "tiny-qwen2-window", 1, "tied, yarn, a window from layer 1 on",
        _qwen2_settings(
            tie_word_embeddings=True, use_sliding_window=True, sliding_window=16,
            max_window_layers=1, num_hidden_layers=3,
            rope_scaling={
                "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64,
            },
        ),
    ),
    TinyDecoder(
        "tiny-phi3", 2, "fused tensors, a window, head_dim 24",
        _phi3_settings(sliding_window=15, original_max_position_embeddings=256),
        on_device=True,
    ),
    TinyDecoder(
        "tiny-phi3-short", 6, "long rope within the original context",
        _phi3_settings(
            rope_scaling=LONG_ROPE, max_position_embeddings=1024,
            original_max_position_embeddings=128, sliding_window=262144,
        ),
    ),
    TinyDecoder(
        "tiny-phi3-long", 2, "long rope beyond the original context, tied",
        _phi3_settings(
            rope_scaling=LONG_ROPE, max_position_embeddings=512,
            original_max_position_embeddings=16, tie_word_embeddings=True,
        ),
    ),
    TinyDecoder(
        "tiny-phi4", 8, "a part of each head rotated, long rope, tied",
        _phi3_settings(
            hidden_size=128, partial_rotary_factor=0.75, tie_word_embeddings=True,
            rope_scaling=LONG_ROPE, max_position_embeddings=512,
            original_max_position_embeddings=16, sliding_window=262144,
        ),
    ),
    TinyDecoder(
        "tiny-llama-bias", 16, "biases on attention",
        _settings("llama", "LlamaForCausalLM", attention_bias=True, rope_scaling={
            "rope_type": "linear", "factor": 2.0,
        }),
    ),
    TinyDecoder(
        "tiny-qwen3", 13, "norms on heads that do not fill the hidden size, biases, untied",
        _settings("qwen3", "Qwen3ForCausalLM", head_dim=32, attention_bias=True),
        on_device=True,
        emphasis=OUTPUTS,
    ),
    TinyDecoder(
        "tiny-qwen3-window", 5, "a window from layer 1 on, tied",
        _settings(
            "qwen3", "Qwen3ForCausalLM", head_dim=40, tie_word_embeddings=True,
            use_sliding_window=True, sliding_window=12, max_window_layers=1,
        ),
        emphasis=OUTPUTS,
    ),
    TinyDecoder(
        "tiny-gemma", 1, "1 + w norms, scaled embeddings, GELU, one key head",
        _gemma_settings("gemma", "GemmaForCausalLM", num_key_value_heads=1),
        emphasis=OUTPUTS,
    ),
    TinyDecoder(
        "tiny-gemma2", 7, "soft caps within reach, norms on both sides, a window on odd layers",
        _gemma_settings(
            "gemma2", "Gemma2ForCausalLM", attn_logit_softcapping=2.0,
            final_logit_softcapping=12.0, query_pre_attn_scalar=24, sliding_window=10,
        ),
        on_device=True,
        emphasis=OUTPUT_NORMS,
    ),
    TinyDecoder(
        "tiny-gemma3", 1, "norms on heads, two rotary tables, linear scaling, two windows of three",
        _gemma_settings(
            "gemma3_text", "Gemma3ForCausalLM", num_hidden_layers=3, sliding_window=9,
            sliding_window_pattern=3, rope_local_base_freq=5000.0, rope_theta=100000.0,
            query_pre_attn_scalar=40, rope_scaling={"rope_type": "linear", "factor": 4.0},
        ),
        emphasis=OUTPUT_NORMS,
    ),
    TinyDecoder(
        "tiny-gemma4", 2,
        "wider heads without a window, keys of earlier layers, wider parts there, inputs by layer",
        _gemma4_settings(),
        emphasis=GEMMA4,
    ),
    TinyDecoder(
        "tiny-gemma4-own", 2, "every layer with its own keys, no inputs by layer, a soft cap",
        _gemma4_settings(
            num_kv_shared_layers=0, hidden_size_per_layer_input=0, use_double_wide_mlp=False,
            layer_types=[SLIDING, FULL, FULL], num_hidden_layers=3, global_head_dim=32,
            final_logit_softcapping=15.0, attention_bias=True, rope_parameters={
                SLIDING: {"rope_type": "default", "rope_theta": 5000.0},
                FULL: {
                    "rope_type": "proportional", "partial_rotary_factor": 0.5, "factor": 2.0,
                    "rope_theta": 20000.0,
                },
            },
        ),
        emphasis=OUTPUT_NORMS,
    ),
    TinyDecoder(
        "tiny-smollm3", 4, "a layer of three without positions, and with a window; biases",
        _settings(
            "smollm3", "SmolLM3ForCausalLM", num_hidden_layers=3, no_rope_layers=[1, 0, 1],
            use_sliding_window=True, sliding_window=20, attention_bias=True,
            tie_word_embeddings=True,
        ),
        on_device=True,
        emphasis=OUTPUTS,
    ),
    TinyDecoder(
        "tiny-olmo2", 13, "norms after, norms over all queries and all keys, biases",
        _settings("olmo2", "Olmo2ForCausalLM", attention_bias=True),
        on_device=True,
        emphasis={"embed_tokens": 10.0},
    ),
    TinyDecoder(
        "tiny-qwen3-moe", 6, "experts after a layer without, shares that add up to one, a window",
        _settings(
            "qwen3_moe", "Qwen3MoeForCausalLM", head_dim=32, num_hidden_layers=3,
            moe_intermediate_size=64, num_experts=10, num_experts_per_tok=3,
            norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[0],
            use_sliding_window=True, sliding_window=18,
        ),
        on_device=True,
        emphasis=OUTPUTS | ROUTER,
    ),
    TinyDecoder(
        "tiny-olmoe", 1, "experts in every layer, norms over all queries and all keys",
        _settings(
            "olmoe", "OlmoeForCausalLM", intermediate_size=96, num_experts=7,
            num_experts_per_tok=2, norm_topk_prob=False, clip_qkv=None,
        ),
        emphasis=OUTPUTS | ROUTER,
    ),
    TinyDecoder(
        "tiny-qwen3.5", 8, "layers that remember, two heads of values a key, gates on attention",
        _qwen3_5_settings(linear_num_value_heads=4, layer_types=[REMEMBERS, ATTENDS, REMEMBERS]),
        on_device=True,
        emphasis=REMEMBERED,
    ),
    TinyDecoder(
        "tiny-qwen3.5-long", 1, "biases, a longer convolution, more rotated, tied",
        _qwen3_5_settings(
            tie_word_embeddings=True, attention_bias=True, linear_conv_kernel_dim=6,
            layer_types=[ATTENDS, REMEMBERS], linear_key_head_dim=24, rope_parameters={
                "rope_type": "default", "rope_theta": 5000.0, "partial_rotary_factor": 0.5,
            },
        ),
        emphasis=REMEMBERED,
    ),
    TinyDecoder(
        "tiny-stablelm", 20, "layer norms, a quarter of each head rotated, biases, tied",
        _layer_norm_settings(
            "stablelm", "StableLmForCausalLM", use_qkv_bias=True, qk_layernorm=False,
            use_parallel_residual=False, tie_word_embeddings=True, hidden_size=128,
        ),
        emphasis=OUTPUTS,
    ),
    TinyDecoder(
        "tiny-stablelm-12b", 12, "a norm for each head, parts in parallel, three key heads, yarn",
        _layer_norm_settings(
            "stablelm", "StableLmForCausalLM", use_qkv_bias=False, qk_layernorm=True,
            use_parallel_residual=True, num_attention_heads=6, num_key_value_heads=3,
            partial_rotary_factor=0.5, rope_scaling={
                "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64,
                "mscale": 0.8, "mscale_all_dim": 0.5,
            },
        ),
        emphasis=OUTPUTS,
    ),
    TinyDecoder(
        "tiny-phi", 20, "one layer norm for both parts, biases everywhere, no gate, linear scaling",
        _layer_norm_settings(
            "phi", "PhiForCausalLM", hidden_act="gelu_new", qk_layernorm=False,
            partial_rotary_factor=0.5, rope_scaling={"rope_type": "linear", "factor": 2.0},
        ),
        on_device=True,
        emphasis={"embed_tokens": 10.0},
    ),
    TinyDecoder(
        "tiny-phi-normed", 12, "layer norms on heads, GELU by erf, as many key heads as heads",
        _layer_norm_settings(
            "phi", "PhiForCausalLM", hidden_act="gelu", qk_layernorm=True,
            partial_rotary_factor=0.25, hidden_size=160, num_attention_heads=5,
            num_key_value_heads=None,
        ),
        emphasis={"embed_tokens": 10.0},
    ),
    TinyDecoder(
        "tiny-pythia", 11, "queries, keys and values head by head, parts in parallel, GELU by erf",
        _gpt_neox_settings(
            use_parallel_residual=True, rotary_pct=0.25, rotary_emb_base=5000, hidden_size=128,
        ),
    ),
    TinyDecoder(
        "tiny-redpajama", 12, "parts in turn, whole heads rotated, no biases on attention, tied",
        _gpt_neox_settings(
            use_parallel_residual=False, rotary_pct=1.0, hidden_act="gelu_fast",
            attention_bias=False, tie_word_embeddings=True,
        ),
    ),
    TinyDecoder(
        "tiny-gpt2", 10, "learned positions, transposed matrices, tied", _gpt2_settings(),
        on_device=True,
        emphasis={"wpe": 12.0, "c_proj.weight": 9.0},
    ),
    TinyDecoder(
        "tiny-gpt2-scaled", 5, "scores divided by their layer and by nothing else, untied, erf",
        _gpt2_settings(
            scale_attn_by_inverse_layer_idx=True, scale_attn_weights=False, n_layer=3,
            n_inner=None, activation_function="gelu", tie_word_embeddings=False,
        ),
        emphasis={"wpe": 4.0},
    ),
    TinyDecoder(
        "tiny-ministral", 5, "a window in two layers of three",
        _settings(
            "ministral", "MinistralForCausalLM", head_dim=32, num_hidden_layers=3,
            sliding_window=14,
            layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        ),
        emphasis=OUTPUTS,
    ),
    TinyDecoder(
        "tiny-ministral3", 3, "queries that grow with their position, yarn, tied",
        {
            key: value for key, value in _settings(
                "ministral3", "Ministral3ForCausalLM", head_dim=32, tie_word_embeddings=True,
                rope_parameters={
                    "type": "yarn", "rope_theta": 10000.0, "factor": 16.0, "beta_fast": 32.0,
                    "beta_slow": 1.0, "original_max_position_embeddings": 16, "mscale": 1.0,
                    "mscale_all_dim": 1.0, "max_position_embeddings": 256,
                    "llama_4_scaling_beta": 0.3,
                },
            ).items() if key != "rope_theta"
        },
        emphasis=OUTPUTS,
    ),
)  # fmt: skip
