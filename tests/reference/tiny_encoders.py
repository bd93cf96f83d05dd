"""Tiny random models of BERT's kind: together they switch every option on, in odd sizes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from hub.checkpoint import Checkpoint
from hub.families import FAMILIES
from hub.schemes import SCHEMES
from hub.stream import dequantized, press
from runtime.manifest import Embedding

from .answers import DATA

Array = NDArray[np.float32]
SCHEMES_TRIED = ("f32", "q4")
LONGEST = 40
LENGTHS = (9, LONGEST, 1, 3)
"""Tokens of the texts, all in one call: a full one, a single token, and what lies between."""


@dataclass(frozen=True, slots=True)
class TinyEncoder:
    """A checkpoint by its config.json; `options` says what it is there to try."""

    name: str
    seed: int
    options: str
    pooling: str
    normalized: bool
    settings: Mapping[str, Any] = field(default_factory=dict)

    def config(self) -> dict[str, Any]:
        """The config.json a publisher would ship."""
        return {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "vocab_size": 283,
            "hidden_size": 96,
            "intermediate_size": 160,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": LONGEST,
            "type_vocab_size": 2,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-12,
            "position_embedding_type": "absolute",
            "pad_token_id": 0,
        } | dict(self.settings)

    @property
    def embedding(self) -> Embedding:
        """How its texts become vectors."""
        width = int(self.config()["hidden_size"])
        return Embedding(width, LONGEST, self.pooling, self.normalized)

    def texts(self) -> list[list[int]]:
        """Token ids of `LENGTHS`, the last of the vocabulary among them."""
        random = np.random.default_rng(self.seed + 1)
        size = self.config()["vocab_size"]
        texts = [random.integers(1, size, length).tolist() for length in LENGTHS]
        texts[0][2] = size - 1
        return texts

    def weights(self) -> dict[str, Array]:
        """Named tensors, float32, in checkpoint order."""
        random = np.random.default_rng(self.seed)
        return {
            name: (random.standard_normal(shape) * 0.2 + ("LayerNorm.weight" in name)).astype(
                np.float32
            )
            for name, shape in shapes_of(self.config()).items()
        }

    def write(self, folder: Path) -> Path:
        """Leave a checkpoint folder without a tokenizer."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config()))
        save_file(self.weights(), folder / "model.safetensors")
        return folder


def shapes_of(c: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """What transformers calls the tensors of such a model, without pooler and head."""
    hidden, ffn = c["hidden_size"], c["intermediate_size"]
    prefix = "" if "BertModel" in c["architectures"] else "bert."
    shapes: dict[str, tuple[int, ...]] = {}

    def linear(name: str, rows: int, cols: int) -> None:
        shapes[f"{prefix}{name}.weight"], shapes[f"{prefix}{name}.bias"] = (rows, cols), (rows,)

    def norm(name: str) -> None:
        shapes[f"{prefix}{name}.weight"] = shapes[f"{prefix}{name}.bias"] = (hidden,)

    tables = {"word": "vocab_size", "position": "max_position_embeddings"}
    for name, size in (tables | {"token_type": "type_vocab_size"}).items():
        shapes[f"{prefix}embeddings.{name}_embeddings.weight"] = (c[size], hidden)
    norm("embeddings.LayerNorm")
    for index in range(c["num_hidden_layers"]):
        layer = f"encoder.layer.{index}"
        for part in ("query", "key", "value"):
            linear(f"{layer}.attention.self.{part}", hidden, hidden)
        linear(f"{layer}.attention.output.dense", hidden, hidden)
        norm(f"{layer}.attention.output.LayerNorm")
        linear(f"{layer}.intermediate.dense", ffn, hidden)
        linear(f"{layer}.output.dense", hidden, ffn)
        norm(f"{layer}.output.LayerNorm")
    return shapes


TINY_ENCODERS = (
    TinyEncoder("tiny-bert", 11, "mean, normalized, heads of 24, erf GELU", "mean", True),
    TinyEncoder(
        "tiny-bert-cls",
        12,
        "first row, under a head, tanh GELU, one token type",
        "cls",
        False,
        {
            "architectures": ["BertForMaskedLM"],
            "hidden_size": 64,
            "num_attention_heads": 2,
            "type_vocab_size": 1,
            "hidden_act": "gelu_new",
            "layer_norm_eps": 1e-5,
        },
    ),
    TinyEncoder(
        "tiny-bert-relu",
        13,
        "largest of each column, ReLU, heads of 8",
        "max",
        True,
        {"hidden_act": "relu", "hidden_size": 32, "vocab_size": 91},
    ),
)


@dataclass(frozen=True, slots=True)
class PressedEncoder:
    """A tiny encoder under a scheme: its buffers by name, and the weights they stand for."""

    buffers: Mapping[str, NDArray[Any]]
    weights: Mapping[str, Array]


def press_encoder(tiny: TinyEncoder, scheme: str, folder: Path) -> PressedEncoder:
    """As a build would; `folder` is where the checkpoint is written."""
    checkpoint = Checkpoint.open(tiny.write(folder / tiny.name))
    family = FAMILIES["bert"]
    specs = family.weights(family.read(checkpoint.config), LONGEST)
    buffers = {b.name: b.data for b in press(specs, SCHEMES[scheme], checkpoint)}
    return PressedEncoder(buffers, dict(dequantized(specs, SCHEMES[scheme], buffers, checkpoint)))


def read_vectors(name: str, scheme: str) -> Array:
    """f32[texts, width]: what transformers gave."""
    with np.load(DATA / f"{name}.npz", allow_pickle=False) as file:
        vectors: Array = file[scheme]
    return vectors
