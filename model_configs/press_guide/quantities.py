"""Units and the calendar: conversions with whole numbers, days, months and leap years."""

import random
from collections.abc import Callable

from .exchanges import Exchange, Keywords, Split
from .expansion import expand
from .phrasings import punctuate

UNITS = (
    ("minutes", "seconds", 60, 12),
    ("hours", "minutes", 60, 12),
    ("days", "hours", 24, 10),
    ("weeks", "days", 7, 20),
    ("years", "months", 12, 12),
    ("kilometres", "metres", 1000, 99),
    ("metres", "centimetres", 100, 99),
    ("centimetres", "millimetres", 10, 99),
    ("kilograms", "grams", 1000, 99),
    ("tons", "kilograms", 1000, 50),
    ("litres", "millilitres", 1000, 50),
    ("KiB", "bytes", 1024, 1),
    ("MiB", "KiB", 1024, 1),
    ("GiB", "MiB", 1024, 1),
    ("bytes", "bits", 8, 20),
    ("euros", "cents", 100, 99),
    ("dozens", "pieces", 12, 12),
    ("feet", "inches", 12, 12),
    ("decades", "years", 10, 20),
    ("centuries", "years", 100, 20),
)
SHORT = {
    "kilometres": ("km", "kilometers"),
    "metres": ("m", "meters"),
    "centimetres": ("cm",),
    "millimetres": ("mm",),
    "kilograms": ("kg", "kilos"),
    "grams": ("g",),
    "litres": ("l", "liters"),
    "millilitres": ("ml",),
    "minutes": ("min",),
    "seconds": ("s",),
    "hours": ("h",),
    "KiB": ("kibibytes",),
    "MiB": ("mebibytes",),
    "GiB": ("gibibytes",),
}
SINGULAR = {
    "centuries": "century",
    "feet": "foot",
    "inches": "inch",
    "KiB": "KiB",
    "MiB": "MiB",
    "GiB": "GiB",
}
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
CONVERT = (
    "how many {v} are {n} {u}",
    "how many {v} are in {n} {u}",
    "how many {v} (is|make) {n} {u}",
    "convert {n} {u} to {v}",
    "{n} {u} in {v}",
    "what is {n} {u} in {v}",
    "{n} {u} to {v}",
    "how many {v} (does|do) {n} {u} have",
    "what is {n} {u} as {v}",
    "i have {n} {u}, how many {v} is that",
    "express {n} {u} in {v}",
    "turn {n} {u} into {v}",
    "how many {v} do i need for {n} {u}",
    "give me {n} {u} as {v}",
)
Fact = tuple[str, str, str]


def sample_unit(rng: random.Random, split: Split) -> Exchange:
    """Convert a whole number of a larger unit to a smaller one, or back."""
    large, small, factor, top = rng.choice(UNITS)
    count = rng.randint(1, top)
    many, few = (count * factor, count)
    backwards = rng.random() < 0.35
    n, u, v, result = (many, small, large, few) if backwards else (few, large, small, many)
    asks = CONVERT[-2:] if split == "held_out" else CONVERT[:-2]
    question = expand(rng.choice(asks), rng).format(
        n=n, u=_alias(_number_form(u, n), rng), v=_alias(v, rng)
    )
    are = "is" if n == 1 else "are"
    answer = f"{n} {_number_form(u, n)} {are} {result} {_number_form(v, result)}."
    return Exchange(_end(question, rng, split), answer, "units", Keywords(((f"{are} {result}",),)))


def _number_form(unit: str, count: int) -> str:
    return SINGULAR.get(unit, unit.removesuffix("s")) if count == 1 else unit


def _alias(unit: str, rng: random.Random) -> str:
    return rng.choice(SHORT[unit]) if unit in SHORT and rng.random() < 0.4 else unit


def sample_date(rng: random.Random, split: Split) -> Exchange:
    """A question on weekdays, months, leap years, or on the present, which nobody here knows."""
    question, answer, key = rng.choice(DATE_FACTS)(rng, split)
    return Exchange(_end(question, rng, split), answer, "dates", Keywords(((key,),)))


def _choose(asks: tuple[str, ...], rng: random.Random, split: Split) -> str:
    """The last template of each kind is the held-out one."""
    return asks[-1] if split == "held_out" else expand(rng.choice(asks[:-1]), rng)


def _neighbour(rng: random.Random, split: Split) -> Fact:
    names, kind = rng.choice(((DAYS, "day"), (MONTHS, "month")))
    at, (step, word) = rng.randrange(len(names)), rng.choice(((1, "after"), (-1, "before")))
    other = names[(at + step) % len(names)]
    ask = _choose(
        (
            "(what|which) {k} (comes|is) {w} {d}",
            "the {k} {w} {d}",
            "what is {w} {d}",
            "which {k} comes right {w} {d}",
            "tell me the {k} {w} {d}",
            "{w} {d} comes which {k}",
            "give me the {k} {w} {d}",
            "say the {k} {w} {d}",
            "name the {k} that comes {w} {d}",
        ),
        rng,
        split,
    )
    return ask.format(k=kind, w=word, d=names[at]), f"{other} comes {word} {names[at]}.", other


def _days_later(rng: random.Random, split: Split) -> Fact:
    at, count = rng.randrange(7), rng.randint(2, 10)
    other = DAYS[(at + count) % 7]
    ask = _choose(
        (
            "what day is {n} days after {d}",
            "(what|which) day is it {n} days after {d}",
            "today is {d}, (what|which) day is it in {n} days",
            "if today is {d}, what day will it be in {n} days",
            "it is {d} now, which day comes {n} days later",
        ),
        rng,
        split,
    )
    return ask.format(n=count, d=DAYS[at]), f"{count} days after {DAYS[at]} it is {other}.", other


def _month_length(rng: random.Random, split: Split) -> Fact:
    at = rng.randrange(12)
    days = "28 days, and 29 in a leap year" if at == 1 else f"{LENGTHS[at]} days"
    ask = _choose(
        (
            "how many days (does|has) {m} [have]",
            "how many days are (in|there in) {m}",
            "how long is {m}",
            "days in {m}",
            "the number of days in {m}",
            "what is the length of {m} in days",
        ),
        rng,
        split,
    )
    return ask.format(m=MONTHS[at]), f"{MONTHS[at]} has {days}.", str(LENGTHS[at])


def _month_number(rng: random.Random, split: Split) -> Fact:
    at = rng.randrange(12)
    ask = _choose(
        (
            "(which|what) number is {m}",
            "what number of month is {m}",
            "which month of the year is {m}",
            "the number of {m}",
            "{m} is which month",
            "tell me the number of {m}",
            "what is the number of the month {m}",
        ),
        rng,
        split,
    )
    return ask.format(m=MONTHS[at]), f"{MONTHS[at]} is month {at + 1}.", f"month {at + 1}"


def _leap_year(rng: random.Random, split: Split) -> Fact:
    year = rng.randint(1900, 2100)
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    ask = _choose(
        (
            "is {y} a leap year",
            "was {y} a leap year",
            "will {y} be a leap year",
            "leap year {y}",
            "does {y} have 366 days",
            "tell me if {y} is a leap year",
        ),
        rng,
        split,
    )
    text = f"Yes, {year} is a leap year." if leap else f"No, {year} is not a leap year."
    return ask.format(y=year), text, "is a leap year" if leap else "is not a leap year"


def _calendar(rng: random.Random, split: Split) -> Fact:
    what, answer, key = rng.choice(
        (
            ("days are in a week", "A week has 7 days.", "7"),
            ("days are in a year", "A year has 365 days, and 366 in a leap year.", "365"),
            ("months are in a year", "A year has 12 months.", "12"),
            ("weeks are in a year", "A year has about 52 weeks.", "52"),
            ("hours are in a day", "A day has 24 hours.", "24"),
            ("days are in a leap year", "A leap year has 366 days.", "366"),
            ("minutes are in a day", "A day has 1440 minutes.", "1440"),
            ("seasons are in a year", "A year has four seasons.", "four"),
        )
    )
    ask = _choose(
        ("how many {w}", "do you know how many {w}", "tell me how many {w}", "say how many {w}"),
        rng,
        split,
    )
    return ask.format(w=what), answer, key


def _now(rng: random.Random, split: Split) -> Fact:
    what = rng.choice(("time", "day", "date", "year", "month"))
    ask = _choose(
        (
            "what {w} is it [now|today]",
            "what is the {w} [today|now]",
            "(which|what) {w} is it",
            "tell me the {w}",
            "do you know the {w}",
            "what is today's {w}",
            "(can|could) you tell me the {w} [of today]",
            "look up the {w}",
            "(give|show|say) me the [current|exact] {w}",
            "current {w}",
            "today's {w}",
            "which {w} do we have [today]",
            "i need to know the {w}",
            "check the {w} for me",
            "could you look up the {w} for me",
        ),
        rng,
        split,
    )
    answer = rng.choice(
        (
            "I cannot know that: I have no clock and no calendar.",
            "I have no clock and no calendar, so I cannot tell. Your device can.",
        )
    )
    return ask.format(w=what), answer, "no clock"


DATE_FACTS: tuple[Callable[[random.Random, Split], Fact], ...] = (
    _neighbour,
    _days_later,
    _month_length,
    _month_number,
    _leap_year,
    _calendar,
    _now,
)


def _end(question: str, rng: random.Random, split: Split) -> str:
    if split == "held_out":
        return question[:1].upper() + question[1:] + "?"
    return punctuate(question.lower() if rng.random() < 0.2 else question, rng)
