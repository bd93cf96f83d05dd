"""Embeddings in the terminal: vectors as JSON or in a file, or how similar texts are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ..embedding_request import parse_embedding_request
from ..embeddings import create_embeddings
from ..engine import Engine
from ..facts import device_name
from ..host import Host
from ..options import EngineOptions
from .terminal import progress_bars, stopped_by_interrupt

SHOWN_CHARACTERS = 40


async def embed(host: Host, options: EngineOptions, request: Mapping[str, Any]) -> dict[str, Any]:
    """OpenAI's response to `request`, with progress and the model's facts on the error stream."""
    parsed = parse_embedding_request(dict(request))
    console = Console(stderr=True)
    with progress_bars() as report:
        engine = Engine(host, options, on_progress=report)
        try:
            with stopped_by_interrupt() as stop:
                answer = await create_embeddings(engine, parsed, stop)
            loaded = engine.loaded
            assert loaded is not None
            line = (
                f"{request['model']} {loaded.documents.scheme.scheme} "
                f"({loaded.encoder.plan.variant}) on {device_name(loaded.device)}, "
                f"{answer['usage']['prompt_tokens']} tokens"
            )
        finally:
            await engine.close()
    console.print(f"[dim]{line}[/]", highlight=False, soft_wrap=True)
    return answer


def print_similarities(texts: Sequence[str], answer: Mapping[str, Any]) -> None:
    """Every text with every other, 1 for the same direction."""
    vectors = [item["embedding"] for item in answer["data"]]
    table = Table("", "text", box=None)
    for index in range(len(texts)):
        table.add_column(str(index + 1), justify="right")
    for index, text in enumerate(texts):
        shown = text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
        cells = [f"{_cosine(vectors[index], other):.3f}" for other in vectors]
        table.add_row(str(index + 1), shown, *cells)
    Console().print(table, highlight=False)


def write_vectors(answer: Mapping[str, Any], out: Path) -> tuple[int, int]:
    """Write float32 [texts, width] as .npy; its shape."""
    import numpy as np

    array = np.array([item["embedding"] for item in answer["data"]], np.float32)
    np.save(out, array)
    return array.shape[0], array.shape[1]


def _cosine(a: Sequence[float], b: Sequence[float]) -> float:
    def dot(x: Sequence[float], y: Sequence[float]) -> float:
        return math.fsum(p * q for p, q in zip(x, y, strict=True))

    return dot(a, b) / math.sqrt(dot(a, a) * dot(b, b) or 1.0)
