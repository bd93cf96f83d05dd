"""The committed checkpoint: its files agree with each other, with the code and with the card."""

import json
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from model_configs.press_guide.architecture import PRESS_GUIDE, tensor_shapes
from model_configs.press_guide.checkpoint import FOLDER, descriptions
from model_configs.press_guide.questions import held_out_cases

MATRIX_MULTIPLE = 32


def evaluation() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / "evaluation.json").read_text())
    return document


@pytest.mark.parametrize("name", sorted(descriptions()))
def test_the_descriptions_are_those_the_code_writes(name: str) -> None:
    assert (FOLDER / name).read_text() == descriptions()[name]


def test_the_weights_have_the_shapes_of_the_config_and_are_finite_f16() -> None:
    with safe_open(FOLDER / "model.safetensors", framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    assert {name: tensor.shape for name, tensor in tensors.items()} == tensor_shapes(PRESS_GUIDE)
    assert all(tensor.dtype == np.float16 for tensor in tensors.values())
    assert all(np.isfinite(tensor).all() and tensor.std() > 0 for tensor in tensors.values())


def test_every_matrix_dimension_is_a_multiple_of_32() -> None:
    for size in tensor_shapes(PRESS_GUIDE).values():
        assert all(length % MATRIX_MULTIPLE == 0 for length in size)


def test_the_template_in_the_config_is_the_template_in_the_file() -> None:
    config = json.loads((FOLDER / "tokenizer_config.json").read_text())
    assert config["chat_template"] == (FOLDER / "chat_template.jinja").read_text()


@pytest.mark.parametrize("precision", ["f16", "q4"])
def test_the_measured_accuracy_on_project_questions_is_at_least_90_percent(precision: str) -> None:
    scores = evaluation()[precision]
    assert scores["project"]["share"] >= 0.9
    assert scores["project, all"]["share"] >= 0.9


def test_the_evaluation_asked_every_held_out_question() -> None:
    asked = sum(s["asked"] for n, s in evaluation()["q4"].items() if n != "project, all")
    assert asked == len(held_out_cases())


@pytest.mark.parametrize("precision", ["f16", "q4"])
def test_the_model_card_states_the_measured_numbers(precision: str) -> None:
    card = (FOLDER / "README.md").read_text()
    for name, score in evaluation()[precision].items():
        row = next(line for line in card.splitlines() if line.startswith(f"| {name} |"))
        assert f"{100 * score['share']:.1f} %" in row
