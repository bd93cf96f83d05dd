"""GGUF files, written by the gguf package, give the tensors and config that went into them."""

from __future__ import annotations

import contextlib
import struct
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import CheckpointError, HubError, UnsupportedError
from hub.families import FAMILIES
from hub.gguf_checkpoint import GgufCheckpoint
from hub.gguf_config import read_config
from hub.gguf_header import read_header
from hub.gguf_types import BLOCKS
from hub.gguf_types import dequantized as dequantized_rows
from hub.origins import check_all_used, open_origin
from hub.row_orders import paired_rows, parted_rows
from hub.schemes import SCHEMES
from hub.source_rows import check_sources
from hub.stream import dequantized, press
from tests.hub.gguf_files import stored, write_gguf
from tests.hub.gguf_models import MODELS, opened, representable
from tests.hub.refusals import refusal
from tests.reference.answers import digest, read_answers
from tests.reference.checkpoints import CONTEXT, family_of

WHOLE = (
    "tiny-grouped",
    "tiny-tied",
    "tiny-wide-head",
    "tiny-llama-bias",
    "tiny-qwen2",
    "tiny-qwen3",
    "tiny-phi3",
    "tiny-phi3-short",
    "tiny-phi3-long",
    "tiny-phi4",
    "tiny-gemma",
    "tiny-gemma2",
    "tiny-gemma3",
    "tiny-olmo2",
    "tiny-stablelm",
    "tiny-phi",
    "tiny-pythia",
    "tiny-redpajama",
    "tiny-qwen3-moe",
    "tiny-olmoe",
)


@pytest.mark.parametrize("model", WHOLE)
def test_a_file_tells_the_model_whole(tmp_path: Path, model: str) -> None:
    checkpoint, tiny = opened(tmp_path, model), representable(model)
    config = tiny.config()
    family = FAMILIES[family_of(config)]
    assert family_of(checkpoint.config) == family_of(config)
    assert family.read(checkpoint.config) == family.read(config)
    specs = family.weights(family.read(config), CONTEXT)
    check_sources(specs, checkpoint)
    check_all_used(specs, checkpoint)
    for name, array in tiny.weights().items():
        count = array.shape[0]
        assert checkpoint.shape(name) == array.shape
        got = [checkpoint.rows(name, 0, count // 3), checkpoint.rows(name, count // 3, count)]
        np.testing.assert_array_equal(np.concatenate(got), array, name)


@pytest.mark.parametrize("scheme", ["f32", "q4"])
def test_pressed_weights_are_those_that_transformers_answered_with(
    tmp_path: Path, scheme: str
) -> None:
    checkpoint = opened(tmp_path, "tiny-grouped")
    assert digest(values(checkpoint, scheme)) == read_answers("tiny-grouped", scheme).weights_sha256


def values(checkpoint: GgufCheckpoint, scheme: str) -> dict[str, Any]:
    """What a device computes with, pressed from `checkpoint`."""
    family = FAMILIES[family_of(checkpoint.config)]
    specs = family.weights(family.read(checkpoint.config), CONTEXT)
    pressed = list(press(specs, SCHEMES[scheme], checkpoint))
    buffers: dict[str, Any] = {buffer.name: buffer.data for buffer in pressed}
    return dict(dequantized(specs, SCHEMES[scheme], buffers, checkpoint))


@pytest.mark.parametrize(
    ("model", "kind", "scheme"),
    [
        ("tiny-grouped", Kind.Q4_0, "q4"),
        ("tiny-grouped", Kind.Q8_0, "q8"),
        ("tiny-olmoe", Kind.Q4_0, "q4"),
        ("tiny-qwen3-moe", Kind.Q8_0, "q8"),
    ],
)
def test_the_same_numbers_are_taken_over_bit_for_bit(
    tmp_path: Path, model: str, kind: Kind, scheme: str
) -> None:
    checkpoint, tiny = opened(tmp_path, model, kind), representable(model)
    ours = values(checkpoint, scheme)
    for name, array in tiny.weights().items():
        if "mlp.gate." in name:
            np.testing.assert_array_equal(ours[name], array, name)
        elif array.ndim == 2:
            held = stored(tiny.config(), name, array)
            theirs = gguf.dequantize(gguf.quantize(np.ascontiguousarray(held), kind), kind)
            np.testing.assert_array_equal(stored(tiny.config(), name, ours[name]), theirs, name)
            got = checkpoint.packed(name, SCHEMES[scheme], 0, array.shape[0])
            assert got is not None
            assert got.error == 0.0
            assert got.norm == pytest.approx(float(np.square(theirs, dtype=np.float64).sum()))


def test_what_has_other_numbers_is_rounded_beside_what_is_taken_over(tmp_path: Path) -> None:
    """Keys at 8 bits between queries and values at 4: one matrix of the plan."""
    checkpoint = opened(tmp_path, "tiny-grouped", Kind.Q4_0, other={"k_proj": Kind.Q8_0})
    ours = values(checkpoint, "q4")
    prefix = "model.layers.0.self_attn"
    for name in ("q_proj", "v_proj", "k_proj"):
        held = checkpoint.rows(
            f"{prefix}.{name}.weight", 0, ours[f"{prefix}.{name}.weight"].shape[0]
        )
        exact = np.array_equal(ours[f"{prefix}.{name}.weight"], held)
        assert exact == (name != "k_proj")
        assert np.abs(ours[f"{prefix}.{name}.weight"] - held).max() < 0.2 * np.abs(held).max()


def test_other_schemes_round_what_a_file_holds(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, "tiny-grouped", Kind.Q4_0)
    name = "model.layers.0.mlp.down_proj.weight"
    assert checkpoint.packed(name, SCHEMES["q8"], 0, 32) is None
    exact = values(checkpoint, "f32")[name]
    np.testing.assert_array_equal(exact, checkpoint.rows(name, 0, exact.shape[0]))


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_every_format_is_read_as_the_package_reads_it(name: str) -> None:
    elements, nbytes = BLOCKS[name]
    assert gguf.GGML_QUANT_SIZES[Kind[name]] == (elements, nbytes)
    raw = np.random.default_rng(5).integers(0, 120, (3, 2 * nbytes), dtype=np.uint8)
    ours = dequantized_rows("x", name, raw)
    if name == "F32":
        theirs = raw.view(np.float32)
    elif name == "F16":
        theirs = raw.view(np.float16).astype(np.float32)
    else:
        theirs = gguf.dequantize(raw, Kind[name])
    np.testing.assert_array_equal(ours, theirs)
    assert ours.shape == (3, 2 * elements)


@given(st.integers(1, 4), st.integers(1, 16), st.data())
def test_paired_rows_undo_the_pairing(heads: int, half: int, data: st.DataObject) -> None:
    rows = heads * 2 * half
    paired = np.arange(rows).reshape(heads, 2, half).swapaxes(1, 2).reshape(-1)
    start = data.draw(st.integers(0, rows - 1))
    stop = data.draw(st.integers(start + 1, rows))
    assert paired[paired_rows(2 * half, start, stop)].tolist() == list(range(start, stop))


@given(st.integers(1, 5), st.integers(1, 9), st.data())
def test_parted_rows_undo_the_parting(heads: int, dim: int, data: st.DataObject) -> None:
    rows = heads * 3 * dim
    parted = np.arange(rows).reshape(heads, 3, dim).swapaxes(0, 1).reshape(-1)
    start = data.draw(st.integers(0, rows - 1))
    stop = data.draw(st.integers(start + 1, rows))
    assert parted[parted_rows(heads, dim, start, stop)].tolist() == list(range(start, stop))


def test_llama3_frequencies_are_recognised_in_their_divisors(tmp_path: Path) -> None:
    tiny = MODELS["tiny-scaled-rope"]
    scaling = {
        "rope_type": "llama3",
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    config = tiny.config() | {"rope_scaling": scaling}
    file = write_gguf(tmp_path / "m.gguf", config, tiny.weights())
    assert GgufCheckpoint.open(file)[0].config["rope_scaling"] == scaling


def test_divisors_of_another_scaling_are_refused(tmp_path: Path) -> None:
    assert "rope_freqs.weight that are not those of Llama 3" in refusal(
        UnsupportedError, lambda: opened(tmp_path, "tiny-scaled-rope")
    )


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"general.architecture": "mamba"}, "architecture 'mamba' is not read from GGUF"),
        ({"llama.expert_count": 8}, "has llama.expert_count = 8"),
        ({"llama.attention.novelty": 1.5}, "has llama.attention.novelty = 1.5"),
        ({"llama.rope.scaling.type": "su", "llama.rope.scaling.factor": 2.0}, "= 'su'"),
        ({"llama.feed_forward_length": [1, 2]}, "layers that differ in llama.feed_forward_length"),
        ({"llama.block_count": "two"}, "has block_count = 'two', expected a int"),
        ({"split.count": 3}, "join them first"),
    ],
)
def test_what_is_not_computed_is_refused_by_name(
    tmp_path: Path, extra: dict[str, Any], words: str
) -> None:
    message = refusal(UnsupportedError, lambda: opened(tmp_path, "tiny-grouped", extra=extra))
    assert words in message
    assert "model.gguf" in message


NUMBERS: tuple[Any, ...] = (0, -1, 1 << 31, 1 << 62, 0.0, float("nan"), "x", True, [1], [])


@pytest.mark.parametrize("model", ["tiny-grouped", "tiny-phi3-long", "tiny-gemma3", "tiny-olmoe"])
def test_no_number_of_the_metadata_brings_the_reader_down(tmp_path: Path, model: str) -> None:
    """Whatever a key says, the file is read, or refused by name."""
    tiny = representable(model)
    file = write_gguf(tmp_path / "m.gguf", tiny.config(), tiny.weights())
    header = read_header(file)
    vector = np.ones(16, np.float32)
    start = f"{header.metadata['general.architecture']}."
    for key in (key for key in header.metadata if key.startswith(start)):
        for value in NUMBERS:
            changed = replace(header, metadata={**header.metadata, key: value})
            with contextlib.suppress(HubError):
                config = read_config(changed, lambda name: vector)
                FAMILIES[family_of(config)].read(config)


def test_a_tensor_that_the_family_does_not_know_is_refused(tmp_path: Path) -> None:
    tiny = MODELS["tiny-qwen3"]
    file = write_gguf(tmp_path / "m.gguf", tiny.config(), tiny.weights())
    file.write_bytes(file.read_bytes().replace(b"qwen3", b"qwen2"))
    assert "holds tensor 'blk.0.attn_" in refusal(
        UnsupportedError, lambda: GgufCheckpoint.open(file)
    )


def test_a_format_that_is_not_read_is_named_with_its_tensor(tmp_path: Path) -> None:
    tiny = MODELS["tiny-grouped"]
    file = write_gguf(tmp_path / "m.gguf", tiny.config(), tiny.weights(), Kind.Q8_0)
    data = bytearray(file.read_bytes())
    at = data.index(b"blk.0.ffn_down.weight") + len(b"blk.0.ffn_down.weight") + 4 + 16
    assert struct.unpack_from("<I", data, at)[0] == Kind.Q8_0
    struct.pack_into("<I", data, at, Kind.TQ1_0)
    file.write_bytes(data)
    checkpoint = GgufCheckpoint.open(file)[0]
    message = refusal(
        UnsupportedError, lambda: checkpoint.rows("model.layers.0.mlp.down_proj.weight", 0, 1)
    )
    assert "tensor 'model.layers.0.mlp.down_proj.weight' is TQ1_0" in message


def test_scales_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    tiny = MODELS["tiny-grouped"]
    file = write_gguf(tmp_path / "m.gguf", tiny.config(), tiny.weights(), Kind.Q4_0)
    checkpoint = GgufCheckpoint.open(file)[0]
    name = "model.layers.0.mlp.down_proj.weight"
    data = bytearray(file.read_bytes())
    struct.pack_into("<e", data, checkpoint.entries[name].tensor.offset, float("inf"))
    file.write_bytes(data)
    message = refusal(CheckpointError, lambda: checkpoint.packed(name, SCHEMES["q4"], 0, 2))
    assert f"tensor {name!r} holds NaN or infinity" in message


def test_a_folder_with_one_file_is_recognised(tmp_path: Path) -> None:
    opened(tmp_path, "tiny-grouped")
    assert isinstance(open_origin(tmp_path).weights, GgufCheckpoint)
    assert open_origin(tmp_path / "model.gguf").chat.stop_token_ids == (1,)


def test_a_folder_with_several_files_asks_for_one(tmp_path: Path) -> None:
    opened(tmp_path, "tiny-grouped")
    (tmp_path / "other.gguf").write_bytes((tmp_path / "model.gguf").read_bytes())
    message = refusal(CheckpointError, lambda: open_origin(tmp_path))
    assert "several GGUF files; name one of model.gguf, other.gguf" in message
    assert open_origin(tmp_path, "other.gguf").folder == tmp_path


def test_the_models_own_tokenizer_beside_the_file_is_preferred(tmp_path: Path) -> None:
    opened(tmp_path, "tiny-grouped")
    MODELS["tiny-grouped"].write(tmp_path / "own")
    own = (tmp_path / "own" / "tokenizer.json").read_bytes()
    (tmp_path / "tokenizer.json").write_bytes(own)
    assert open_origin(tmp_path).chat.documents["tokenizer.json"] == own


def test_without_the_package_it_is_said_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = MODELS["tiny-grouped"]
    file = write_gguf(tmp_path / "m.gguf", tiny.config(), tiny.weights())
    monkeypatch.setitem(sys.modules, "gguf", None)
    message = refusal(UnsupportedError, lambda: GgufCheckpoint.open(file))
    assert "pip install 'modelpress[gguf]'" in message


def test_packed_rows_are_words_of_the_scheme(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, "tiny-grouped", Kind.Q4_0)
    got = checkpoint.packed("model.layers.0.mlp.down_proj.weight", SCHEMES["q4"], 3, 9)
    assert got is not None
    assert got.main.shape == (6, 416 // 8)
    assert got.scales is not None
    assert got.scales.shape == (6 * 416 // 32,)
