"""Computes the committed vectors of the tiny encoders with transformers, or checks them.

    python -m tests.reference.make_encoder_reference            # write tests/reference/data
    python -m tests.reference.make_encoder_reference --check    # compute again and compare

Needs the `reference` extra. The texts are one padded batch with an attention mask, in float32, on
the weights that the quantizer's codes stand for.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoConfig, AutoModel

from .answers import DATA, relative_error
from .tiny_encoders import SCHEMES_TRIED, TINY_ENCODERS, TinyEncoder, press_encoder, read_vectors

ALLOWED_DRIFT = 1e-5


def main() -> int:
    checks, problems = "--check" in sys.argv[1:], []
    with tempfile.TemporaryDirectory() as scratch:
        for tiny in TINY_ENCODERS:
            found = {s: vectors_of(tiny, s, Path(scratch)) for s in SCHEMES_TRIED}
            if not checks:
                np.savez_compressed(DATA / f"{tiny.name}.npz", **found)  # type: ignore[arg-type]
                continue
            for scheme, vectors in found.items():
                drift = relative_error(vectors, read_vectors(tiny.name, scheme))
                if drift > ALLOWED_DRIFT:
                    problems.append(f"{tiny.name} {scheme}: the vectors differ by {drift:.1e}")
    print("\n".join(problems) or f"{'equal' if checks else 'written'}: {DATA}")
    return 1 if problems else 0


def vectors_of(tiny: TinyEncoder, scheme: str, scratch: Path) -> NDArray[np.float32]:
    """f32[texts, width]."""
    model = open_model(tiny, scheme, scratch)
    texts = tiny.texts()
    longest = max(map(len, texts))
    ids = torch.tensor([text + [0] * (longest - len(text)) for text in texts])
    mask = torch.tensor([[1] * len(text) + [0] * (longest - len(text)) for text in texts])
    with torch.inference_mode():
        rows = model(input_ids=ids, attention_mask=mask).last_hidden_state
    own = [row[: len(text)] for row, text in zip(rows, texts, strict=True)]
    vectors = torch.stack([pooled(tiny.pooling, row) for row in own])
    if tiny.normalized:
        vectors = torch.nn.functional.normalize(vectors, dim=1)
    return np.asarray(vectors.numpy(), np.float32)


def open_model(tiny: TinyEncoder, scheme: str, scratch: Path) -> Any:
    pressed = press_encoder(tiny, scheme, scratch)
    config = AutoConfig.from_pretrained(scratch / tiny.name)
    model = AutoModel.from_config(config, attn_implementation="eager", dtype=torch.float32)
    state = {
        name.removeprefix("bert."): torch.from_numpy(np.array(array))
        for name, array in pressed.weights.items()
    }
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all("pooler" in n for n in missing), (missing, unexpected)
    return model.eval()


def pooled(pooling: str, rows: Any) -> Any:
    """As the Pooling module of sentence-transformers."""
    ways = {"cls": lambda: rows[0], "mean": lambda: rows.mean(0), "max": lambda: rows.amax(0)}
    return ways[pooling]()


if __name__ == "__main__":
    sys.exit(main())
