"""The weights of a layer that remembers instead of attending.

The rates of its heads stay in 32-bit floats under every scheme: they are small, and what they are
rounded to is multiplied at every token.
"""

from __future__ import annotations

from ..schemes import SCHEMES
from ..weight_specs import WeightSpec
from .config import DecoderConfig


def recurrent_weights(config: DecoderConfig, index: int) -> list[WeightSpec]:
    """Projections in, convolution, decays, the norm of its heads, and the way out."""
    assert config.recurrence is not None, index
    shape, hidden, names = config.recurrence.shape, config.hidden_size, config.names
    name, prefix, f32 = f"layers.{index}", names.layer.format(index), SCHEMES["f32"]

    def weights(sources: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"{prefix}{source}.weight" for source in sources)

    width, rates = shape.channels + shape.values, 2 * shape.value_heads
    decays = tuple(prefix + source for source in names.decays)
    return [
        WeightSpec(f"{name}.mixer", "matrix", weights(names.mixer), width, hidden),
        WeightSpec(f"{name}.rates", "matrix", weights(names.rates), rates, hidden, pinned=f32),
        WeightSpec(f"{name}.decays", "vector", decays, rates),
        WeightSpec(
            f"{name}.conv",
            "vector",
            weights((names.conv,)),
            shape.channels * shape.kernel,
            flat=True,
        ),
        WeightSpec(f"{name}.heads_norm", "vector", weights((names.heads_norm,)), shape.value_dim),
        WeightSpec(f"{name}.output", "matrix", weights((names.remembered,)), hidden, shape.values),
    ]
