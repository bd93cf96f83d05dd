"""Sums with small numbers, in symbols, in words and in little stories; large ones are declined.

A tenth of the operand pairs beyond the multiplication table is held out of training, together
with whole question templates.
"""

import random
from dataclasses import dataclass
from operator import add, floordiv, mul, sub

from .exchanges import Exchange, Keywords, Split
from .expansion import expand
from .phrasings import punctuate

APPLY = {"+": add, "-": sub, "x": mul, "/": floordiv}
SPOKEN = {
    "+": ("plus", "added to"),
    "-": ("minus",),
    "x": ("times", "multiplied by"),
    "/": ("divided by", "over"),
}
WRITTEN = {"+": ("+",), "-": ("-",), "x": ("*", "x", "×"), "/": ("/", "÷", ":")}
ASKS = {
    "train": (
        "{}",
        "what is {}",
        "what's {}",
        "calculate {}",
        "compute {}",
        "how much is {}",
        "{} =",
        "{} = ?",
        "(solve|work out) {}",
        "can you (calculate|compute) {}",
        "tell me {}",
        "what (does|do) {} (make|give|equal)",
        "please calculate {}",
        "do you know what {} is",
        "(hey|hi), what is {}",
        "the result of {}",
        "i need {}",
    ),
    "held_out": ("could you tell me what {} is", "what do i get for {}", "evaluate {} for me"),
}
NAMES = (
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
    "I",
)
THINGS = (
    "apples",
    "books",
    "coins",
    "pears",
    "marbles",
    "stamps",
    "cookies",
    "pencils",
    "shells",
    "eggs",
    "cards",
    "stickers",
    "oranges",
    "balls",
    "flowers",
    "plums",
    "stones",
    "cakes",
    "nuts",
)


@dataclass(frozen=True, slots=True)
class Puzzle:
    """A word problem: the question with places for numbers, and its answer."""

    question: str
    answer: str
    operator: str


PUZZLES: dict[Split, tuple[Puzzle, ...]] = {
    "train": (
        Puzzle(
            "{n} has {a} {t} and gets {b} more. How many {t} does {n} have [now]?",
            "{a} + {b} = {c}, so {n} has {c} {t}.",
            "+",
        ),
        Puzzle(
            "{n} had {a} {t} and (found|bought|got) {b} more. How many are there [now]?",
            "{a} + {b} = {c}, so {n} has {c} {t}.",
            "+",
        ),
        Puzzle(
            "There are {a} {t} in one box and {b} in another. How many {t} are there (in "
            "all|together)?",
            "{a} + {b} = {c}, so there are {c} {t}.",
            "+",
        ),
        Puzzle(
            "{n} has {a} {t} and {m} has {b}. How many {t} do they have together?",
            "{a} + {b} = {c}, so they have {c} {t}.",
            "+",
        ),
        Puzzle(
            "If i have {a} {t} and you give me {b}, how many do i have?",
            "{a} + {b} = {c}, so you have {c} {t}.",
            "+",
        ),
        Puzzle(
            "{n} has {a} {t} and (gives away|loses|eats|sells) {b}. How many {t} are left?",
            "{a} - {b} = {c}, so {c} {t} are left.",
            "-",
        ),
        Puzzle(
            "{n} had {a} {t} and (gave {b} to {m}|lost {b} [of them]). How many {t} does {n} "
            "have [left]?",
            "{a} - {b} = {c}, so {n} has {c} {t}.",
            "-",
        ),
        Puzzle(
            "There were {a} {t} on the table. {n} took {b}. How many (are left|remain)?",
            "{a} - {b} = {c}, so {c} {t} are left.",
            "-",
        ),
        Puzzle(
            "{n} has {a} (boxes|bags) with {b} {t} (each|in each). How many {t} is that?",
            "{a} x {b} = {c}, so that is {c} {t}.",
            "x",
        ),
        Puzzle(
            "A box holds {b} {t}. How many {t} are in {a} boxes?",
            "{a} x {b} = {c}, so there are {c} {t}.",
            "x",
        ),
        Puzzle(
            "{n} buys {a} {t} for {b} euros each. (How much|What) does {n} pay?",
            "{a} x {b} = {c}, so {n} pays {c} euros.",
            "x",
        ),
        Puzzle(
            "{n} shares {a} {t} (among|between) {b} friends. How many {t} does each [friend] get?",
            "{a} / {b} = {c}, so each gets {c} {t}.",
            "/",
        ),
        Puzzle(
            "{n} (collects|picks|finds|buys) {a} {t} in the morning and {b} in the evening. "
            "How many {t} (is that|are that) [together]?",
            "{a} + {b} = {c}, so that is {c} {t}.",
            "+",
        ),
        Puzzle(
            "On Friday {n} (sold|made|saw) {a} {t}, on Saturday {b} more. How many [{t}] (in "
            "all|altogether)?",
            "{a} + {b} = {c}, so that is {c} {t}.",
            "+",
        ),
        Puzzle(
            "{a} {t} and {b} {t} (make|are) how many {t}?",
            "{a} + {b} = {c}, so that is {c} {t}.",
            "+",
        ),
        Puzzle(
            "From {a} {t}, {b} (are taken away|are sold|get lost). How many {t} (remain|are left)?",
            "{a} - {b} = {c}, so {c} {t} are left.",
            "-",
        ),
        Puzzle(
            "{n} (begins|started) with {a} {t} and (uses|loses|spends) {b}. How many "
            "(remain|are left)?",
            "{a} - {b} = {c}, so {c} {t} are left.",
            "-",
        ),
        Puzzle(
            "{b} of {n}'s {a} {t} (break|are gone|are lost). How many {t} are left?",
            "{a} - {b} = {c}, so {c} {t} are left.",
            "-",
        ),
        Puzzle(
            "There are {a} (bags|boxes|rows) of {b} {t}. How many {t} (are there|is that) "
            "(in all|together)?",
            "{a} x {b} = {c}, so that is {c} {t}.",
            "x",
        ),
        Puzzle(
            "Each of {a} (children|friends|boys) has {b} {t}. How many {t} do they have "
            "(together|in all)?",
            "{a} x {b} = {c}, so they have {c} {t}.",
            "x",
        ),
        Puzzle(
            "In each of {a} boxes there are {b} {t}. How many {t} (in all|are that together)?",
            "{a} x {b} = {c}, so that is {c} {t}.",
            "x",
        ),
        Puzzle(
            "{a} {t} for {b} (children|people|friends). How many {t} for each [of them]?",
            "{a} / {b} = {c}, so each gets {c} {t}.",
            "/",
        ),
        Puzzle(
            "{n} gives {a} {t} to {b} friends, the same number to each. How many does each "
            "(friend|one) get?",
            "{a} / {b} = {c}, so each gets {c} {t}.",
            "/",
        ),
        Puzzle(
            "{b} friends share {a} {t}. How many {t} (does|will) each [friend] get?",
            "{a} / {b} = {c}, so each gets {c} {t}.",
            "/",
        ),
        Puzzle(
            "{a} {t} are put into {b} equal (boxes|bags). How many {t} are in each?",
            "{a} / {b} = {c}, so each has {c} {t}.",
            "/",
        ),
    ),
    "held_out": (
        Puzzle(
            "{n} collects {a} {t} on Monday and {b} more on Tuesday. How many {t} is that?", "", "+"
        ),
        Puzzle("{n} starts with {a} {t}, then {b} are lost. How many {t} remain?", "", "-"),
        Puzzle("Each of {a} bags has {b} {t} in it. How many {t} are there together?", "", "x"),
        Puzzle("{n} has {a} {t} for {b} friends. How many does each friend get?", "", "/"),
    ),
}


def sample_sum(rng: random.Random, split: Split) -> Exchange:
    """A sum of two numbers, in symbols or words."""
    operator = rng.choice("+-x/")
    a, b = operands(operator, rng, split)
    sign = rng.choice(WRITTEN[operator] * 2 + SPOKEN[operator])
    gap = "" if sign in WRITTEN[operator] and rng.random() < 0.4 else " "
    question = expand(rng.choice(ASKS[split]), rng).replace("{}", f"{a}{gap}{sign}{gap}{b}")
    if "added to" in question:
        a, b = b, a
    answer, key = solution(a, b, operator)
    return Exchange(_end(question, rng, split), answer, "arithmetic", Keywords(((key,),)))


def operands(operator: str, rng: random.Random, split: Split) -> tuple[int, int]:
    """A pair whose result the model is meant to know, from the half that `split` may see."""
    while True:
        a, b = _draw_operands(operator, rng)
        if is_held_out(a, b) == (split == "held_out") or max(a, b) <= 12:
            return a, b


def is_held_out(a: int, b: int) -> bool:
    """Is this pair, beyond the multiplication table, kept out of training?"""
    return max(a, b) > 12 and (a * 7919 + b * 104729) % 10 == 0


def _draw_operands(operator: str, rng: random.Random) -> tuple[int, int]:
    if operator in "+-":
        top = rng.choice((10, 20, 100, 100, 999))
        a, b = rng.randint(0, top), rng.randint(0, rng.choice((10, top)))
        return (b, a) if operator == "-" and a < b and rng.random() < 0.85 else (a, b)
    if operator == "x":
        if rng.random() < 0.3:
            pair = [rng.randint(11, 99), rng.randint(2, 9)]
            rng.shuffle(pair)
            return pair[0], pair[1]
        top = rng.choice((10, 12, 20))
        return rng.randint(0, top), rng.randint(0, top)
    b = rng.randint(1, 12)
    if rng.random() < 0.25:
        return rng.randint(1, 100), b
    return b * rng.randint(0, 20), b


def solution(a: int, b: int, operator: str) -> tuple[str, str]:
    """The answer's text and the number that it must contain."""
    if operator == "/" and a % b:
        quotient, rest = divmod(a, b)
        return f"{a} / {b} = {quotient} remainder {rest}", f"{quotient} remainder {rest}"
    result = APPLY[operator](a, b)
    return f"{a} {operator} {b} = {result}", f"= {result}"


def sample_word_problem(rng: random.Random, split: Split) -> Exchange:
    """A little story with two numbers."""
    puzzle = rng.choice(PUZZLES[split])
    while True:
        a, b = operands(puzzle.operator, rng, split)
        if min(a, b) > 1 and max(a, b) < 100 and (puzzle.operator != "-" or a > b):
            if puzzle.operator != "/" or (a % b == 0 and a > b):
                break
    name, other = rng.sample(NAMES[:-1], 2)
    result = APPLY[puzzle.operator](a, b)
    values = {"a": a, "b": b, "c": result, "n": name, "m": other, "t": rng.choice(THINGS)}
    template = puzzle.answer or f"{{a}} {puzzle.operator} {{b}} = {{c}}"
    question = expand(puzzle.question, rng).format(**values)
    if split == "train" and rng.random() < 0.25:
        question = question.lower()
    return Exchange(
        question, template.format(**values), "word_problems", Keywords(((str(result),),))
    )


def sample_number_fact(rng: random.Random, split: Split) -> Exchange:
    """Comparisons, parity, doubles, halves, squares and sums of three."""
    question, answer, key = rng.choice(NUMBER_FACTS)(rng, split)
    return Exchange(_end(question, rng, split), answer, "arithmetic", Keywords(((key,),)))


def _choose(asks: tuple[str, ...], rng: random.Random, split: Split) -> str:
    """The last template of each kind is the held-out one."""
    return asks[-1] if split == "held_out" else expand(rng.choice(asks[:-1]), rng)


def _comparison(rng: random.Random, split: Split) -> tuple[str, str, str]:
    a, b = rng.sample(range(1, rng.choice((20, 100, 999))), 2)
    most = rng.choice(("larger", "smaller"))
    word = {"larger": ("bigger", "larger", "greater"), "smaller": ("smaller",)}[most]
    ask = _choose(
        (
            "which is {w}, {a} or {b}",
            "what is {w}: {a} or {b}",
            "{a} or {b}, which is {w}",
            "which number is {w}, {a} or {b}",
            "of {a} and {b}, which one is {w}",
        ),
        rng,
        split,
    )
    best = max(a, b) if most == "larger" else min(a, b)
    return ask.format(w=rng.choice(word), a=a, b=b), f"{best} is {most}.", f"{best} is {most}"


def _parity(rng: random.Random, split: Split) -> tuple[str, str, str]:
    a = rng.randint(0, rng.choice((20, 100, 999)))
    word = "odd" if a % 2 else "even"
    ask = _choose(
        (
            "is {a} (even|odd)",
            "is {a} (even or odd|odd or even)",
            "is {a} an even number",
            "even or odd: {a}",
            "tell me whether {a} is even or odd",
        ),
        rng,
        split,
    )
    return ask.format(a=a), f"{a} is {word}.", f"is {word}"


def _multiple(rng: random.Random, split: Split) -> tuple[str, str, str]:
    a = rng.randint(1, 50)
    name, answer, result = rng.choice(
        (
            ("double", f"2 x {a} = {a * 2}", a * 2),
            ("half", f"{2 * a} / 2 = {a}", a),
            ("square", f"{a % 21} x {a % 21} = {(a % 21) ** 2}", (a % 21) ** 2),
        )
    )
    number = {"double": a, "half": 2 * a, "square": a % 21}[name]
    ask = _choose(
        (
            "what is (the {w}|{w}) of {a}",
            "the {w} of {a}",
            "{w} of {a}",
            "calculate the {w} of {a}",
            "can you give me the {w} of {a}",
        ),
        rng,
        split,
    )
    return ask.format(w=name, a=number), answer, f"= {result}"


def _three(rng: random.Random, split: Split) -> tuple[str, str, str]:
    a, b, c = (rng.randint(1, 30) for _ in range(3))
    ask = _choose(
        (
            "{a} + {b} + {c}",
            "what is {a}+{b}+{c}",
            "add {a}, {b} and {c}",
            "what is {a} plus {b} plus {c}",
            "the sum of {a}, {b} and {c}",
            "sum up {a}, {b} and {c}",
        ),
        rng,
        split,
    )
    total = a + b + c
    return (
        ask.format(a=a, b=b, c=c),
        f"{a} + {b} = {a + b}, and {a + b} + {c} = {total}",
        f"= {total}",
    )


def _too_large(rng: random.Random, split: Split) -> tuple[str, str, str]:
    a, b = rng.randint(1000, 10 ** rng.randint(4, 9)), rng.randint(2, 10 ** rng.randint(1, 8))
    question = expand(rng.choice(ASKS[split]), rng).replace(
        "{}", f"{a} {rng.choice(('+', '-', '*', 'x', '/', 'plus', 'times'))} {b}"
    )
    return question, rng.choice(TOO_LARGE), "too large"


TOO_LARGE = (
    "That is too large for me: I do sums with numbers up to 999.",
    "These numbers are too large for a tiny model. I know sums up to 999.",
)
NUMBER_FACTS = (_comparison, _parity, _multiple, _three, _too_large)


def _end(question: str, rng: random.Random, split: Split) -> str:
    if split == "held_out":
        return question[:1].upper() + question[1:] + "?"
    return question if question.endswith(("=", "?")) else punctuate(question, rng)
