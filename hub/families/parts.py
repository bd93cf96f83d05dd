"""Parts of a decoder that some families have: experts, layers that remember, inputs by layer."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.plan import STATE_RING

from ..kernels.experts import MOST_EXPERTS
from ..linear_operators import DeltaShape
from ..schemes import GROUP


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """The layers whose feed-forward part is a mixture: a token goes to `top` of `count` experts."""

    count: int
    top: int
    intermediate_size: int
    """Of one expert."""
    renormalize: bool
    """Whether the shares of the chosen ones add up to one."""
    layers: tuple[bool, ...]
    """Whether each layer has experts."""

    def problems(self, layers: int) -> list[str]:
        found = []
        if not 0 < self.top <= self.count:
            found.append(f"num_experts_per_tok is {self.top} of {self.count} experts")
        if self.count > MOST_EXPERTS:
            found.append(f"num_experts is {self.count}, more than {MOST_EXPERTS}")
        if self.intermediate_size <= 0 or self.intermediate_size % GROUP:
            found.append(f"the experts' intermediate size is not a multiple of {GROUP}")
        if len(self.layers) != layers:
            found.append(f"{len(self.layers)} layers of {layers} are said to have experts or none")
        return found


@dataclass(frozen=True, slots=True)
class Recurrence:
    """The layers that remember instead of attending, in a state of fixed size."""

    shape: DeltaShape
    layers: tuple[bool, ...]
    """Whether each layer is one."""

    def problems(self, layers: int) -> list[str]:
        shape, found = self.shape, []
        if min(shape.key_heads, shape.value_heads, shape.key_dim, shape.value_dim) <= 0:
            return ["linear_num_key_heads and the like must be positive"]
        if shape.value_heads % shape.key_heads:
            found.append(
                f"{shape.value_heads} heads of values do not divide among {shape.key_heads} of keys"
            )
        if shape.key_dim % 8 or shape.key_dim > 256 or shape.value_dim % 8:
            found.append("linear_key_head_dim or linear_value_head_dim is no multiple of 8 to 256")
        if shape.values % GROUP or shape.channels % GROUP:
            found.append(f"the channels of linear attention are not a multiple of {GROUP}")
        if not 1 < shape.kernel <= STATE_RING + 1:
            # One that looks further back would need rows from where it writes them.
            found.append(f"linear_conv_kernel_dim is {shape.kernel}, not 2 to {STATE_RING + 1}")
        if len(self.layers) != layers:
            found.append(f"layer_types names {len(self.layers)} layers of {layers}")
        return found


@dataclass(frozen=True, slots=True)
class LayerInputs:
    """What every layer is given of a token besides what the layers before it made of it: `size`
    elements, looked up in a table for all layers, and computed from the embedding."""

    vocab_size: int
    """Of the table."""
    size: int

    def problems(self, layers: int) -> list[str]:
        if self.size <= 0 or self.size % GROUP or self.vocab_size <= 0:
            return [f"hidden_size_per_layer_input {self.size} is not a multiple of {GROUP}"]
        return []
