"""The weights of a layer of experts: a router, and the matrices of all experts stacked.

The router stays in 32-bit floats under every scheme: it is small, and rounding it would send
tokens to other experts.
"""

from __future__ import annotations

from ..schemes import SCHEMES
from ..weight_specs import WeightSpec
from .config import DecoderConfig


def expert_weights(config: DecoderConfig, index: int) -> list[WeightSpec]:
    """Router, gate and up rows of each expert in turn, down rows of each expert in turn."""
    experts, hidden, names = config.experts, config.hidden_size, config.names
    assert experts is not None, index
    name, prefix = f"layers.{index}", names.layer.format(index)
    places = [prefix + names.expert.format(expert) for expert in range(experts.count)]
    gate_up = tuple(f"{p}{part}.weight" for p in places for part in names.expert_gate_up)
    down = tuple(f"{place}{names.expert_down}.weight" for place in places)
    unit = 2 * experts.intermediate_size
    return [
        WeightSpec(
            f"{name}.router",
            "matrix",
            (f"{prefix}{names.router}.weight",),
            experts.count,
            hidden,
            pinned=SCHEMES["f32"],
        ),
        WeightSpec(
            f"{name}.expert_gate_up", "matrix", gate_up, experts.count * unit, hidden, unit=unit
        ),
        WeightSpec(
            f"{name}.expert_down",
            "matrix",
            down,
            experts.count * hidden,
            experts.intermediate_size,
            unit=hidden,
        ),
    ]
