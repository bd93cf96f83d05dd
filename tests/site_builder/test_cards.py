"""What a model's page says in words: a loss that nobody measured is called that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runtime.manifest import Loss
from site_builder.cards import SchemeCard, model_card
from site_builder.hub import read_hub
from tests.site_builder.fake_hub import write_hub


def scheme_card(root: Path, loss: Loss | None) -> SchemeCard:
    (model,) = read_hub(write_hub(root)).models
    pressed = model.default
    quantization = replace(pressed.manifest.quantization, loss=loss)
    manifest = replace(pressed.manifest, quantization=quantization)
    return model_card(replace(model, schemes=(replace(pressed, manifest=manifest),))).default


@pytest.mark.parametrize(
    ("text", "said"),
    [("own", "the model's own answers"), ("questions", "questions"), ("a.txt", "a.txt")],
)
def test_a_measured_loss_is_shown_with_where_it_is_from(
    tmp_path: Path, text: str, said: str
) -> None:
    card = scheme_card(tmp_path, Loss(0.00519, 0.9783, 1796, text))
    assert (card.divergence, card.agreement) == ("0.0052", "97.8 %")
    assert "1,796 tokens" in card.measured_on and said in card.measured_on


def test_what_nobody_measured_is_called_that(tmp_path: Path) -> None:
    card = scheme_card(tmp_path, None)
    assert card.divergence == card.agreement == "not measured"
    assert card.measured_on == ""


def test_a_loss_nobody_could_notice_is_not_written_out(tmp_path: Path) -> None:
    assert scheme_card(tmp_path, Loss(1.5e-5, 1.0, 151, "own")).divergence == "under 0.0001"
