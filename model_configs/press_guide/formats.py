"""Lists and JSON: naming members of a kind, and putting the user's own words into a format."""

import json
import random
from collections.abc import Callable
from typing import Any

from .exchanges import Exactly, Exchange, Json, JsonListOf, Keywords, ListOf, Split
from .expansion import expand
from .phrasings import punctuate

KINDS: dict[str, tuple[str, ...]] = {
    "fruits": ("apple", "banana", "cherry", "pear", "plum", "orange", "grape", "mango"),
    "vegetables": ("carrot", "potato", "onion", "pea", "bean", "tomato", "spinach", "leek"),
    "colours": ("red", "green", "blue", "yellow", "orange", "purple", "black", "white"),
    "animals": ("cat", "dog", "horse", "cow", "lion", "fox", "owl", "bear"),
    "birds": ("owl", "eagle", "sparrow", "robin", "duck", "swan", "raven", "crow"),
    "planets": ("Mercury", "Venus", "Earth", "Mars", "Jupiter", "Saturn", "Uranus", "Neptune"),
    "weekdays": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "months": ("January", "February", "March", "April", "May", "June", "July", "August"),
    "programming languages": ("Python", "TypeScript", "Rust", "C", "Java", "Go", "Ruby", "Lisp"),
    "sports": ("football", "tennis", "hockey", "rowing", "running", "chess", "judo", "golf"),
    "instruments": ("piano", "violin", "guitar", "flute", "drum", "harp", "cello", "organ"),
    "shapes": ("circle", "square", "triangle", "oval", "cube", "cone", "star", "line"),
    "drinks": ("water", "tea", "coffee", "milk", "juice", "cocoa", "lemonade", "soda"),
    "metals": ("iron", "gold", "silver", "copper", "tin", "lead", "zinc", "nickel"),
    "trees": ("oak", "birch", "pine", "maple", "elm", "willow", "beech", "ash"),
    "flowers": ("rose", "tulip", "daisy", "lily", "poppy", "violet", "iris", "lotus"),
    "tools": ("hammer", "saw", "drill", "file", "axe", "knife", "rake", "wrench"),
    "seasons": ("spring", "summer", "autumn", "winter"),
    "browsers": ("Chrome", "Firefox", "Safari", "Edge"),
}
COUNT_WORDS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
NAME_ASKS = (
    "(list|name|give me|write|tell me|show me) {n} {k}",
    "can you (list|name|give me) {n} {k}",
    "(a|make a) list of {n} {k}",
    "i need {n} {k}",
    "{n} {k}",
    "(please|could you) name {n} {k}",
    "write down {n} {k}",
    "give [me] {n} examples of {k}",
    "make me a list with {n} {k}",
    "which {n} {k} can you name",
    "i would like a list of {n} {k}",
)
NUMBERED = ("as a numbered list", "numbered", "in a numbered list", "with numbers")
AS_JSON = ("as json", "in json", "as a json array", "as a json list", "in json format")
PLAIN = ("", "", "", "as a list", "as bullet points", "in a bullet list")
FIELDS: dict[str, tuple[Any, ...]] = {
    "age": tuple(range(1, 100)),
    "city": ("Rome", "Oslo", "Lima", "Cairo", "Quito", "Bern", "Dublin", "Paris", "Delhi", "Tokyo"),
    "colour": KINDS["colours"],
    "pet": KINDS["animals"],
    "sport": KINDS["sports"],
    "fruit": KINDS["fruits"],
    "size": tuple(range(1, 60)),
    "price": tuple(range(1, 100)),
    "drink": KINDS["drinks"],
    "year": tuple(range(1950, 2030)),
    "score": tuple(range(100)),
}
NAMES = (
    "Ada",
    "Alan",
    "Grace",
    "Linus",
    "Mary",
    "Ben",
    "Clara",
    "Erik",
    "Fatima",
    "Greta",
    "Hal",
    "Ivan",
    "Jane",
    "Kim",
    "Lars",
    "Maya",
    "Nils",
    "Otto",
    "Pia",
    "Quinn",
    "Rita",
    "Sven",
    "Tara",
    "Ute",
    "Vera",
    "Will",
    "Xena",
    "Yuri",
    "Zita",
    "Anna",
)
OBJECT_ASKS = (
    "make a json object with {f}",
    "(write|give me|create|output) json with {f}",
    "json with {f}",
    "(put|write) {f} in json",
    "turn this into json: {f}",
    "(convert|change) to json: {f}",
    "a json object for {f}",
    "json: {f}",
    "please format {f} as json",
    "write {f} as a json object",
    "i need a json record with {f}",
    "show {f} as json",
)
BULLET_ASKS = (
    "(make|write) a (list|bullet list) of {w}",
    "(turn|convert|put) {w} into a [bullet] list",
    "format {w} as a list",
    "as a list: {w}",
    "bullet list: {w}",
    "list these: {w}",
    "make bullet points of {w}",
    "write {w} as a list",
    "show {w} as bullet points",
)
ARRAY_ASKS = (
    "(turn|convert|put) {w} into a json array",
    "json array of {w}",
    "write {w} as a json array",
    "make a json list of {w}",
    "as a json array: {w}",
    "json array: {w}",
    "give me a json array with {w}",
    "format {w} as a json array",
)
REPEAT_ASKS = (
    "(say|write|repeat|print|output|type) the word {w}",
    "repeat after me: {w}",
    "write {w}",
    "please (say|write|repeat) {w}",
    "say {w}",
    "repeat: {w}",
    "(write|type|say) this: {w}",
    "(repeat|echo|print) this word: {w}",
    "can you say {w}",
    "echo {w}",
    "just say {w}",
    "copy {w}",
    "copy the word {w}",
    "give me the word {w}",
    "could you write {w}",
    "copy this: {w}",
    "can you write the word {w}",
)


def sample_list(rng: random.Random, split: Split) -> Exchange:
    """Name some members of a kind, as bullets, numbered or as a JSON array."""
    kind = rng.choice(tuple(KINDS))
    count = rng.randint(2, min(6, len(KINDS[kind])))
    style, tails = rng.choice(
        (("bullets", PLAIN), ("bullets", PLAIN), ("numbers", NUMBERED), ("json", AS_JSON))
    )
    number = COUNT_WORDS[count] if rng.random() < 0.6 else str(count)
    asks = NAME_ASKS[-2:] if split == "held_out" else NAME_ASKS[:-2]
    question = expand(rng.choice(asks), rng).format(n=number, k=kind)
    question = f"{question} {rng.choice(tails)}".strip()
    items = rng.sample(KINDS[kind], count)
    if kind in ("weekdays", "planets", "months", "seasons"):
        items = list(KINDS[kind][:count])
    check = JsonListOf if style == "json" else ListOf
    return Exchange(
        _end(question, rng, split), render(items, style), "lists", check(count, KINDS[kind])
    )


def render(items: list[str], style: str) -> str:
    """Write `items` as "bullets", "numbers" or a "json" array."""
    if style == "json":
        return json_block(items)
    if style == "numbers":
        return "\n".join(f"{index}. {item}" for index, item in enumerate(items, 1))
    return "\n".join(f"- {item}" for item in items)


def json_block(value: Any) -> str:
    """A fenced block of JSON, one line where it is a list or has few fields."""
    return f"```json\n{json.dumps(value)}\n```"


def sample_format(rng: random.Random, split: Split) -> Exchange:
    """Put the user's own words into JSON or a list, or say a word again."""
    return rng.choice(FORMATS)(rng, split)


def _object(rng: random.Random, split: Split) -> Exchange:
    record: dict[str, Any] = {"name": rng.choice(NAMES)}
    for field in rng.sample(tuple(FIELDS), rng.randint(1, 3)):
        record[field] = rng.choice(FIELDS[field])
    link = rng.choice((" ", " ", ": ", " = "))
    parts = [f"{field}{link}{value}" for field, value in record.items()]
    said = ", ".join(parts) if rng.random() < 0.5 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    question = _ask(OBJECT_ASKS, rng, split).format(f=said)
    answer = json_block(record)
    return Exchange(_end(question, rng, split), answer, "json", Json(json.dumps(record)))


def _words(rng: random.Random) -> tuple[list[str], str]:
    pool = [word for kind in KINDS.values() for word in kind]
    words = rng.sample(sorted(set(pool)), rng.randint(2, 5))
    said = ", ".join(words) if rng.random() < 0.6 else f"{', '.join(words[:-1])} and {words[-1]}"
    return words, said


def _bullets(rng: random.Random, split: Split) -> Exchange:
    words, said = _words(rng)
    answer = render(words, "bullets")
    return Exchange(
        _end(_ask(BULLET_ASKS, rng, split).format(w=said), rng, split),
        answer,
        "lists",
        Exactly(answer),
    )


def _array(rng: random.Random, split: Split) -> Exchange:
    words, said = _words(rng)
    return Exchange(
        _end(_ask(ARRAY_ASKS, rng, split).format(w=said), rng, split),
        json_block(words),
        "json",
        Json(json.dumps(words)),
    )


def _repeat(rng: random.Random, split: Split) -> Exchange:
    word = rng.choice(_words(rng)[0])
    return Exchange(
        _end(_ask(REPEAT_ASKS, rng, split).format(w=word), rng, split),
        word,
        "lists",
        Keywords(((word,),)),
    )


def _ask(asks: tuple[str, ...], rng: random.Random, split: Split) -> str:
    """The last two templates of each kind are the held-out ones."""
    return expand(rng.choice(asks[-2:] if split == "held_out" else asks[:-2]), rng)


FORMATS: tuple[Callable[[random.Random, Split], Exchange], ...] = (
    _object,
    _object,
    _bullets,
    _array,
    _repeat,
)


def _end(question: str, rng: random.Random, split: Split) -> str:
    if split == "held_out":
        return question[:1].upper() + question[1:]
    return punctuate(question, rng).rstrip("!") if rng.random() < 0.5 else question
