"""Phrase templates: what they expand to and which are refused."""

import random

import pytest

from model_configs.press_guide.expansion import expand, expansions, normal_form, parse


def test_choices_and_options_nest() -> None:
    assert list(expansions("(a|b [c])")) == ["a", "b c", "b"]


def test_a_drawn_expansion_is_one_of_all() -> None:
    template = "how (do|can) i [really] (see|(find|get)) it"
    every = set(expansions(template))
    rng = random.Random(0)
    assert {expand(template, rng) for _ in range(200)} == every


@pytest.mark.parametrize("template", ["(a", "a)", "a|b", "[a", "(a]"])
def test_unbalanced_brackets_are_refused(template: str) -> None:
    with pytest.raises(ValueError, match="template"):
        parse(template)


def test_the_normal_form_ignores_case_and_punctuation() -> None:
    assert normal_form("What's  UP, Doc?") == normal_form("whats up doc")
