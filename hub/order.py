"""What to build, and the compiler it is built with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_configs.config import ModelConfig
from runtime.manifest import Embedding, Loss
from runtime.plan import Plan

from .errors import UnsupportedError
from .material import Material
from .schemes import Schemes

if TYPE_CHECKING:
    from .families import Family, FamilyConfig
    from .forward import Walk
    from .llvm import Reference
    from .llvm_encoder import EncoderReference


@dataclass(frozen=True, slots=True)
class Toolchain:
    """The compiler as the build sees it: families by name, plans, and the
    reference host that answers on this processor."""

    families: Mapping[str, Family]
    compile_plans: Callable[..., tuple[Plan, ...]]
    reference: Callable[..., Reference]
    encoder: Callable[..., EncoderReference]
    """The reference host of models of embeddings."""
    walk: Callable[..., Walk] | None = None
    """Reads texts with any weights, by operators; without it no loss is measured."""
    press_processor: Callable[..., tuple[tuple[Plan, ...], tuple[bytes, ...]]] | None = None
    """Makes plans for the processor and their modules; without it there are none."""
    measure_losses: Callable[..., dict[str, Loss]] | None = None
    """What rounding loses in them."""


def tvm_toolchain() -> Toolchain:
    """The real one; imports TVM, which takes a second."""
    from .compile import compile_plans
    from .cpu.press import measure_losses, press_processor
    from .families import FAMILIES
    from .forward import Walk
    from .llvm import Reference
    from .llvm_encoder import EncoderReference

    return Toolchain(
        FAMILIES,
        compile_plans,
        Reference,
        EncoderReference,
        Walk,
        press_processor,
        measure_losses,
    )


@dataclass(frozen=True, slots=True)
class Order:
    """What to build: a model, its material, how matrices are stored, and the tokens a sequence
    may hold."""

    model: ModelConfig
    material: Material
    scheme: Schemes
    context: int
    embedding: Embedding | None = None
    """How texts become vectors, where that is the task."""
    calibration: Path | None = None
    """A text to choose rounding by."""
    measure: bool = False
    """Whether to measure the loss of a model however large it is."""
    processor: bool | None = None
    """Whether to make plans for the processor; None makes them where that can be done."""


def read_shape(order: Order, toolchain: Toolchain) -> FamilyConfig:
    """The model's sizes from its config.json; UnsupportedError names what cannot be computed."""
    family = toolchain.families.get(order.model.family)
    if family is None:
        raise UnsupportedError(
            f"family {order.model.family!r} is unknown; there are: {', '.join(toolchain.families)}"
        )
    shape: FamilyConfig = family.read(order.material.config)
    if not 0 < order.context <= shape.context:
        raise UnsupportedError(
            f"a context of {order.context} tokens is not possible: this model reads 1 to "
            f"{shape.context}; choose another with --context"
        )
    return shape


def recognise(config: Mapping[str, Any], toolchain: Toolchain) -> str:
    """The name of the family that reads this config.json; UnsupportedError lists them."""
    for name, family in toolchain.families.items():
        if family.recognises(config):
            return name
    raise UnsupportedError(
        f"config.json: model_type {config.get('model_type')!r} belongs to no family; there are: "
        f"{', '.join(toolchain.families)}"
    )
