"""What a tiny random model of any decoder family is: a config.json and a seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .tiny import Array, random_tensor, write_checkpoint
from .tiny_shapes import SHAPES, Settings


@dataclass(frozen=True, slots=True)
class TinyDecoder:
    """A checkpoint by its config.json; `options` says what it is there to try."""

    name: str
    seed: int
    options: str
    settings: Settings
    on_device: bool = False
    emphasis: Mapping[str, float] = field(default_factory=dict)
    """Factors for the tensors with these words in their names, so that what is written depends on
    all that was read and not on the last token alone."""
    schemes = ("f32", "q4")

    @property
    def vocab(self) -> int:
        return int(self.settings["vocab_size"])

    def config(self) -> dict[str, Any]:
        """The config.json a publisher would ship."""
        return dict(self.settings)

    def weights(self) -> dict[str, Array]:
        """Named tensors, float32, in checkpoint order."""
        random = np.random.default_rng(self.seed)
        shapes = SHAPES[self.settings["model_type"]](self.settings)
        tensors = {name: random_tensor(random, name, shape) for name, shape in shapes.items()}
        for word, factor in self.emphasis.items():
            tensors |= {n: t * np.float32(factor) for n, t in tensors.items() if word in n}
        if any(word in self.settings["model_type"] for word in ("gemma", "qwen3_5")):
            # In steps that adding one and taking it off again gives back exactly.
            tensors |= {n: _stepped(t) for n, t in tensors.items() if t.ndim == 1}
        return tensors

    def write(self, folder: Path) -> Path:
        """Leave a complete checkpoint folder, tokenizer included."""
        return write_checkpoint(folder, self.config(), self.weights())


def _stepped(values: Array) -> Array:
    return (np.round(values * 4096) / 4096).astype(np.float32)
