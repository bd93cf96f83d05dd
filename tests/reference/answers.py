"""The committed reference: what transformers computes in float32, and how to read it.

One `.npz` a model in `data/`. For every scheme: `<scheme>.positions` i32[p] and
`<scheme>.logits` f32[p, vocab] of the prompt at those positions, `<scheme>.tokens` i32[64] that
follow it greedily, and `<scheme>.weights`, the sha256 of the dequantized weights that were used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DATA = Path(__file__).parent / "data"
COMMON = ("f32", "f16", "q8", "q4")
"""Schemes of every Llama-shaped reference."""
SCHEMES = (*COMMON, "q3")
"""Those of the first one: q3 differs from q4 in where bits lie."""
NEW_TOKENS = 64
PROMPT_TOKENS = 24
DATA_NBYTES = 1_000_000
"""All reference files together stay below this."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What transformers says about one model in one scheme."""

    prompt: tuple[int, ...]
    positions: tuple[int, ...]
    logits: NDArray[np.float32]
    tokens: tuple[int, ...]
    weights_sha256: str


def prompt_for(vocab: int) -> tuple[int, ...]:
    """24 ids spread over the vocabulary, the last id among them."""
    ids = [(7 + 37 * i * i) % vocab for i in range(PROMPT_TOKENS)]
    ids[5] = vocab - 1
    return tuple(ids)


def ways_to_cut(length: int) -> list[list[int]]:
    """Chunk sizes of a prefill of `length` tokens: unequal with a single token last; whole."""
    return [[7, length - 8, 1], [length]]


def read_answers(model: str, scheme: str) -> Answers:
    """The committed reference of `model` under `scheme`."""
    with np.load(DATA / f"{model}.npz", allow_pickle=False) as file:
        return Answers(
            prompt=tuple(file["prompt"].tolist()),
            positions=tuple(file[f"{scheme}.positions"].tolist()),
            logits=file[f"{scheme}.logits"],
            tokens=tuple(file[f"{scheme}.tokens"].tolist()),
            weights_sha256=str(file[f"{scheme}.weights"]),
        )


def write_answers(folder: Path, model: str, answers: Mapping[str, Answers]) -> Path:
    """One file for all schemes of a model."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {"prompt": np.array(answers["f32"].prompt, np.int32)}
    for scheme, answer in answers.items():
        arrays[f"{scheme}.positions"] = np.array(answer.positions, np.int32)
        arrays[f"{scheme}.logits"] = answer.logits.astype(np.float32)
        arrays[f"{scheme}.tokens"] = np.array(answer.tokens, np.int32)
        arrays[f"{scheme}.weights"] = np.array(answer.weights_sha256)
    path = folder / f"{model}.npz"
    np.savez_compressed(path, **arrays)
    return path


def digest(weights: Mapping[str, NDArray[Any]]) -> str:
    """sha256 over names, shapes and float32 bytes, in order of name."""
    total = hashlib.sha256()
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name], dtype=np.float32)
        total.update(f"{name} {array.shape}\n".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def relative_error(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """max |found - expected| / max |expected|."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())
