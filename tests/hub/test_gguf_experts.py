"""Tensors of GGUF files that hold the matrices of all experts of a layer."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind

from hub.errors import CheckpointError, UnsupportedError
from hub.gguf_checkpoint import GgufCheckpoint, Stored
from hub.gguf_config import read_config
from hub.gguf_header import GgufTensor, read_header
from hub.gguf_types import BLOCKS, dequantized
from hub.schemes import SCHEMES
from tests.hub.gguf_models import MODELS, opened
from tests.hub.refusals import refusal


def test_experts_of_four_bits_are_taken_over_one_by_one(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, "tiny-olmoe", Kind.Q4_0)
    name = "model.layers.1.mlp.experts.{}.up_proj.weight"
    got = checkpoint.packed(name.format(3), SCHEMES["q4"], 5, 9)
    assert got is not None
    assert got.main.shape == (4, 96 // 8)
    array = MODELS["tiny-olmoe"].weights()[name.format(3)]
    theirs = gguf.dequantize(gguf.quantize(array, Kind.Q4_0), Kind.Q4_0)
    np.testing.assert_array_equal(checkpoint.rows(name.format(3), 0, 96), theirs)
    assert "there are 7 experts" in refusal(
        CheckpointError, lambda: checkpoint.shape(name.format(7))
    )


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_experts_of_every_format_are_read_where_they_lie(tmp_path: Path, name: str) -> None:
    rows, blocks, before, (elements, nbytes) = 3, 2, 7, BLOCKS[name]
    raw = np.random.default_rng(5).integers(0, 120, (4, rows, blocks * nbytes), dtype=np.uint8)
    file = tmp_path / "m.gguf"
    file.write_bytes(bytes(before) + raw.tobytes())
    stack = GgufTensor(name, (4, rows, blocks * elements), before)
    place = "model.layers.0.mlp.experts."
    checkpoint = GgufCheckpoint(file, {}, {f"{place}up_proj.weight": Stored(stack)})
    for expert in range(4):
        own = f"{place}{expert}.up_proj.weight"
        assert checkpoint.shape(own) == (rows, blocks * elements)
        wanted = dequantized(own, name, raw[expert])
        np.testing.assert_array_equal(checkpoint.rows(own, 1, rows), wanted[1:])


@pytest.mark.parametrize("model", ["tiny-olmoe", "tiny-qwen3-moe"])
def test_keys_of_experts_may_say_what_is_computed_and_nothing_else(
    tmp_path: Path, model: str
) -> None:
    """Files of Qwen3 Coder tell the size of experts that every token goes to: none."""
    start, norm = model.removeprefix("tiny-").replace("-", ""), model == "tiny-qwen3-moe"
    said: dict[str, Any] = {
        "expert_shared_feed_forward_length": 0,
        "expert_shared_count": 0,
        "expert_gating_func": 1,
        "expert_weights_norm": norm,
        "expert_weights_scale": 1.0,
    }
    plain = opened(tmp_path, model).config
    extra = {f"{start}.{key}": value for key, value in said.items()}
    assert opened(tmp_path, model, extra=extra).config == plain
    header = read_header(tmp_path / "model.gguf")
    for key, other in zip(said, (64, 1, 2, not norm, 2.5), strict=True):
        changed = replace(header, metadata={**header.metadata, f"{start}.{key}": other})
        message = refusal(
            UnsupportedError, partial(read_config, changed, lambda name: np.ones(1, np.float32))
        )
        assert f"has {start}.{key} = {other!r}" in message
