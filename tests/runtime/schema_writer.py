"""Random texts under a schema's grammar, and what a validator says of them.

    python -m tests.runtime.schema_writer FOLDER [TEXTS]

runs every case of the JSON Schema Test Suite in FOLDER (its `tests/draft2020-12`, which the source
distribution of the package `jsonschema` holds under `json/`): TEXTS random texts for each schema
that is not refused, all of which must be valid.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from runtime.errors import ModelpressError
from runtime.fake import FakeTokenizer
from runtime.grammar.matcher import Matcher, Vocabulary
from runtime.grammar.schema import schema_value
from runtime.native.grammar import XgrammarGrammars
from runtime.response_format import grammar_text

STOP = 257
WORDS = (
    '", "',
    '": ',
    '{"',
    '"}',
    "}, {",
    "]]",
    "true",
    "null",
    "foo",
    "bar",
    "é",
    "日本",
    "12",
    "0.5",
)
PATIENCE, END = 120, 3000
"""Tokens until the writer tries to come to an end, and until it gives up."""
OTHER_DIALECT = "ecmascript-regex.json"
"""Here the validator, whose patterns are Python's, is not the judge."""


class WordTokenizer(FakeTokenizer):
    """Bytes, and some longer tokens across the seams of JSON."""

    VOCAB_SIZE = 258 + len(WORDS)

    def piece(self, token: int) -> str | None:
        """As written."""
        return WORDS[token - 258] if token >= 258 else super().piece(token)


@dataclass(frozen=True, slots=True)
class Writer:
    """Draws under a mask, as a model of random weights would."""

    grammars: XgrammarGrammars
    pieces: tuple[bytes, ...]

    @classmethod
    def open(cls) -> Writer:
        """Over the words above."""
        tokenizer = WordTokenizer()
        vocabulary = Vocabulary(tokenizer.VOCAB_SIZE, frozenset({STOP}))
        pieces = [bytes([token]) for token in range(256)] + [b"", b""]
        pieces += [word.encode() for word in WORDS]
        return cls(XgrammarGrammars(tokenizer, vocabulary), tuple(pieces))

    async def write(self, grammar: str, seed: int) -> str | None:
        """A text; None when it came to no end."""
        matcher, draw = await self.grammars.matcher(grammar), random.Random(seed)
        written = b""
        for count in range(END):
            allowed = await self._allowed(matcher)
            assert allowed, f"nothing may follow {written!r}"
            token = self._drawn(allowed, draw, ends=count > PATIENCE)
            assert matcher.accept(token)
            if token == STOP:
                return written.decode(errors="replace")
            written += self.pieces[token]
        return None

    async def _allowed(self, matcher: Matcher) -> list[int]:
        mask = await matcher.mask()
        return [t for t in range(len(self.pieces)) if mask[t // 8] >> t % 8 & 1]

    def _drawn(self, allowed: list[int], draw: random.Random, *, ends: bool) -> int:
        if STOP in allowed and (ends or draw.random() < 0.3):
            return STOP
        if ends:
            for closers in (b"}]", b'"'):
                closing = [t for t in allowed if self.pieces[t] and self.pieces[t] in closers]
                if closing and draw.random() < 0.7:
                    return draw.choice(closing)
        plain = [t for t in allowed if self.pieces[t].isascii()]
        return draw.choice(plain if plain and draw.random() < 0.9 else allowed)


def fault(schema: Any, text: str) -> str | None:
    """Why `text` is no valid value; None when it is one."""
    try:
        value = json.loads(text)
    except ValueError as error:
        return f"no JSON ({error})"
    errors = jsonschema.Draft202012Validator(schema).iter_errors(value)
    return next((error.message for error in errors), None)


def cases(folder: Path) -> Iterator[tuple[str, Any]]:
    """Name and schema of every case."""
    for path in sorted(folder.rglob("*.json")):
        for case in json.loads(path.read_text(encoding="utf-8")):
            yield f"{path.name}: {case['description']}", case["schema"]


async def run(folder: Path, texts: int) -> int:
    """Print what came out; the number of faults."""
    writer, counted, reasons = Writer.open(), Counter[str](), Counter[str]()
    for name, schema in cases(folder):
        try:
            grammar = grammar_text(lambda g, s=schema: schema_value(g, s, "schema"), "schema")  # type: ignore[misc]
        except ModelpressError as error:
            counted["refused"] += 1
            reasons[error.message] += 1
            continue
        counted["schemas"] += 1
        for seed in range(texts):
            text = await writer.write(grammar, seed)
            counted["texts" if text is not None else "unfinished"] += 1
            wrong = None if text is None or OTHER_DIALECT in name else fault(schema, text)
            if wrong:
                counted["faults"] += 1
                print(f"FAULT {name}: {text!r:.200}: {wrong}")
    for reason, times in sorted(reasons.items()):
        print(f"{times:4} {reason}")
    print(dict(counted))
    return counted["faults"]


if __name__ == "__main__":
    sys.exit(asyncio.run(run(Path(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else 8)) > 0)
