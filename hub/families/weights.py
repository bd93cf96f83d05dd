"""The weights of any decoder, in the order the device needs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..schemes import SCHEMES
from ..weight_specs import WeightSpec
from .config import DecoderConfig
from .experts import expert_weights
from .recurrence import recurrent_weights
from .rope import Rope, rope_table


def decoder_weights(config: DecoderConfig, context: int) -> tuple[WeightSpec, ...]:
    """What to take from a checkpoint for sequences of up to `context` tokens."""
    names, hidden = config.names, config.hidden_size
    specs = _matrix("embedding", (names.embedding,), config.vocab_size, hidden)
    if names.positions:
        specs.append(_positions(config))
    if config.rope:
        specs.append(_rope("rope", config.rope, context))
    if config.local_rope:
        specs.append(_rope("local_rope", config.local_rope, context))
    specs += _layer_inputs(config)
    for index in range(config.layers):
        specs += _layer(config, index)
    specs += _norm(config, "norm", names.norm, hidden)
    if not config.tied:
        specs += _matrix("lm_head", (names.head,), config.vocab_size, hidden, config.head_bias)
    return tuple(specs)


def _layer_inputs(config: DecoderConfig) -> list[WeightSpec]:
    """What makes the inputs of all layers, where they have some."""
    if config.layer_inputs is None:
        return []
    names, inputs = config.names, config.layer_inputs
    width = config.layers * inputs.size
    return [
        *_matrix("layer_embedding", (names.layer_embedding,), inputs.vocab_size, width),
        *_matrix("input_projection", (names.input_projection,), width, config.hidden_size),
        *_norm(config, "input_norm", names.input_norm_of_all, inputs.size),
    ]


def _layer(config: DecoderConfig, index: int) -> list[WeightSpec]:
    name, names, prefix = f"layers.{index}", config.names, config.names.layer.format(index)
    hidden, ffn = config.hidden_size, config.features(index)

    def norm(suffix: str, source: str) -> list[WeightSpec]:
        return _norm(config, f"{name}.{suffix}", prefix + source if source else "", hidden)

    def matrix(
        suffix: str, sources: tuple[str, ...], rows: int, cols: int, bias: bool = False
    ) -> list[WeightSpec]:
        found = tuple(prefix + source for source in sources)
        both = _matrix(f"{name}.{suffix}", found, rows, cols, bias)
        return [replace(s, transposed=config.transposed and s.kind == "matrix") for s in both]

    specs = norm("input_norm", names.input_norm)
    if config.recurrent(index):
        specs += recurrent_weights(config, index)
    else:
        specs += _attention(config, index, matrix)
    specs += norm("output_norm", names.output_norm)
    specs += norm("post_norm", names.post_norm)
    if config.sparse(index):
        return specs + expert_weights(config, index)
    bias = config.feed_forward_bias
    if config.gated:
        assert not bias, "gates have no bias"
        specs += matrix("gate_up", names.gate_up, 2 * ffn, hidden)
    else:
        specs += matrix("up", names.gate_up, ffn, hidden, bias)
    specs += matrix("down", (names.down,), hidden, ffn, bias)
    specs += norm("down_norm", names.down_norm)
    if config.layer_inputs is not None:
        size = config.layer_inputs.size
        specs += matrix("input_gate", (names.input_gate,), size, hidden)
        specs += matrix("input_output", (names.input_output,), hidden, size)
        specs += norm("input_output_norm", names.input_output_norm)
    if config.layer_scales_output:
        specs.append(WeightSpec(f"{name}.scale", "vector", (prefix + names.output_scale,), 1))
    return specs


def _attention(
    config: DecoderConfig, index: int, matrix: Callable[..., list[WeightSpec]]
) -> list[WeightSpec]:
    """Queries, keys and values, the norms of their heads, and the way out of attention."""
    name, names, prefix = f"layers.{index}", config.names, config.names.layer.format(index)
    hidden, width = config.hidden_size, config.attention_width(index)
    own = config.reads(index) == index
    sources = names.qkv if own else names.qkv[:1]
    qkv = matrix("qkv", sources, config.qkv_rows(index), hidden, config.qkv_bias)
    specs = [replace(s, interleaved=config.heads if config.interleaved else 0) for s in qkv]
    heads = {"q": (names.q_norm, config.heads), "k": (names.k_norm, config.kv_heads)}
    for part, (source, count) in heads.items():
        if config.qk_norm and (own or part == "q"):
            norm = f"{name}.{part}_norm"
            specs.append(_head_norm(config, norm, prefix + source, count, config.dim(index)))
    return specs + matrix("output", (names.output,), hidden, width, config.output_bias)


def _rope(name: str, rope: Rope, context: int) -> WeightSpec:
    return WeightSpec(name, "rope", (), context, rope=rope_table(rope, context))


def _norm(config: DecoderConfig, name: str, source: str, size: int) -> list[WeightSpec]:
    if not source:
        return []
    specs = [WeightSpec(name, "vector", (f"{source}.weight",), size, offset=config.norm_offset)]
    if config.norm == "layer":
        specs.append(WeightSpec(f"{name}.bias", "vector", (f"{source}.bias",), size))
    return specs


def _head_norm(config: DecoderConfig, name: str, source: str, heads: int, dim: int) -> WeightSpec:
    """Of all queries or all keys, which are `heads` heads of `dim` elements."""
    sources, size = {
        "head": ((f"{source}.weight",), dim),
        "row": ((f"{source}.weight",), heads * dim),
        "layer": ((f"{source}.weight", f"{source}.bias"), 2 * dim),
        "layers": (tuple(f"{source.format(i)}.weight" for i in range(heads)), heads * dim),
    }[config.qk_norm]
    return WeightSpec(name, "vector", sources, size, offset=config.norm_offset)


def _positions(config: DecoderConfig) -> WeightSpec:
    """Added to every token: small, and kept as it is."""
    sources = (f"{config.names.positions}.weight",)
    pinned = SCHEMES["f32"]
    return WeightSpec(
        "positions", "matrix", sources, config.context, config.hidden_size, pinned=pinned
    )


def _matrix(
    name: str, sources: tuple[str, ...], rows: int, cols: int, bias: bool = False
) -> list[WeightSpec]:
    """A matrix and, when it has one, the vector added to its products."""
    matrix = WeightSpec(name, "matrix", tuple(f"{s}.weight" for s in sources), rows, cols)
    if not bias:
        return [matrix]
    return [matrix, WeightSpec(f"{name}.bias", "vector", tuple(f"{s}.bias" for s in sources), rows)]
