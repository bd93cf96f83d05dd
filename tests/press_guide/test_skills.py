"""The computed categories: right answers, and templates and operands kept out of training."""

import random

import pytest

from model_configs.press_guide import arithmetic, formats, quantities, stories, unknown
from model_configs.press_guide.dialogues import Sampler
from model_configs.press_guide.exchanges import Split
from model_configs.press_guide.expansion import normal_form

SAMPLERS: tuple[Sampler, ...] = (
    arithmetic.sample_sum,
    arithmetic.sample_number_fact,
    arithmetic.sample_word_problem,
    quantities.sample_unit,
    quantities.sample_date,
    formats.sample_list,
    formats.sample_format,
    stories.sample_story,
    unknown.sample_unknown,
)
SPLITS: tuple[Split, ...] = ("train", "held_out")


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler.__name__)
def test_every_answer_passes_its_own_check(sampler: Sampler, split: Split) -> None:
    rng = random.Random(2)
    for _ in range(300):
        exchange = sampler(rng, split)
        assert exchange.check.passes(exchange.answer), exchange
        assert exchange.question.strip() and not exchange.check.passes("?")


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler.__name__)
def test_held_out_questions_are_not_drawn_for_training(sampler: Sampler) -> None:
    rng = random.Random(3)
    held_out = {normal_form(sampler(rng, "held_out").question) for _ in range(300)}
    training = {normal_form(sampler(rng, "train").question) for _ in range(3000)}
    assert held_out.isdisjoint(training)


def test_held_out_operands_are_not_drawn_for_training() -> None:
    rng = random.Random(4)
    for operator in "+-x/":
        for _ in range(500):
            assert not arithmetic.is_held_out(*arithmetic.operands(operator, rng, "train"))


def test_sums_are_right() -> None:
    assert arithmetic.solution(17, 5, "/") == ("17 / 5 = 3 remainder 2", "3 remainder 2")
    assert arithmetic.solution(3, 9, "-") == ("3 - 9 = -6", "= -6")


def test_fillers_of_the_two_splits_are_disjoint() -> None:
    for kind in unknown.FILLERS:
        assert not set(unknown.fillers(kind, "train")) & set(unknown.fillers(kind, "held_out"))
