"""Short stories of four to six sentences about a hero the user names, in many combinations."""

import random

from .exchanges import Exchange, Split, Story
from .expansion import expand
from .phrasings import punctuate

HEROES = (
    "dragon",
    "cat",
    "dog",
    "robot",
    "princess",
    "knight",
    "fox",
    "owl",
    "mouse",
    "wizard",
    "pirate",
    "bear",
    "rabbit",
    "frog",
    "ghost",
    "king",
    "queen",
    "farmer",
    "baker",
    "sailor",
    "turtle",
    "horse",
    "bee",
    "penguin",
    "elephant",
    "lion",
    "monkey",
    "girl",
    "boy",
    "gardener",
    "astronaut",
    "teacher",
    "printer",
    "cloud",
    "star",
    "tree",
    "snail",
    "whale",
    "wolf",
    "hen",
    "unicorn",
    "witch",
    "giant",
    "dwarf",
    "snowman",
    "tiger",
    "duck",
    "train",
    "boat",
    "moon",
)
PLACES = (
    "in a quiet forest",
    "by the blue sea",
    "on a high hill",
    "in a small town",
    "in an old mill",
    "behind a tall castle",
    "on a green island",
    "in a busy harbour",
    "at the end of the road",
    "in a warm valley",
    "under a wide bridge",
    "near a silver lake",
    "in a garden full of roses",
    "beside a slow river",
    "at the foot of a mountain",
    "in a house without doors",
)
TRAITS = (
    "little",
    "brave",
    "shy",
    "curious",
    "old",
    "lonely",
    "merry",
    "clever",
    "sleepy",
    "gentle",
    "proud",
    "patient",
    "hungry",
    "quiet",
    "cheerful",
    "clumsy",
)
OBJECTS = (
    "golden key",
    "lost letter",
    "strange map",
    "broken lamp",
    "tiny book",
    "silver bell",
    "red kite",
    "wooden box",
    "shining stone",
    "old clock",
    "paper boat",
    "blue feather",
    "warm blanket",
    "magic seed",
    "copper coin",
    "glass ball",
)
FRIENDS = (
    "an old owl",
    "a friendly mole",
    "a young shepherd",
    "a singing bird",
    "a kind stranger",
    "a tired traveller",
    "a wise toad",
    "a small hedgehog",
    "a laughing child",
    "a grey goose",
)
WEATHERS = (
    "One rainy morning",
    "One sunny day",
    "One cold evening",
    "One windy night",
    "One day in May",
    "On the first day of winter",
    "Early one morning",
    "Late in the summer",
)
OPENINGS = (
    "Once upon a time a {t} {h} lived {p}.",
    "Long ago there was a {t} {h} who lived {p}.",
    "There once was a {t} {h}, and its home was {p}.",
    "A {t} {h} lived all alone {p}.",
)
FINDS = (
    "{w} the {h} found a {o}.",
    "{w} a {o} lay before the door.",
    "{w} the {h} saw a {o} between the leaves.",
    "{w} the wind brought a {o}.",
)
MEETINGS = (
    '"Whose is it?" it asked, and {f} said: "Follow me."',
    "Nobody knew what it was for, so the {h} asked {f}.",
    'Just then {f} came along and said: "I have looked for it for years."',
    "With the {o} it walked three days, until it met {f}.",
)
TURNS = (
    "Together they crossed the dark wood and did not look back.",
    "They shared a piece of bread and told each other their dreams.",
    "A storm came up, but they held each other tight.",
    "They laughed, for the {o} belonged to both of them.",
    "The {h} was afraid, yet it went on.",
    "In the end the {o} opened a hidden door.",
)
ENDINGS = (
    "From that day on the {h} was never lonely again.",
    "And the {h} kept the {o} for the rest of its life.",
    "Since then they meet every evening and tell stories.",
    "The {h} went home happy, and slept until noon.",
    "So the {h} learned that a friend is worth more than a treasure.",
)
ASKS = (
    "tell me a [short] story about a {h}",
    "(write|make up|invent) a [short] story about a {h}",
    "a [short|little] story about a {h}",
    "(can|could) you tell [me] a story about a {h}",
    "[a] story with a {h}",
    "i want a story about a {h}",
    "do you know a story about a {h}",
    "tell me about a {t} {h} in a story",
    "once upon a time there was a {h}",
    "{h} story",
    "please tell us a tale about a {h}",
    "i would like to hear a story about a {h}",
    "make a story in which a {h} appears",
)
OPEN_ASKS = (
    "tell me a [short] story",
    "(write|make up|invent) a [short] story",
    "a story [please]",
    "(can|could) you tell [me] a [short] story",
    "do you know [a|any] (story|stories)",
    "i want [to hear] a story",
    "another story",
    "tell us a story",
    "a tale [please]",
    "(tell|write) me a [short] tale",
    "do you have a story [for me|for us]",
    "one more story",
    "i like stories",
    "i would like [to hear] a story",
    "a bedtime story for my child",
    "tell [me] a [bedtime] story",
    "story time",
    "please tell us a tale",
    "read me a story",
)
HELD_OUT_ASKS = 3


def sample_story(rng: random.Random, split: Split) -> Exchange:
    """A request for a story and a story; the hero is mostly named by the user."""
    hero, trait = rng.choice(HEROES), rng.choice(TRAITS)
    named = rng.random() < 0.8
    pool = ASKS if named else OPEN_ASKS
    held = HELD_OUT_ASKS if named else HELD_OUT_ASKS - 1
    asks = pool[-held:] if split == "held_out" else pool[:-held]
    template = rng.choice(asks)
    asked = expand(template, rng).format(h=hero, t=trait)
    asked = asked.replace(" a elephant", " an elephant").replace(" a astronaut", " an astronaut")
    asked = asked.replace(" a owl", " an owl").replace(" a unicorn", " a unicorn")
    question = f"{asked[:1].upper()}{asked[1:]}." if split == "held_out" else punctuate(asked, rng)
    check = Story((hero,) if named else (), 4)
    return Exchange(question, tell(hero, trait, rng), "stories", check)


def tell(hero: str, trait: str, rng: random.Random) -> str:
    """A story of five or six sentences about one hero."""
    parts = [
        rng.choice(OPENINGS),
        rng.choice(FINDS),
        rng.choice(MEETINGS),
        *rng.sample(TURNS, rng.choice((1, 2))),
        rng.choice(ENDINGS),
    ]
    text = " ".join(parts).format(
        h=hero,
        t=trait,
        p=rng.choice(PLACES),
        o=rng.choice(OBJECTS),
        w=rng.choice(WEATHERS),
        f=rng.choice(FRIENDS),
    )
    return text.replace(" a old", " an old")
