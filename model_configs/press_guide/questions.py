"""The fixed held-out questions, by category: no wording here is in the training dialogues."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from . import arithmetic, formats, quantities, stories, unknown
from .dialogues import (
    DEFAULT_SYSTEM,
    Dialogue,
    Sampler,
    answered,
    remembered_name,
    repeat,
    small_talk,
)
from .exchanges import Exchange
from .facts import Intent, intents, project_intents
from .phrasings import ask, held_out_follow_ups, held_out_framed, held_out_questions

SEED = 20261122
PER_SKILL = 400
PER_INTENT = 8
SKILLS: dict[str, tuple[Sampler, ...]] = {
    "arithmetic": (arithmetic.sample_sum, arithmetic.sample_sum, arithmetic.sample_number_fact),
    "word problems": (arithmetic.sample_word_problem,),
    "units": (quantities.sample_unit,),
    "dates": (quantities.sample_date,),
    "lists and JSON": (formats.sample_list, formats.sample_format),
    "stories": (stories.sample_story,),
    "unknown": (unknown.sample_unknown,),
}
PROJECT = ("project", "project, framed", "project, follow-up")


@dataclass(frozen=True, slots=True)
class Case:
    """A held-out question in its dialogue; the last exchange is the one to answer."""

    category: str
    dialogue: Dialogue

    @property
    def target(self) -> Exchange:
        return self.dialogue.exchanges[-1]

    def messages(self) -> list[dict[str, str]]:
        """What the model sees: all turns but the last answer."""
        return self.dialogue.messages()[:-1]


def held_out_cases() -> tuple[Case, ...]:
    """Every case, always the same ones in the same order."""
    makers: tuple[Callable[[random.Random], Iterator[Case]], ...] = (
        _project,
        _framed,
        _follow_ups,
        _small_talk,
        _skills,
        _recall,
    )
    rng = random.Random(SEED)
    return tuple(case for maker in makers for case in maker(rng))


def _case(category: str, rng: random.Random, *exchanges: Exchange) -> Case:
    return Case(category, Dialogue(rng.choice(("", DEFAULT_SYSTEM)), exchanges))


def _said(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}?".replace(" i ", " I ")


def _project(rng: random.Random) -> Iterator[Case]:
    for intent in project_intents():
        for text in held_out_questions(intent):
            yield _case("project", rng, answered(intent, _said(text), rng))


def _framed(rng: random.Random) -> Iterator[Case]:
    for intent in project_intents():
        texts = held_out_framed(intent)
        for text in rng.sample(texts, min(PER_INTENT, len(texts))):
            yield _case("project, framed", rng, answered(intent, _said(text), rng))


def _follow_ups(rng: random.Random) -> Iterator[Case]:
    for intent in project_intents():
        texts = held_out_follow_ups(intent)
        for text in rng.sample(texts, min(PER_INTENT, len(texts))):
            before = _asked_before(intent, rng)
            yield _case("project, follow-up", rng, before, answered(intent, _said(text), rng))


def _asked_before(intent: Intent, rng: random.Random) -> Exchange:
    earlier = [other for other in project_intents() if intent.id in other.related]
    first = rng.choice(earlier or list(project_intents()))
    return answered(first, ask(first, rng), rng)


def _small_talk(rng: random.Random) -> Iterator[Case]:
    for intent in small_talk():
        for text in held_out_questions(intent):
            yield _case("small talk", rng, answered(intent, text[:1].upper() + text[1:], rng))


def _skills(rng: random.Random) -> Iterator[Case]:
    for category, samplers in SKILLS.items():
        for index in range(PER_SKILL):
            sampler = samplers[index % len(samplers)]
            yield _case(category, rng, sampler(rng, "held_out"))


def _recall(rng: random.Random) -> Iterator[Case]:
    by_id = intents()
    for _ in range(PER_SKILL // 4):
        yield _case("recall", rng, *remembered_name(rng, "held_out"))
        intent = rng.choice(by_id)
        said = answered(intent, ask(intent, rng), rng)
        yield _case("recall", rng, said, repeat(said, rng, "held_out"))
