"""Checkpoints: what numpy reads is what was saved, and damage is named with its remedy."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from hub.checkpoint import INDEX, Checkpoint
from hub.errors import CheckpointError


def write_raw(path: Path, header: dict[str, Any], data: bytes) -> None:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def folder_with(tmp_path: Path, tensors: dict[str, Any]) -> Path:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    save_file(tensors, tmp_path / "model.safetensors")
    return tmp_path


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(CheckpointError) as caught:
        action()
    return str(caught.value)


def test_f32_and_f16_are_read_exactly(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    a = random.standard_normal((5, 3), dtype=np.float32)
    b = random.standard_normal((4, 2)).astype(np.float16)
    checkpoint = Checkpoint.open(folder_with(tmp_path, {"a": a, "b": b}))
    assert np.array_equal(checkpoint.rows("a", 0, 5), a)
    assert np.array_equal(checkpoint.rows("b", 0, 4), b.astype(np.float32))
    assert checkpoint.rows("b", 0, 4).dtype == np.float32


def test_bf16_is_read_by_its_bits(tmp_path: Path) -> None:
    """bfloat16 is the upper half of float32: every pattern, subnormals included."""
    bits = np.array([0x0000, 0x8000, 0x3F80, 0xBFC0, 0x0001, 0x7F7F, 0x4049], np.uint16)
    header = {"x": {"dtype": "BF16", "shape": [7], "data_offsets": [0, 14]}}
    write_raw(tmp_path / "model.safetensors", header, bits.tobytes())
    (tmp_path / "config.json").write_text("{}")
    expected = [struct.unpack("<f", struct.pack("<I", int(b) << 16))[0] for b in bits]
    assert Checkpoint.open(tmp_path).rows("x", 0, 7).tolist() == expected


def test_a_row_range_is_that_slice(tmp_path: Path) -> None:
    a = np.arange(60, dtype=np.float32).reshape(10, 6)
    checkpoint = Checkpoint.open(folder_with(tmp_path, {"pad": np.ones(3, np.float32), "a": a}))
    assert np.array_equal(checkpoint.rows("a", 3, 7), a[3:7])


def test_shards_are_found_through_their_index(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    for number, name in enumerate(("a", "b")):
        save_file({name: np.full((2, 2), number, np.float32)}, tmp_path / f"{name}.safetensors")
    weight_map = {"a": "a.safetensors", "b": "b.safetensors"}
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    checkpoint = Checkpoint.open(tmp_path)
    assert checkpoint.rows("b", 0, 2).tolist() == [[1, 1], [1, 1]]
    assert set(checkpoint.identify()) == {"config.json", INDEX, "a.safetensors", "b.safetensors"}


def test_files_are_identified_by_sha256(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, {"a": np.ones(2, np.float32)})
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert Checkpoint.open(folder).identify()["model.safetensors"] == digest


def test_a_truncated_file_is_refused_when_opened(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, {"a": np.ones((64, 64), np.float32)})
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    message = refusal(lambda: Checkpoint.open(folder))
    assert "cut short" in message
    assert "'a'" in message
    assert "download" in message


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 not this", b"\x05\x00\x00\x00\x00\x00\x00\x00{oops"]
)
def test_another_kind_of_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(content)
    assert "not a safetensors file" in refusal(lambda: Checkpoint.open(tmp_path))


@pytest.mark.parametrize(
    "entry",
    [
        [],
        {"dtype": "F32", "shape": [2]},
        {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]},
    ],
)
def test_a_nonsense_header_is_refused(tmp_path: Path, entry: Any) -> None:
    (tmp_path / "config.json").write_text("{}")
    write_raw(tmp_path / "model.safetensors", {"x": entry}, bytes(16))
    assert "bad header" in refusal(lambda: Checkpoint.open(tmp_path))


def test_bytes_that_do_not_fill_the_shape_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    header = {"x": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}
    write_raw(tmp_path / "model.safetensors", header, bytes(8))
    message = refusal(lambda: Checkpoint.open(tmp_path))
    assert "has 8 bytes" in message
    assert "needs 12" in message


def test_an_unreadable_dtype_is_named(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, {"a": np.ones(4, np.int64)})
    message = refusal(lambda: Checkpoint.open(folder).rows("a", 0, 4))
    assert "'a' is I64" in message
    assert "F32, F16, BF16" in message


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(folder_with(tmp_path, {"a": np.ones(4, np.float32)}))
    assert "tensor 'b' is missing" in refusal(lambda: checkpoint.shape("b"))


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("embed_out.weight", "lm_head.weight"),
        ("language_model.lm_head.weight", "lm_head.weight"),
        ("language_model.model.norm.weight", "model.language_model.norm.weight"),
        ("h.0.attn.c_attn.weight", "transformer.h.0.attn.c_attn.weight"),
    ],
)
def test_tensors_are_found_under_their_older_names(tmp_path: Path, stored: str, asked: str) -> None:
    array = np.ones((2, 3), np.float32)
    checkpoint = Checkpoint.open(folder_with(tmp_path, {stored: array}))
    assert checkpoint.shape(asked) == (2, 3)
    assert np.array_equal(checkpoint.rows(asked, 0, 2), array)


def test_missing_files_are_named(tmp_path: Path) -> None:
    assert "no such folder" in refusal(lambda: Checkpoint.open(tmp_path / "nowhere"))
    assert "config.json: missing" in refusal(lambda: Checkpoint.open(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    assert "neither model.safetensors nor" in refusal(lambda: Checkpoint.open(tmp_path))


@pytest.mark.parametrize("text", ["{", "[1]", "\xff"])
def test_a_config_that_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    assert "config.json: not" in refusal(lambda: Checkpoint.open(tmp_path))


@pytest.mark.parametrize(
    ("weight_map", "words"),
    [
        ({"a": "gone.safetensors"}, "gone.safetensors: missing"),
        ({"a": "../a.safetensors"}, "is not a file beside the index"),
        ({"z": "a.safetensors"}, "tensor 'z' is missing although"),
        (None, "has no weight_map"),
    ],
)
def test_a_bad_index_is_refused(tmp_path: Path, weight_map: Any, words: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    save_file({"a": np.ones(2, np.float32)}, tmp_path / "a.safetensors")
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    assert words in refusal(lambda: Checkpoint.open(tmp_path))


@pytest.mark.parametrize("text", ['{"a": {"shape": [Infinity]', '{"a":' * 5000])
def test_a_header_no_reader_can_hold_is_refused(tmp_path: Path, text: str) -> None:
    """An infinite size or endless nesting ended the build with OverflowError, RecursionError."""
    closed = text + ', "dtype": "F32", "data_offsets": [0, 4]}}' if "shape" in text else text
    (tmp_path / "config.json").write_text("{}")
    header = closed.encode()
    file = tmp_path / "model.safetensors"
    file.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    assert "bad header" in refusal(lambda: Checkpoint.open(tmp_path))
