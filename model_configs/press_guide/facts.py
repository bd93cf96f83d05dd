"""The intents: what may be asked about modelpress and in small talk, with checked answers.

The content is data, in `facts/*.toml`; this module reads it strictly. An intent lists ways to
ask (`asks` as whole sentences, `topics` as noun phrases and `tasks` as verb phrases for the
frames of `phrasings`), ways to ask in passing (`follow_ups`), answers, and the groups of key
words that a right answer must contain. `wordings/*.toml` widens intents by further `asks`, and
by `words`: the concepts of a question, each a choice of synonyms, of which `phrasings` makes
loose questions. `held_out/*.toml` has the questions that are kept out of training and measure it.
"""

import tomllib
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from .exchanges import Keywords
from .expansion import parse

FOLDER = Path(__file__).parent / "facts"
WORDINGS = Path(__file__).parent / "wordings"
HELD_OUT = Path(__file__).parent / "held_out"
SMALL_TALK = "smalltalk"


@dataclass(frozen=True, slots=True)
class Intent:
    """One thing that can be asked, and what a right answer says."""

    id: str
    category: str
    asks: tuple[str, ...]
    answers: tuple[str, ...]
    keys: tuple[tuple[str, ...], ...]
    held_out: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    follow_ups: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    @property
    def check(self) -> Keywords:
        return Keywords(self.keys)


@cache
def intents() -> tuple[Intent, ...]:
    """All intents, in the order of the files; ValueError names what is wrong in which file."""
    found = [intent for path in sorted(FOLDER.glob("*.toml")) for intent in read_intents(path)]
    known = {intent.id for intent in found}
    if len(known) != len(found):
        raise ValueError("two intents share an id")
    for intent in found:
        if missing := set(intent.related) - known:
            raise ValueError(f"{intent.id}: related intents {sorted(missing)} do not exist")
    return tuple(found)


def project_intents() -> tuple[Intent, ...]:
    """The intents about modelpress and press-guide itself."""
    return tuple(intent for intent in intents() if intent.category != SMALL_TALK)


def read_intents(path: Path) -> tuple[Intent, ...]:
    """Decode a file of facts with its wordings and held-out questions; its stem is the category."""
    wordings, held_out = _tables(WORDINGS / path.name), _tables(HELD_OUT / path.name)
    found = tuple(_intent(table, path.stem) for table in _tables(path)["intent"])
    known = {intent.id for intent in found}
    if strangers := (set(wordings) - known) | (known ^ set(held_out)):
        raise ValueError(f"{path.name}: intents unknown or without questions: {sorted(strangers)}")
    return tuple(
        replace(_widened(intent, wordings.get(intent.id, {})), held_out=tuple(held_out[intent.id]))
        for intent in found
    )


def _tables(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _widened(intent: Intent, wordings: dict[str, list[str]]) -> Intent:
    if unknown := set(wordings) - {"asks", "words"}:
        raise ValueError(f"wordings of {intent.id}: unknown keys {sorted(unknown)}")
    asks, words = wordings.get("asks", []), wordings.get("words", [])
    for template in (*asks, *(f"({choice})" for choice in words)):
        parse(template)
    return replace(intent, asks=(*intent.asks, *asks), words=tuple(f"({w})" for w in words))


def _intent(table: dict[str, Any], category: str) -> Intent:
    name = table.get("id", "?")
    allowed = {field.name for field in fields(Intent)} - {"category", "words", "held_out"}
    if unknown := set(table) - allowed:
        raise ValueError(f"{category}.toml, intent {name}: unknown keys {sorted(unknown)}")
    lists = {key: _frozen(value) for key, value in table.items() if key != "id"}
    intent = Intent(id=name, category=category, **lists)
    for template in (*intent.asks, *intent.topics, *intent.tasks, *intent.follow_ups):
        parse(template)
    for answer in intent.answers:
        if not intent.check.passes(answer):
            raise ValueError(f"{category}.toml, intent {name}: answer fails its keys: {answer}")
    return intent


def _frozen(value: list[Any]) -> tuple[Any, ...]:
    return tuple(tuple(item) if isinstance(item, list) else item for item in value)
