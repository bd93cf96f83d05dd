"""Whole dialogues: exchanges of every category strung together, with and without a system turn.

A dialogue is decided by its number alone, so any machine writes the same ones in any order.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from . import arithmetic, formats, quantities, stories, unknown
from .exchanges import Exchange, Keywords, Split
from .expansion import expand
from .facts import SMALL_TALK, Intent, intents, project_intents
from .phrasings import ask, ask_again, punctuate

SEED = 1
"""The seed of the dialogues that trained the committed checkpoint."""
DEFAULT_SYSTEM = "You are press-guide, a small and friendly guide to modelpress."
SYSTEMS = (
    DEFAULT_SYSTEM,
    "You are a helpful assistant.",
    "You are press-guide, the demo model of modelpress. Answer briefly.",
    "Answer in one or two sentences.",
    "You are a friendly assistant who helps people to use modelpress.",
    "Be concise and honest. Say so when you do not know something.",
    "You are an assistant in a web browser.",
    "You are a guide for visitors of this site.",
    "Help the user.",
    "You are a tiny language model.",
)
Sampler = Callable[[random.Random, Split], Exchange]
SKILLS: tuple[tuple[Sampler, int], ...] = (
    (arithmetic.sample_sum, 22),
    (arithmetic.sample_number_fact, 6),
    (arithmetic.sample_word_problem, 7),
    (quantities.sample_unit, 7),
    (quantities.sample_date, 7),
    (formats.sample_list, 6),
    (formats.sample_format, 9),
    (stories.sample_story, 6),
    (unknown.sample_unknown, 30),
)
USER_NAMES = (
    "Ana",
    "Ben",
    "Carla",
    "David",
    "Emma",
    "Felix",
    "Grace",
    "Hugo",
    "Ines",
    "Jonas",
    "Kira",
    "Leo",
    "Mia",
    "Noah",
    "Olga",
    "Paul",
    "Rosa",
    "Sam",
    "Tina",
    "Uma",
    "Victor",
    "Wendy",
    "Yara",
    "Zoe",
    "Tom",
    "Lucy",
    "Max",
    "Nina",
    "Omar",
    "Petra",
    "Ada",
    "Alan",
    "Erik",
    "Greta",
    "Jane",
)
NAME_SAID = (
    "my name is {}",
    "i am {}",
    "(hi|hello|hey), (i am|i'm|my name is) {}",
    "call me {}",
    "people call me {}",
    "this is {}",
)
NAME_ASKED = (
    "what is my name",
    "do you (know|remember) my name",
    "who am i",
    "what was my name",
    "how am i called",
)
NAME_ASKED_HELD_OUT = ("can you still recall my name", "tell me my name")
REPEATS = (
    "(say|repeat) that again",
    "(can|could) you repeat that",
    "again please",
    "repeat [it]",
    "once more",
    "what did you say",
    "say it again",
    "come again",
    "please (say|repeat) (it|that) [again]",
    "(one|once) more [please]",
    "repeat your (last |)answer",
    "(what was|give me) (that|your answer) again",
    "again",
    "please once more",
    "tell me again",
    "i did not (get|hear|understand) that, again please",
    "say your answer (again|once more)",
    "another time please",
    "the same again",
)
REPEATS_HELD_OUT = ("please repeat your answer", "one more time, please")


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A system turn, or none, and the exchanges that follow."""

    system: str
    exchanges: tuple[Exchange, ...]

    def messages(self) -> list[dict[str, str]]:
        """The dialogue as chat messages."""
        turns = [{"role": "system", "content": self.system}] if self.system else []
        for exchange in self.exchanges:
            turns.append({"role": "user", "content": exchange.question})
            turns.append({"role": "assistant", "content": exchange.answer})
        return turns


def dialogue(number: int, seed: int = SEED) -> Dialogue:
    """Training dialogue `number` of the endless sequence that `seed` names."""
    rng = random.Random(f"{seed}/{number}")
    system = "" if rng.random() < 0.5 else rng.choice((DEFAULT_SYSTEM, rng.choice(SYSTEMS)))
    length = rng.choices((1, 2, 3, 4, 6, 12), (38, 26, 16, 10, 7, 3))[0]
    return Dialogue(system, tuple(_exchanges(length, rng)))


def dialogues(first: int, last: int, seed: int = SEED) -> Iterator[Dialogue]:
    """Training dialogues `first` to `last`, the last left out."""
    return (dialogue(number, seed) for number in range(first, last))


def _exchanges(length: int, rng: random.Random) -> Iterator[Exchange]:
    previous: Intent | None = None
    said: Exchange | None = None
    left = length
    while left > 0:
        kind = rng.random()
        if said and kind < 0.04:
            said = repeat(said, rng, "train")
            yield said
        elif kind > 0.985:
            yield from remembered_name(rng)
            previous, said = None, None
        elif previous and kind < 0.44:
            previous, said = follow_up(previous, rng)
            yield said
        elif kind < 0.66:
            previous = rng.choice(project_intents() if rng.random() < 0.88 else small_talk())
            said = answered(previous, ask(previous, rng), rng)
            yield said
        else:
            previous, said = None, sample_skill(rng)
            yield said
        left -= 1


def small_talk() -> tuple[Intent, ...]:
    """The intents of small talk."""
    return tuple(intent for intent in intents() if intent.category == SMALL_TALK)


def answered(intent: Intent, question: str, rng: random.Random) -> Exchange:
    """An exchange on `intent`, with one of its answers."""
    answer = rng.choice(intent.answers)
    return Exchange(question, answer, intent.category, intent.check, intent.id)


def sample_skill(rng: random.Random) -> Exchange:
    """An exchange of a computed category."""
    samplers, weights = zip(*SKILLS, strict=True)
    chosen: Sampler = rng.choices(samplers, weights)[0]
    return chosen(rng, "train")


def follow_up(previous: Intent, rng: random.Random) -> tuple[Intent, Exchange]:
    """The next question of someone who asked about `previous`: mostly on something related."""
    by_id = {intent.id: intent for intent in intents()}
    near = [by_id[name] for name in previous.related]
    intent = rng.choice(near) if near and rng.random() < 0.7 else rng.choice(project_intents())
    return intent, answered(intent, ask_again(intent, rng), rng)


def repeat(said: Exchange, rng: random.Random, split: Split) -> Exchange:
    """Ask for the last answer once more."""
    asks = REPEATS_HELD_OUT if split == "held_out" else REPEATS
    question = punctuate(expand(rng.choice(asks), rng), rng)
    return Exchange(question, said.answer, "recall", said.check, said.intent)


def remembered_name(rng: random.Random, split: Split = "train") -> Iterator[Exchange]:
    """The user gives a name, perhaps talks of something else, and asks for it."""
    name = rng.choice(USER_NAMES)
    check = Keywords(((name,),))
    said = punctuate(expand(rng.choice(NAME_SAID), rng).replace("{}", name), rng).rstrip("?")
    greetings = (f"Nice to meet you, {name}! How can I help?", f"Hello {name}! I am press-guide.")
    greeting = rng.choice(greetings)
    yield Exchange(said, greeting, "recall", check)
    if rng.random() < 0.4:
        yield sample_skill(rng)
    asks = NAME_ASKED_HELD_OUT if split == "held_out" else NAME_ASKED
    question = punctuate(expand(rng.choice(asks), rng), rng)
    yield Exchange(question, f"Your name is {name}.", "recall", check)
