"""MLC repositories give the tensors and config that went into them; groups are taken over."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hub.errors import CheckpointError, HubError, UnsupportedError
from hub.families import FAMILIES
from hub.mlc_checkpoint import MlcCheckpoint
from hub.origins import check_all_used, open_origin
from hub.schemes import SCHEMES
from hub.source_rows import check_sources
from hub.stream import dequantized, press
from runtime.progress import ignore_progress
from tests.hub.mlc_files import CONVERSATION, meant, write_mlc
from tests.hub.refusals import refusal
from tests.reference.answers import digest, read_answers
from tests.reference.checkpoints import CONTEXT, family_of
from tests.reference.tiny import TINY, TinyModel
from tests.reference.tiny_decoder import TinyDecoder
from tests.reference.tiny_families import TINY_FAMILIES

MODELS: dict[str, TinyModel | TinyDecoder] = {t.name: t for t in (*TINY, *TINY_FAMILIES)}
KEPT: dict[str, dict[str, Any]] = {
    "tiny-gemma3": {
        "sliding_window_pattern": 6,
        "rope_scaling": None,
    },
    "tiny-olmo2": {"attention_bias": False},
    "tiny-qwen3-moe": {"mlp_only_layers": [], "use_sliding_window": False},
    "tiny-stablelm": {"tie_word_embeddings": False},
}
"""Settings of models that MLC keeps otherwise, or not at all."""
for name, changes in KEPT.items():
    tiny = MODELS[name]
    assert isinstance(tiny, TinyDecoder)
    MODELS[name] = replace(tiny, settings={**tiny.settings, **changes})
WHOLE = (
    "tiny-grouped",
    "tiny-tied",
    "tiny-scaled-rope",
    "tiny-qwen2",
    "tiny-phi3",
    "tiny-phi3-short",
    "tiny-phi4",
    "tiny-gemma",
    "tiny-gemma2",
    "tiny-gemma3",
    "tiny-olmo2",
    "tiny-stablelm",
    "tiny-window",
    "tiny-phi",
    "tiny-pythia",
    "tiny-qwen3-moe",
)


LOST: dict[str, dict[str, Any]] = {
    "tiny-phi3": {"sliding_window": 2047},
    "tiny-phi3-short": {"sliding_window": None},
    "tiny-phi4": {"sliding_window": None},
    "tiny-phi": {"rope_scaling": None},
}
"""What MLC keeps nothing of."""


def opened(folder: Path, model: str, quantization: str, **options: Any) -> MlcCheckpoint:
    tiny = MODELS[model]
    write_mlc(folder, tiny.config(), tiny.weights(), quantization, **options)
    return MlcCheckpoint.open(folder)


@pytest.mark.parametrize("model", WHOLE)
def test_a_repository_tells_the_model_whole(tmp_path: Path, model: str) -> None:
    checkpoint, tiny = opened(tmp_path, model, "q0f32"), MODELS[model]
    family = FAMILIES[family_of(tiny.config())]
    assert family_of(checkpoint.config) == family_of(tiny.config())
    wanted = tiny.config() | LOST.get(model, {})
    assert family.read(checkpoint.config) == family.read(wanted)
    specs = family.weights(family.read(wanted), CONTEXT)
    check_sources(specs, checkpoint)
    check_all_used(specs, checkpoint)
    for name, array in tiny.weights().items():
        assert checkpoint.shape(name) == array.shape
        np.testing.assert_array_equal(checkpoint.rows(name, 0, array.shape[0]), array, name)
        np.testing.assert_array_equal(checkpoint.rows(name, 3, 9), array[3:9], name)


def values(checkpoint: MlcCheckpoint, scheme: str) -> dict[str, Any]:
    """What a device computes with, pressed from `checkpoint`."""
    family = FAMILIES[family_of(checkpoint.config)]
    specs = family.weights(family.read(checkpoint.config), CONTEXT)
    pressed = list(press(specs, SCHEMES[scheme], checkpoint))
    buffers: dict[str, Any] = {buffer.name: buffer.data for buffer in pressed}
    return dict(dequantized(specs, SCHEMES[scheme], buffers, checkpoint))


def test_pressed_weights_are_those_that_transformers_answered_with(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, "tiny-grouped", "q0f32")
    assert digest(values(checkpoint, "q4")) == read_answers("tiny-grouped", "q4").weights_sha256


def test_halves_are_read_exactly(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, "tiny-tied", "q0f16", index="ndarray-cache.json")
    name = "model.layers.1.mlp.up_proj.weight"
    array = MODELS["tiny-tied"].weights()[name]
    wanted = array.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(checkpoint.rows(name, 0, len(array)), wanted)


@pytest.mark.parametrize("model", ["tiny-grouped", "tiny-qwen2", "tiny-phi4", "tiny-pythia"])
def test_groups_of_four_bits_are_taken_over_bit_for_bit(tmp_path: Path, model: str) -> None:
    checkpoint, tiny = opened(tmp_path, model, "q4f16_1"), MODELS[model]
    ours = values(checkpoint, "q4")
    for name, array in tiny.weights().items():
        if array.ndim == 2:
            theirs = meant(array, "q4f16_1")
            np.testing.assert_array_equal(ours[name], theirs, name)
            np.testing.assert_array_equal(checkpoint.rows(name, 0, len(array)), theirs, name)
            got = checkpoint.packed(name, SCHEMES["q4"], 0, len(array))
            assert got is not None
            assert got.error == 0
            assert got.norm == pytest.approx(float(np.square(theirs, dtype=np.float64).sum()))


@pytest.mark.parametrize("quantization", ["q4f16_1", "q0f16"])
def test_experts_in_one_tensor_are_read_one_by_one(tmp_path: Path, quantization: str) -> None:
    """Groups are taken over bit for bit, halves are read exactly, and so is the router."""
    checkpoint, tiny = opened(tmp_path, "tiny-qwen3-moe", quantization), MODELS["tiny-qwen3-moe"]
    ours, grouped = values(checkpoint, "q4"), quantization == "q4f16_1"
    experts = 0
    for name, array in tiny.weights().items():
        theirs = array.astype(np.float16).astype(np.float32)
        if array.ndim == 2 and grouped and "mlp.gate." not in name:
            theirs = meant(array, quantization)
            np.testing.assert_array_equal(ours[name], theirs, name)
        np.testing.assert_array_equal(checkpoint.rows(name, 0, len(array)), theirs, name)
        if ".experts." in name:
            experts += 1
            got = checkpoint.packed(name, SCHEMES["q4"], 5, 9)
            assert (got is not None and got.error == 0) == grouped
    assert experts == 3 * 3 * 10


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("model.layers.1.mlp.moe_down_proj.q_weight", [5, 192, 8]),
        ("model.layers.1.mlp.moe_down_proj.q_weight", [960, 8]),
        ("model.layers.1.self_attn.o_proj.q_weight", [2, 48, 16]),
    ],
)
def test_tensors_without_a_matrix_for_each_expert_are_refused(
    tmp_path: Path, name: str, shape: list[int]
) -> None:
    opened(tmp_path, "tiny-qwen3-moe", "q4f16_1")
    reshape(tmp_path, name, lambda held: shape)
    message = refusal(CheckpointError, lambda: MlcCheckpoint.open(tmp_path))
    asked = "the matrices of 10 experts" if "moe" in name else "a vector or a matrix"
    assert f"tensor {name!r} has shape {shape} where mlc-chat-config.json asks for" in message
    assert asked in message


def test_scales_of_32_bits_lose_only_what_16_bits_cannot_hold(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, "tiny-grouped", "q4f32_1")
    name = "model.layers.0.mlp.down_proj.weight"
    theirs = meant(MODELS["tiny-grouped"].weights()[name], "q4f32_1")
    ours = values(checkpoint, "q4")[name]
    assert 0 < np.abs(ours - theirs).max() <= np.abs(theirs).max() * 2.0**-11
    got = checkpoint.packed(name, SCHEMES["q4"], 0, len(theirs))
    assert got is not None
    lost = float(np.square(ours.astype(np.float64) - theirs).sum())
    assert got.error == pytest.approx(lost, rel=1e-4)


def test_groups_of_three_bits_become_floats(tmp_path: Path) -> None:
    """Rows of 96, 416, ... elements in groups of 40: the last one reaches beyond the row."""
    checkpoint, tiny = opened(tmp_path, "tiny-grouped", "q3f16_1"), MODELS["tiny-grouped"]
    for name, array in tiny.weights().items():
        if array.ndim == 2:
            assert checkpoint.shape(name) == array.shape
            assert checkpoint.packed(name, SCHEMES["q4"], 0, len(array)) is None
            wanted = meant(array, "q3f16_1")
            np.testing.assert_array_equal(checkpoint.rows(name, 0, len(array)), wanted, name)


def damage(folder: Path, name: str, value: int, dtype: Any, index: int = 0) -> None:
    """Overwrite one number of a stored tensor."""
    cache = json.loads((folder / "tensor-cache.json").read_text())
    for shard in cache["records"]:
        for record in shard["records"]:
            if record["name"] == name:
                file = folder / shard["dataPath"]
                data = bytearray(file.read_bytes())
                size = np.dtype(dtype).itemsize
                at = record["byteOffset"] + index * size
                data[at : at + size] = np.array(value, dtype).tobytes()
                file.write_bytes(data)


def test_codes_that_four_bits_of_ours_cannot_hold_are_rounded(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, "tiny-grouped", "q4f16_1")
    damage(tmp_path, "model.layers.0.mlp.down_proj.q_weight", 0xFFFFFFFF, np.uint32)
    name = "model.layers.0.mlp.down_proj.weight"
    assert checkpoint.packed(name, SCHEMES["q4"], 0, 1) is None
    assert checkpoint.packed(name, SCHEMES["q4"], 1, 2) is not None
    scale = float(checkpoint.rows(name, 0, 1)[0, 0]) / 8
    np.testing.assert_allclose(values(checkpoint, "q4")[name][0, :8], 8 * scale, rtol=0.1)


def test_a_group_without_a_scale_is_zero_whatever_its_codes(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, "tiny-grouped", "q4f16_1")
    stem, name = "model.layers.0.mlp.down_proj", "model.layers.0.mlp.down_proj.weight"
    damage(tmp_path, f"{stem}.q_weight", 0xFFFFFFFF, np.uint32)
    damage(tmp_path, f"{stem}.q_scale", 0, np.float16)
    assert checkpoint.packed(name, SCHEMES["q4"], 0, 1) is not None
    assert not values(checkpoint, "q4")[name][0, :32].any()


def test_a_shard_with_another_md5_is_refused(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, "tiny-grouped", "q4f16_1")
    assert set(checkpoint.identify()) >= {"tensor-cache.json", "params_shard_0.bin"}
    damage(tmp_path, "model.layers.0.mlp.down_proj.q_weight", 0, np.uint32)
    message = refusal(CheckpointError, checkpoint.identify)
    assert "its md5 is not what the index says; download it again" in message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "rwkv6"}, "model_type 'rwkv6' is not read from MLC repositories"),
        ({"model_config": None}, "has no model_config"),
        ({"model_config": {"tensor_parallel_shards": 2}}, "tensor_parallel_shards = 2"),
        ({"model_config": {}}, "model_config lacks or misstates 'hidden_size'"),
    ],
)
def test_what_is_not_read_is_refused_by_name(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    message = refusal(UnsupportedError, lambda: opened(tmp_path, "tiny-tied", "q4f16_1", **changes))
    assert words in message
    assert "mlc-chat-config.json" in message


VALUES: tuple[Any, ...] = (0, -1, 1 << 31, 1 << 62, 0.5, float("nan"), "x", True, None, [], {})


@pytest.mark.parametrize("model", ["tiny-grouped", "tiny-phi4", "tiny-gemma3", "tiny-qwen3-moe"])
def test_no_value_of_the_config_brings_the_reader_down(tmp_path: Path, model: str) -> None:
    """Whatever a key says, the repository is read, or refused by name."""
    opened(tmp_path, model, "q0f32")
    file = tmp_path / "mlc-chat-config.json"
    chat = json.loads(file.read_text())
    inner = chat["model_config"].get("text_config", chat["model_config"])
    for key in list(inner):
        kept = inner[key]
        for value in VALUES:
            inner[key] = value
            file.write_text(json.dumps(chat))
            with contextlib.suppress(HubError):
                config = MlcCheckpoint.open(tmp_path).config
                FAMILIES[family_of(config)].read(config)
        inner[key] = kept


def test_another_quantization_is_refused_by_name(tmp_path: Path) -> None:
    opened(tmp_path, "tiny-tied", "q4f16_1")
    file = tmp_path / "mlc-chat-config.json"
    file.write_text(file.read_text().replace("q4f16_1", "q4f16_0"))
    message = refusal(UnsupportedError, lambda: MlcCheckpoint.open(tmp_path))
    assert "quantization 'q4f16_0' is not read; there are: q3f16_1, q4f16_1" in message


def change(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    file = folder / "tensor-cache.json"
    data = json.loads(file.read_text())
    edit(data)
    file.write_text(json.dumps(data))


def reshape(folder: Path, name: str, shape: Callable[[list[int]], list[int]]) -> None:
    """Another shape for a stored tensor in the index."""

    def edit(data: dict[str, Any]) -> None:
        for shard in data["records"]:
            for record in shard["records"]:
                if record["name"] == name:
                    record["shape"] = shape(record["shape"])

    change(folder, edit)


EDITS: list[tuple[Callable[[dict[str, Any]], None], str]] = [
    (lambda d: d.pop("records"), "not a parameter cache"),
    (lambda d: d["records"][0].update(dataPath="../secret"), "not a file beside the index"),
    (lambda d: d["records"][0].update(dataPath="absent.bin"), "missing; the index names it"),
    (lambda d: d["records"][0]["records"][0].update(byteOffset=1 << 40), "lies outside it"),
    (lambda d: d["records"][0]["records"][0].update(byteOffset=-4), "lies outside it"),
    (lambda d: d["records"][0]["records"][0].update(shape=[1 << 40, 4]), "as uint32 needs"),
    (lambda d: d["records"][0]["records"][0].update(shape=["x"]), "not a parameter cache"),
    (lambda d: d["records"][0]["records"][0].update(dtype="int4"), "is 'int4'"),
    (lambda d: d["records"][0]["records"][0].update(format="zip"), "has format 'zip'"),
    (lambda d: d["records"].append(d["records"][0]), "twice"),
]


@pytest.mark.parametrize(("edit", "words"), EDITS, ids=[words for _, words in EDITS])
def test_a_damaged_index_is_refused(
    tmp_path: Path, edit: Callable[[dict[str, Any]], None], words: str
) -> None:
    opened(tmp_path, "tiny-tied", "q4f16_1")
    change(tmp_path, edit)
    assert words in refusal(HubError, lambda: MlcCheckpoint.open(tmp_path))


def test_codes_and_scales_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    opened(tmp_path, "tiny-tied", "q4f16_1")

    reshape(tmp_path, "model.embed_tokens.q_scale", lambda held: held[::-1])
    checkpoint = MlcCheckpoint.open(tmp_path)
    assert "do not fit each other" in refusal(
        CheckpointError, lambda: checkpoint.shape("model.embed_tokens.weight")
    )


def test_a_repositorys_own_template_is_preferred(tmp_path: Path) -> None:
    opened(tmp_path / "own", "tiny-tied", "q4f16_1", template="own")
    opened(tmp_path / "none", "tiny-tied", "q4f16_1", template=None)
    own, made = (open_origin(tmp_path / name).chat.documents for name in ("own", "none"))
    assert own["chat_template.jinja"] == b"own"
    assert b"Be kind." in made["chat_template.jinja"]


def test_a_text_that_is_no_token_and_should_end_answers_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pieces = CONVERSATION | {"stop_str": ["</s>", "<human>"], "stop_token_ids": [2]}
    opened(tmp_path, "tiny-tied", "q4f16_1", conv_template=pieces)
    assert open_origin(tmp_path).chat.stop_token_ids == (1, 2)
    assert "'<human>'" in caplog.text
    assert "'</s>'" not in caplog.text


def test_identity_is_of_all_files(tmp_path: Path) -> None:
    opened(tmp_path, "tiny-tied", "q4f16_1")
    origin = open_origin(tmp_path)
    shards = {path.name for path in tmp_path.glob("*.bin")}
    assert set(origin.weights.identify(ignore_progress)) == {*shards, "tensor-cache.json"}
