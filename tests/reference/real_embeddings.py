"""Compares a built model of embeddings with sentence-transformers on real sentences, by hand.

    python -m tests.reference.real_embeddings reference CHECKPOINT OUT.npy
    VK_ICD_FILENAMES=... python -m tests.reference.real_embeddings compare HUB ID OUT.npy

The first needs the sentence-transformers package, the second what modelpress needs. The rows of
the table: the smallest and the mean cosine of a vector with the reference's, the largest error of
a similarity of two sentences, and the share of sentences whose nearest other one is the same.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SENTENCES = (Path(__file__).parent / "sentences.txt").read_text(encoding="utf-8").splitlines()
VARIANTS = ("base", "software")
HEAD = (
    "| scheme | computed by | smallest cosine | mean cosine | largest error of a similarity "
    "| same nearest sentence |\n| --- | --- | --- | --- | --- | --- |"
)


def main(command: str, *arguments: str) -> None:
    if command == "reference":
        reference(Path(arguments[0]), Path(arguments[1]))
    elif command == "compare":
        compare(Path(arguments[0]), arguments[1], np.load(arguments[2]))
    else:
        raise SystemExit(__doc__)


def reference(checkpoint: Path, out: Path) -> None:
    """The vectors of sentence-transformers, in float32."""
    from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]

    model = SentenceTransformer(str(checkpoint), device="cpu")
    np.save(out, model.encode(SENTENCES, convert_to_numpy=True))


def compare(hub: Path, id: str, expected: NDArray[Any]) -> None:
    """The table, scheme by scheme."""
    from hub.llvm_encoder import open_encoder
    from runtime.manifest import Registry
    from runtime.native.tokenizer import open_tokenizer

    print(HEAD)
    entry = Registry.loads((hub / "registry.json").read_bytes()).find(id)
    for scheme in (item.scheme for item in entry.schemes):
        manifest, encoder = open_encoder(hub, id, scheme)
        text = (hub / manifest.files["tokenizer.json"].path).read_text(encoding="utf-8")
        tokenizer = open_tokenizer(text, None)
        found = [encoder.embed(tokenizer.encode_whole(sentence)) for sentence in SENTENCES]
        print(row(scheme, "llvm", np.stack(found), expected), flush=True)
        for variant in VARIANTS:
            vectors = np.array(asyncio.run(on_device(hub, id, scheme, variant)))
            print(row(scheme, f"WebGPU {variant}", vectors, expected), flush=True)


async def on_device(hub: Path, id: str, scheme: str, variant: str) -> list[list[float]]:
    """The vectors by the engine, on this machine's WebGPU."""
    from runtime.api import Api
    from runtime.native.cli import open_host

    api = Api(open_host(hub, None), json.dumps({"scheme": scheme, "variant": variant}))
    answer = json.loads(await api.embeddings(json.dumps({"model": id, "input": SENTENCES})))
    await api.close()
    return [item["embedding"] for item in answer["data"]]


def row(scheme: str, host: str, found: NDArray[Any], expected: NDArray[Any]) -> str:
    cosines = (found * expected).sum(1) / (
        np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    )
    ours, theirs = similarities(found), similarities(expected)
    error = np.abs(ours - theirs).max()
    same = (nearest(ours) == nearest(theirs)).mean()
    cells: Sequence[str] = (
        scheme,
        host,
        f"{cosines.min():.6f}",
        f"{cosines.mean():.6f}",
        f"{error:.1e}",
        f"{same:.0%}",
    )
    return f"| {' | '.join(cells)} |"


def similarities(vectors: NDArray[Any]) -> NDArray[Any]:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(unit @ unit.T)


def nearest(table: NDArray[Any]) -> NDArray[Any]:
    """Of each sentence, the other one that is most similar."""
    return np.asarray((table - 2 * np.eye(len(table))).argmax(axis=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
