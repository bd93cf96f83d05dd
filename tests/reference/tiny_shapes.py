"""The tensors of the tiny models of every family: names and shapes, from a config.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Shapes = dict[str, tuple[int, ...]]
Settings = Mapping[str, Any]


def _rows(c: Settings) -> tuple[int, int]:
    """Elements of all query heads, and of all key heads."""
    heads = c["num_attention_heads"]
    head_dim = c.get("head_dim") or c["hidden_size"] // heads
    return heads * head_dim, (c["num_key_value_heads"] or heads) * head_dim


def _decoder(c: Settings, layer: Callable[[str], Shapes]) -> Shapes:
    """The tensors around the layers as Llama names them."""
    hidden = c["hidden_size"]
    shapes: Shapes = {"model.embed_tokens.weight": (c["vocab_size"], hidden)}
    for index in range(c["num_hidden_layers"]):
        shapes |= {f"model.layers.{index}.{k}": v for k, v in layer(f"{index}").items()}
    shapes["model.norm.weight"] = (hidden,)
    if not c["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (c["vocab_size"], hidden)
    return shapes


def _separate(c: Settings) -> Shapes:
    """The matrices of a layer as Llama has them."""
    (query, key), hidden, ffn = _rows(c), c["hidden_size"], c["intermediate_size"]
    return {
        "self_attn.q_proj.weight": (query, hidden),
        "self_attn.k_proj.weight": (key, hidden),
        "self_attn.v_proj.weight": (key, hidden),
        "self_attn.o_proj.weight": (hidden, query),
        "mlp.gate_proj.weight": (ffn, hidden),
        "mlp.up_proj.weight": (ffn, hidden),
        "mlp.down_proj.weight": (hidden, ffn),
    }


def _norms(c: Settings, *names: str) -> Shapes:
    return {f"{name}.weight": (c["hidden_size"],) for name in names}


PRE_NORMS = ("input_layernorm", "post_attention_layernorm")


def _qwen2(c: Settings) -> Shapes:
    query, key = _rows(c)
    biases: Shapes = {f"self_attn.{p}_proj.bias": (key,) for p in "kv"}
    layer = _norms(c, *PRE_NORMS) | _separate(c) | {"self_attn.q_proj.bias": (query,)} | biases
    return _decoder(c, lambda index: layer)


def _phi3(c: Settings) -> Shapes:
    (query, key), hidden, ffn = _rows(c), c["hidden_size"], c["intermediate_size"]
    layer = _norms(c, *PRE_NORMS) | {
        "self_attn.qkv_proj.weight": (query + 2 * key, hidden),
        "self_attn.o_proj.weight": (hidden, query),
        "mlp.gate_up_proj.weight": (2 * ffn, hidden),
        "mlp.down_proj.weight": (hidden, ffn),
    }
    return _decoder(c, lambda index: layer)


def _attention_biases(c: Settings) -> Shapes:
    if not c.get("attention_bias"):
        return {}
    query, key = _rows(c)
    biases: Shapes = {f"self_attn.{p}_proj.bias": (key,) for p in "kv"}
    return biases | {
        "self_attn.q_proj.bias": (query,),
        "self_attn.o_proj.bias": (c["hidden_size"],),
    }


def _head_norms(c: Settings) -> Shapes:
    dim = _rows(c)[0] // c["num_attention_heads"]
    return {f"self_attn.{p}_norm.weight": (dim,) for p in "qk"}


def _plain(c: Settings) -> Shapes:
    layer = _norms(c, *PRE_NORMS) | _separate(c) | _attention_biases(c)
    return _decoder(c, lambda index: layer)


def _qwen3(c: Settings) -> Shapes:
    layer = _norms(c, *PRE_NORMS) | _separate(c) | _head_norms(c) | _attention_biases(c)
    return _decoder(c, lambda index: layer)


def _olmo2(c: Settings) -> Shapes:
    query, key = _rows(c)
    norms = _norms(c, "post_attention_layernorm", "post_feedforward_layernorm")
    norms |= {"self_attn.q_norm.weight": (query,), "self_attn.k_norm.weight": (key,)}
    layer = norms | _separate(c) | _attention_biases(c)
    return _decoder(c, lambda index: layer)


def _experts(c: Settings, ffn: int) -> Shapes:
    """A router and the matrices of each expert, as published checkpoints name them."""
    hidden = c["hidden_size"]
    shapes: Shapes = {"mlp.gate.weight": (c["num_experts"], hidden)}
    for expert in range(c["num_experts"]):
        prefix = f"mlp.experts.{expert}"
        shapes |= {f"{prefix}.{part}_proj.weight": (ffn, hidden) for part in ("gate", "up")}
        shapes[f"{prefix}.down_proj.weight"] = (hidden, ffn)
    return shapes


def _sparse(c: Settings, shapes: Shapes, ffn: int) -> Shapes:
    """A layer with experts in the place of its feed-forward matrices."""
    return {k: v for k, v in shapes.items() if not k.startswith("mlp.")} | _experts(c, ffn)


def _qwen3_moe(c: Settings) -> Shapes:
    dense = _norms(c, *PRE_NORMS) | _separate(c) | _head_norms(c) | _attention_biases(c)
    sparse = _sparse(c, dense, c["moe_intermediate_size"])

    def layer(index: str) -> Shapes:
        step, at = c["decoder_sparse_step"], int(index)
        return sparse if (at + 1) % step == 0 and at not in c["mlp_only_layers"] else dense

    return _decoder(c, layer)


def _olmoe(c: Settings) -> Shapes:
    query, key = _rows(c)
    norms: Shapes = {"self_attn.q_norm.weight": (query,), "self_attn.k_norm.weight": (key,)}
    dense = _norms(c, *PRE_NORMS) | norms | _separate(c) | _attention_biases(c)
    layer = _sparse(c, dense, c["intermediate_size"])
    return _decoder(c, lambda index: layer)


def _qwen3_5(c: Settings) -> Shapes:
    hidden, heads = c["hidden_size"], c["linear_num_value_heads"]
    query = _rows(c)[0]
    values = heads * c["linear_value_head_dim"]
    channels = 2 * c["linear_num_key_heads"] * c["linear_key_head_dim"] + values
    shared = _norms(c, *PRE_NORMS) | {k: v for k, v in _separate(c).items() if "mlp" in k}
    attends = shared | _separate(c) | _head_norms(c) | _attention_biases(c)
    attends["self_attn.q_proj.weight"] = (2 * query, hidden)
    if c["attention_bias"]:
        attends["self_attn.q_proj.bias"] = (2 * query,)
    remembers: Shapes = shared | {
        "linear_attn.in_proj_qkv.weight": (channels, hidden),
        "linear_attn.in_proj_z.weight": (values, hidden),
        "linear_attn.in_proj_b.weight": (heads, hidden),
        "linear_attn.in_proj_a.weight": (heads, hidden),
        "linear_attn.A_log": (heads,),
        "linear_attn.dt_bias": (heads,),
        "linear_attn.conv1d.weight": (channels, 1, c["linear_conv_kernel_dim"]),
        "linear_attn.norm.weight": (c["linear_value_head_dim"],),
        "linear_attn.out_proj.weight": (hidden, values),
    }

    def layer(index: str) -> Shapes:
        return attends if c["layer_types"][int(index)] == "full_attention" else remembers

    return _decoder(c, layer)


def _gemma(c: Settings) -> Shapes:
    norms = _norms(c, *PRE_NORMS)
    if c["model_type"] != "gemma":
        norms |= _norms(c, "pre_feedforward_layernorm", "post_feedforward_layernorm")
    if c["model_type"] == "gemma3_text":
        norms |= _head_norms(c)
    layer = norms | _separate(c) | _attention_biases(c)
    return _decoder(c, lambda index: layer)


def _gemma4(c: Settings) -> Shapes:
    hidden, kinds = c["hidden_size"], c["layer_types"]
    size, layers = c["hidden_size_per_layer_input"], c["num_hidden_layers"]
    norms = _norms(c, *PRE_NORMS, "pre_feedforward_layernorm", "post_feedforward_layernorm")
    inputs: Shapes = {
        "per_layer_input_gate.weight": (size, hidden),
        "per_layer_projection.weight": (hidden, size),
        "post_per_layer_input_norm.weight": (hidden,),
    }

    def layer(index: str) -> Shapes:
        wide = kinds[int(index)] == "full_attention"
        own = {**c, "head_dim": c["global_head_dim"] if wide else c["head_dim"]}
        shared = int(index) >= layers - c["num_kv_shared_layers"]
        own["intermediate_size"] *= 2 if shared and c["use_double_wide_mlp"] else 1
        shapes = norms | _separate(own) | _head_norms(own) | _attention_biases(own)
        shapes = shapes | {"layer_scalar": (1,)} | (inputs if size else {})
        gone = ("k_proj", "v_proj", "k_norm") if shared else ()
        return {k: v for k, v in shapes.items() if not any(word in k for word in gone)}

    shapes = _decoder(c, layer)
    if not size:
        return shapes
    return shapes | {
        "model.embed_tokens_per_layer.weight": (c["vocab_size_per_layer_input"], layers * size),
        "model.per_layer_model_projection.weight": (layers * size, hidden),
        "model.per_layer_projection_norm.weight": (size,),
    }


def _biased(shapes: Shapes, but: str = "") -> Shapes:
    """Each with a bias, all but the names with `but` in them."""
    biases: Shapes = {
        f"{name.removesuffix('.weight')}.bias": shape[:1]
        for name, shape in shapes.items()
        if not but or but not in name
    }
    return shapes | biases


def _stablelm(c: Settings) -> Shapes:
    heads, (query, key) = c["num_attention_heads"], _rows(c)
    norms = _biased(_norms(c, *PRE_NORMS[: 1 if c["use_parallel_residual"] else 2]))
    layer = norms | _separate(c)
    if c["use_qkv_bias"]:
        layer |= {f"self_attn.{p}_proj.bias": (key if p != "q" else query,) for p in "qkv"}
    if c["qk_layernorm"]:
        for part, count in (("q", heads), ("k", c["num_key_value_heads"])):
            names = [f"self_attn.{part}_layernorm.norms.{head}.weight" for head in range(count)]
            layer |= {name: (query // heads,) for name in names}
    return _decoder(c, lambda index: layer) | {"model.norm.bias": (c["hidden_size"],)}


def _phi(c: Settings) -> Shapes:
    (query, key), hidden, ffn = _rows(c), c["hidden_size"], c["intermediate_size"]
    layer: Shapes = {
        "input_layernorm.weight": (hidden,),
        "self_attn.q_proj.weight": (query, hidden),
        "self_attn.k_proj.weight": (key, hidden),
        "self_attn.v_proj.weight": (key, hidden),
        "self_attn.dense.weight": (hidden, query),
        "mlp.fc1.weight": (ffn, hidden),
        "mlp.fc2.weight": (hidden, ffn),
    }
    if c["qk_layernorm"]:
        dim = query // c["num_attention_heads"]
        layer |= {f"self_attn.{part}_layernorm.weight": (dim,) for part in "qk"}
    shapes = _biased(_decoder(c, lambda index: layer), but="embed_tokens")
    names = {name: name.replace("model.norm", "model.final_layernorm") for name in shapes}
    return {names[name]: shape for name, shape in shapes.items()}


def _gpt_neox(c: Settings) -> Shapes:
    hidden, ffn = c["hidden_size"], c["intermediate_size"]
    fused: Shapes = {
        "attention.query_key_value.weight": (3 * hidden, hidden),
        "attention.dense.weight": (hidden, hidden),
    }
    layer = _biased(_norms(c, *PRE_NORMS)) | (_biased(fused) if c["attention_bias"] else fused)
    layer |= _biased(
        {"mlp.dense_h_to_4h.weight": (ffn, hidden), "mlp.dense_4h_to_h.weight": (hidden, ffn)}
    )
    shapes: Shapes = {"gpt_neox.embed_in.weight": (c["vocab_size"], hidden)}
    for index in range(c["num_hidden_layers"]):
        shapes |= {f"gpt_neox.layers.{index}.{k}": v for k, v in layer.items()}
    shapes |= _biased({"gpt_neox.final_layer_norm.weight": (hidden,)})
    if not c["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (c["vocab_size"], hidden)
    return shapes


def _gpt2(c: Settings) -> Shapes:
    hidden = c["n_embd"]
    ffn = c.get("n_inner") or 4 * hidden
    flat: Shapes = {"ln_1.weight": (hidden,), "ln_2.weight": (hidden,)}
    layer = _biased(flat) | {
        "attn.c_attn.weight": (hidden, 3 * hidden),
        "attn.c_attn.bias": (3 * hidden,),
        "attn.c_proj.weight": (hidden, hidden),
        "attn.c_proj.bias": (hidden,),
        "mlp.c_fc.weight": (hidden, ffn),
        "mlp.c_fc.bias": (ffn,),
        "mlp.c_proj.weight": (ffn, hidden),
        "mlp.c_proj.bias": (hidden,),
    }
    shapes: Shapes = {
        "transformer.wte.weight": (c["vocab_size"], hidden),
        "transformer.wpe.weight": (c["n_positions"], hidden),
    }
    for index in range(c["n_layer"]):
        shapes |= {f"transformer.h.{index}.{k}": v for k, v in layer.items()}
    shapes |= _biased({"transformer.ln_f.weight": (hidden,)})
    if not c["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (c["vocab_size"], hidden)
    return shapes


SHAPES: Mapping[str, Callable[[Settings], Shapes]] = {
    "gemma": _gemma,
    "gemma2": _gemma,
    "gemma3_text": _gemma,
    "gemma4_text": _gemma4,
    "gpt2": _gpt2,
    "gpt_neox": _gpt_neox,
    "llama": _plain,
    "ministral": _plain,
    "ministral3": _plain,
    "olmo2": _olmo2,
    "olmoe": _olmoe,
    "phi": _phi,
    "phi3": _phi3,
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "qwen3_5_text": _qwen3_5,
    "qwen3_moe": _qwen3_moe,
    "smollm3": _plain,
    "stablelm": _stablelm,
}
