"""Checkpoints of the reference, pressed: what the devices hold, and what it stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hub.checkpoint import Checkpoint
from hub.families import FAMILIES
from hub.schemes import SCHEMES
from hub.stream import dequantized as stand_for
from hub.stream import press

PRESS_GUIDE = "press-guide"
GUIDE_QUESTION = "How do I publish a site?"
"""What the demo model is asked: a question whose every greedy choice is clear."""
CONTEXT = 128
"""Positions of the rotary table; the prompts and what follows fit into them."""


@dataclass(frozen=True, slots=True)
class Pressed:
    """A checkpoint under a scheme: its config.json, its buffers, and the weights they mean."""

    config: Mapping[str, Any]
    buffers: Mapping[str, NDArray[Any]]
    weights: Mapping[str, NDArray[np.float32]]


def press_checkpoint(folder: Path, scheme: str) -> Pressed:
    """Press the checkpoint in `folder` as a build would."""
    checkpoint = Checkpoint.open(folder)
    family = FAMILIES[family_of(checkpoint.config)]
    specs = family.weights(family.read(checkpoint.config), CONTEXT)
    pressed = press(specs, SCHEMES[scheme], checkpoint)
    buffers: dict[str, NDArray[Any]] = {buffer.name: buffer.data for buffer in pressed}
    weights = dict(stand_for(specs, SCHEMES[scheme], buffers, checkpoint))
    return Pressed(checkpoint.config, buffers, weights)


def family_of(config: Mapping[str, Any]) -> str:
    """The one family that reads this config.json."""
    (name,) = (name for name, family in FAMILIES.items() if family.recognises(config))
    return name


def dequantized(folder: Path, scheme: str) -> Mapping[str, NDArray[np.float32]]:
    """Checkpoint tensors as float32, with the values that the scheme's codes stand for."""
    return press_checkpoint(folder, scheme).weights


def press_guide_folder() -> Path:
    """The checkpoint that is committed with the project."""
    return Path(__file__).parents[2] / "model_configs" / "press_guide" / "checkpoint"
