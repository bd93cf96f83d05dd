"""Training questions: varied, and never one that is held out."""

import random
from collections.abc import Iterator

from model_configs.press_guide.expansion import expansions, normal_form
from model_configs.press_guide.facts import Intent, intents
from model_configs.press_guide.phrasings import (
    FOLLOW_UP_FRAMES,
    FOLLOW_UP_TASK_FRAMES,
    HELD_OUT_FOLLOW_UP_FRAMES,
    HELD_OUT_FOLLOW_UP_TASK_FRAMES,
    HELD_OUT_TASK_FRAMES,
    HELD_OUT_TOPIC_FRAMES,
    TASK_FRAMES,
    TOPIC_FRAMES,
    ask,
    ask_again,
    held_out_forms,
)

TRAINING_FRAMES = (*TOPIC_FRAMES, *TASK_FRAMES, *FOLLOW_UP_FRAMES, *FOLLOW_UP_TASK_FRAMES)
HELD_OUT_FRAMES = (
    *HELD_OUT_TOPIC_FRAMES,
    *HELD_OUT_TASK_FRAMES,
    *HELD_OUT_FOLLOW_UP_FRAMES,
    *HELD_OUT_FOLLOW_UP_TASK_FRAMES,
)


def framed(intent: Intent) -> Iterator[str]:
    pairs = (
        (TOPIC_FRAMES, intent.topics),
        (TASK_FRAMES, intent.tasks),
        (FOLLOW_UP_FRAMES, intent.topics),
        (FOLLOW_UP_TASK_FRAMES, intent.tasks),
    )
    for frames, phrases in pairs:
        texts = [text for frame in frames for text in expansions(frame)]
        for phrase in phrases:
            yield from (text.replace("{}", said) for text in texts for said in expansions(phrase))


def test_no_training_template_can_write_a_held_out_question() -> None:
    """Whole templates are held out, not samples: every expansion is compared."""
    held_out = {normal_form(text) for intent in intents() for text in intent.held_out}
    for intent in intents():
        templates = (*intent.asks, *intent.follow_ups)
        whole = (text for template in templates for text in expansions(template))
        for text in (*whole, *framed(intent)):
            assert normal_form(text) not in held_out, f"{intent.id}: {text}"


def test_held_out_frames_are_no_training_frames() -> None:
    training = {text for frame in TRAINING_FRAMES for text in expansions(frame)}
    assert training.isdisjoint(HELD_OUT_FRAMES)


def test_no_drawn_question_is_held_out() -> None:
    rng = random.Random(0)
    for intent in intents():
        for _ in range(20):
            assert normal_form(ask(intent, rng)) not in held_out_forms()
            assert normal_form(ask_again(intent, rng)) not in held_out_forms()


def test_questions_about_one_intent_rarely_repeat() -> None:
    rng = random.Random(1)
    privacy = next(intent for intent in intents() if intent.id == "privacy")
    assert len({ask(privacy, rng) for _ in range(400)}) > 360
