"""Whole dialogues: the same everywhere, varied, and well formed."""

import hashlib
import json
from collections import Counter

from model_configs.press_guide.corpus import text_of
from model_configs.press_guide.dialogues import SEED, dialogue, dialogues
from model_configs.press_guide.questions import PROJECT, held_out_cases

GOLDEN = "2ce0fd4a65b8837d9e81d1429849da535b529f209844a9ce87b9bbebd7d0bb3a"


def test_the_generator_is_deterministic_and_is_the_one_that_trained_the_checkpoint() -> None:
    """A changed digest means that the committed weights no longer come from this generator."""
    turns = [dialogue.messages() for dialogue in dialogues(0, 500, SEED)]
    assert hashlib.sha256(json.dumps(turns).encode()).hexdigest() == GOLDEN


def test_a_dialogue_depends_on_its_number_and_seed_alone() -> None:
    assert dialogue(7, 1) == tuple(dialogues(5, 9, 1))[2]
    assert dialogue(7, 1) != dialogue(7, 2)


def test_dialogues_rarely_repeat() -> None:
    counts = Counter(text_of(dialogue) for dialogue in dialogues(0, 3000, SEED))
    assert sum(count - 1 for count in counts.values()) < 30


def test_turns_alternate_and_are_never_empty() -> None:
    for talk in dialogues(0, 300, SEED):
        roles = [message["role"] for message in talk.messages()]
        turns = roles[1:] if roles[0] == "system" else roles
        assert turns == ["user", "assistant"] * (len(turns) // 2)
        assert all(message["content"].strip() for message in talk.messages())


def test_every_category_and_the_system_turn_occur() -> None:
    talks = tuple(dialogues(0, 1500, SEED))
    categories = {exchange.category for talk in talks for exchange in talk.exchanges}
    assert categories >= {
        "project", "commands", "browser", "weights", "publishing", "guide", "smalltalk",
        "arithmetic", "word_problems", "units", "dates", "lists", "json", "stories", "unknown",
        "recall",
    }  # fmt: skip
    assert 0.35 < sum(not talk.system for talk in talks) / len(talks) < 0.65


def test_held_out_cases_are_fixed_and_answerable() -> None:
    cases = held_out_cases()
    assert cases == held_out_cases()
    assert all(case.target.check.passes(case.target.answer) for case in cases)
    assert sum(case.category in PROJECT for case in cases) > 1500
