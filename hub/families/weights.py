"""The weights of any decoder, in the order the device needs them."""

from __future__ import annotations

from ..weight_specs import WeightSpec
from .config import DecoderConfig
from .experts import expert_weights
from .rope import Rope, rope_table


def decoder_weights(config: DecoderConfig, context: int) -> tuple[WeightSpec, ...]:
    """What to take from a checkpoint for sequences of up to `context` tokens."""
    names, hidden = config.names, config.hidden_size
    specs = _matrix("embedding", (names.embedding,), config.vocab_size, hidden)
    specs.append(_rope("rope", config.rope, context))
    if config.local_rope:
        specs.append(_rope("local_rope", config.local_rope, context))
    for index in range(config.layers):
        specs += _layer(config, index)
    specs += _norm(config, "norm", names.norm, hidden)
    if not config.tied:
        specs += _matrix("lm_head", (names.head,), config.vocab_size, hidden)
    return tuple(specs)


def _layer(config: DecoderConfig, index: int) -> list[WeightSpec]:
    name, names, prefix = f"layers.{index}", config.names, config.names.layer.format(index)
    hidden, ffn, dim = config.hidden_size, config.intermediate_size, config.head_dim
    width = config.heads * dim
    row = config.qk_norm == "row"

    def norm(suffix: str, source: str, size: int = hidden) -> list[WeightSpec]:
        return _norm(config, f"{name}.{suffix}", prefix + source if source else "", size)

    def matrix(
        suffix: str, sources: tuple[str, ...], rows: int, cols: int, bias: bool = False
    ) -> list[WeightSpec]:
        found = tuple(prefix + source for source in sources)
        return _matrix(f"{name}.{suffix}", found, rows, cols, bias=bias)

    specs = norm("input_norm", names.input_norm)
    specs += matrix("qkv", names.qkv, config.qkv_rows, hidden, config.qkv_bias)
    if config.qk_norm:
        specs += norm("q_norm", names.q_norm, width if row else dim)
        specs += norm("k_norm", names.k_norm, config.kv_heads * dim if row else dim)
    specs += matrix("output", (names.output,), hidden, width, config.output_bias)
    specs += norm("output_norm", names.output_norm)
    specs += norm("post_norm", names.post_norm)
    if config.sparse(index):
        return specs + expert_weights(config, index)
    specs += matrix("gate_up", names.gate_up, 2 * ffn, hidden)
    specs += matrix("down", (names.down,), hidden, ffn)
    return specs + norm("down_norm", names.down_norm)


def _rope(name: str, rope: Rope, context: int) -> WeightSpec:
    return WeightSpec(name, "rope", (), context, rope=rope_table(rope, context))


def _norm(config: DecoderConfig, name: str, source: str, size: int) -> list[WeightSpec]:
    if not source:
        return []
    sources = (f"{source}.weight",)
    return [WeightSpec(name, "vector", sources, size, offset=config.norm_offset)]


def _matrix(
    name: str, sources: tuple[str, ...], rows: int, cols: int, *, bias: bool = False
) -> list[WeightSpec]:
    """A matrix and, when it has one, the vector added to its products."""
    matrix = WeightSpec(name, "matrix", tuple(f"{s}.weight" for s in sources), rows, cols)
    if not bias:
        return [matrix]
    return [matrix, WeightSpec(f"{name}.bias", "vector", tuple(f"{s}.bias" for s in sources), rows)]
