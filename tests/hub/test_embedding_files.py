"""What a checkpoint's own files say about embeddings, what they leave open, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hub.embedding_files import complete_recipe, read_recipe, refuse_vectors
from hub.errors import CheckpointError, UnsupportedError
from hub.families import FAMILIES
from model_configs.config import EmbeddingSettings
from runtime.manifest import Embedding
from tests.reference.tiny_encoders import TINY_ENCODERS

SHAPE = FAMILIES["bert"].read(TINY_ENCODERS[0].config())
KINDS = ("Transformer", "Pooling", "Normalize")
FOUND = Embedding(96, 32, "cls", True, {"query": "Q: "}, "query")


def write(folder: Path, kinds: tuple[str, ...] = KINDS, **changes: Any) -> Path:
    """The files of a checkpoint; `changes` by the first word of a file's name."""
    paths = {"Pooling": "1_Pooling", "Normalize": "2_Normalize", "Dense": "2_Dense"}
    documents: dict[str, Any] = {
        "modules.json": [
            {"idx": i, "name": str(i), "path": paths.get(k, ""), "type": f"some.models.{k}"}
            for i, k in enumerate(kinds)
        ],
        "1_Pooling/config.json": {
            "word_embedding_dimension": 96,
            "pooling_mode_cls_token": True,
            "pooling_mode_mean_tokens": False,
        }
        | changes.get("pooling", {}),
        "sentence_bert_config.json": {"max_seq_length": 32, "do_lower_case": False}
        | changes.get("sentence", {}),
        "config_sentence_transformers.json": {
            "prompts": {"query": "Q: "},
            "default_prompt_name": "query",
        }
        | changes.get("prompts", {}),
    }
    for name, data in documents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(data))
    return folder


def test_pooling_length_and_prompts_are_those_of_the_checkpoint(tmp_path: Path) -> None:
    assert read_recipe(write(tmp_path), SHAPE) == FOUND
    without = write(tmp_path, KINDS[:2], sentence={"max_seq_length": 4096})
    recipe = read_recipe(without, SHAPE)
    assert recipe and (recipe.normalized, recipe.max_tokens) == (False, SHAPE.context)


def test_a_checkpoint_without_such_files_says_nothing(tmp_path: Path) -> None:
    assert read_recipe(tmp_path, SHAPE) is None


@pytest.mark.parametrize(
    ("mode", "pooling"),
    [("mean", "mean"), ("cls", "cls"), ("lasttoken", "last"), (["max"], "max")],
)
def test_newer_files_name_the_pooling_in_one_word(tmp_path: Path, mode: Any, pooling: str) -> None:
    changes = {"pooling_mode": mode, "pooling_mode_cls_token": False}
    recipe = read_recipe(write(tmp_path, pooling=changes), SHAPE)
    assert recipe and recipe.pooling == pooling


@pytest.mark.parametrize(
    ("kinds", "changes", "named"),
    [
        (("Transformer", "Pooling", "Dense"), {}, "Dense"),
        (("WordEmbeddings", "Pooling"), {}, "WordEmbeddings"),
        (KINDS, {"pooling": {"pooling_mode_mean_tokens": True}}, "mean"),
        (KINDS, {"pooling": {"pooling_mode_weightedmean_tokens": True}}, "weightedmean"),
        (KINDS, {"pooling": {"pooling_mode_cls_token": False}}, "nothing"),
        (KINDS, {"pooling": {"include_prompt": False}}, "include_prompt"),
        (KINDS, {"sentence": {"do_lower_case": True}}, "do_lower_case"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_steps_that_are_not_computed_are_refused_by_name(
    tmp_path: Path, kinds: tuple[str, ...], changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(UnsupportedError, match=named):
        read_recipe(write(tmp_path, kinds, **changes), SHAPE)


@pytest.mark.parametrize(
    "changes",
    [
        {"pooling": {"word_embedding_dimension": 384}},
        {"sentence": {"max_seq_length": "long"}},
        {"prompts": {"prompts": {"query": 3}}},
        {"prompts": {"default_prompt_name": "passage"}},
    ],
    ids=str,
)
def test_files_that_contradict_themselves_are_refused(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    with pytest.raises(CheckpointError):
        read_recipe(write(tmp_path, **changes), SHAPE)


def test_a_step_outside_the_checkpoint_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "modules.json").write_text(
        '[{"type": "a.Transformer", "path": ""}, {"type": "a.Pooling", "path": "../1_Pooling"}]'
    )
    with pytest.raises(CheckpointError, match="no step"):
        read_recipe(tmp_path, SHAPE)


def test_a_config_adds_prompts_and_may_not_contradict() -> None:
    settings = EmbeddingSettings("cls", True, 32, {"query": "other", "passage": "P: "})
    recipe = complete_recipe(FOUND, settings, SHAPE)
    assert recipe.prompts == {"query": "Q: ", "passage": "P: "}
    assert complete_recipe(None, settings, SHAPE).pooling == "cls"
    assert complete_recipe(FOUND, None, SHAPE) == FOUND
    with pytest.raises(UnsupportedError, match="pooling"):
        complete_recipe(FOUND, EmbeddingSettings("mean", True, 32), SHAPE)
    with pytest.raises(UnsupportedError, match=r"modules\.json"):
        complete_recipe(None, None, SHAPE)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ({"is_decoder": True}, "is_decoder"),
        ({"hidden_act": "tanh"}, "hidden_act"),
        ({"num_attention_heads": 5}, "5 heads"),
        ({"an_option_of_tomorrow": 1}, "an_option_of_tomorrow"),
        ({"layer_norm_eps": 0.0}, "layer_norm_eps"),
    ],
    ids=str,
)
def test_what_bert_does_not_compute_is_refused_by_name(change: dict[str, Any], named: str) -> None:
    with pytest.raises(UnsupportedError, match=named):
        FAMILIES["bert"].read(TINY_ENCODERS[0].config() | change)


def test_a_decoder_that_makes_vectors_is_not_pressed_as_one_that_answers(tmp_path: Path) -> None:
    """Embeddings of Qwen3 have the shape of its chat models."""
    refuse_vectors(tmp_path, "qwen3")
    refuse_vectors(None, "qwen3")
    (tmp_path / "modules.json").write_text("[]")
    with pytest.raises(UnsupportedError, match=r"vectors of texts, which the family 'qwen3'"):
        refuse_vectors(tmp_path, "qwen3")
