"""The weights of any decoder, in the order the device needs them."""

from __future__ import annotations

from ..weight_specs import WeightSpec
from .config import DecoderConfig
from .rope import rope_table


def decoder_weights(config: DecoderConfig, context: int) -> tuple[WeightSpec, ...]:
    """What to take from a checkpoint for sequences of up to `context` tokens."""
    names, hidden = config.names, config.hidden_size
    specs = [
        *_matrix("embedding", (names.embedding,), config.vocab_size, hidden),
        WeightSpec("rope", "rope", (), context, rope=rope_table(config.rope, context)),
    ]
    for index in range(config.layers):
        specs += _layer(config, index)
    specs.append(_vector("norm", names.norm, hidden))
    if not config.tied:
        specs += _matrix("lm_head", (names.head,), config.vocab_size, hidden)
    return tuple(specs)


def _layer(config: DecoderConfig, index: int) -> list[WeightSpec]:
    name, names = f"layers.{index}", config.names
    prefix, hidden, ffn = names.layer.format(index), config.hidden_size, config.intermediate_size
    qkv = tuple(prefix + part for part in names.qkv)
    gate_up = tuple(prefix + part for part in names.gate_up)
    return [
        _vector(f"{name}.input_norm", prefix + names.input_norm, hidden),
        *_matrix(f"{name}.qkv", qkv, config.qkv_rows, hidden, bias=config.qkv_bias),
        *_matrix(
            f"{name}.output", (prefix + names.output,), hidden, config.heads * config.head_dim
        ),
        _vector(f"{name}.post_norm", prefix + names.post_norm, hidden),
        *_matrix(f"{name}.gate_up", gate_up, 2 * ffn, hidden),
        *_matrix(f"{name}.down", (prefix + names.down,), hidden, ffn),
    ]


def _vector(name: str, source: str, size: int) -> WeightSpec:
    return WeightSpec(name, "vector", (f"{source}.weight",), size)


def _matrix(
    name: str, sources: tuple[str, ...], rows: int, cols: int, *, bias: bool = False
) -> list[WeightSpec]:
    """A matrix and, when it has one, the vector added to its products."""
    matrix = WeightSpec(name, "matrix", tuple(f"{s}.weight" for s in sources), rows, cols)
    if not bias:
        return [matrix]
    return [matrix, WeightSpec(f"{name}.bias", "vector", tuple(f"{s}.bias" for s in sources), rows)]
