"""Grammars over the vocabulary of the demo model, and a machine without the package."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import ModelpressError
from runtime.grammar.constraint import GrammarConstraint
from runtime.grammar.matcher import Vocabulary
from runtime.grammar.schema import schema_value
from runtime.native.grammar import NO_TOKEN, XgrammarGrammars, token_bytes, xgrammar_module
from runtime.native.tokenizer import HfTokenizer, open_tokenizer
from runtime.response_format import grammar_text

CHECKPOINT = Path(__file__).resolve().parents[3] / "model_configs/press_guide/checkpoint"
SCHEMA: Any = {
    "properties": {"a very long name": {"type": "boolean"}},
    "required": ["a very long name"],
}


@pytest.fixture(scope="module")
def tokenizer() -> HfTokenizer:
    return open_tokenizer((CHECKPOINT / "tokenizer.json").read_text(encoding="utf-8"), None)


def vocabulary(tokenizer: HfTokenizer) -> Vocabulary:
    size = next(i for i in range(10**6) if tokenizer.piece(i) is None)
    return Vocabulary(size + 5, frozenset({min(tokenizer.special_ids())}))


def test_tokens_are_written_as_they_are_read(tokenizer: HfTokenizer) -> None:
    pieces = token_bytes(tokenizer, vocabulary(tokenizer))
    text = 'Grüße, 日本! {"a": [1]}\n'
    assert b"".join(pieces[token] for token in tokenizer.encode(text)).decode() == text
    assert all(pieces[token] == NO_TOKEN for token in tokenizer.special_ids())
    assert pieces[-5:] == [NO_TOKEN] * 5, "the model has more logits than tokens"


async def test_what_must_come_is_given_in_the_models_own_tokens(tokenizer: HfTokenizer) -> None:
    described = vocabulary(tokenizer)
    grammar = grammar_text(lambda g: schema_value(g, SCHEMA, "schema"), "schema")
    constraint = GrammarConstraint(XgrammarGrammars(tokenizer, described), grammar, tokenizer)
    assert constraint.forced() == (), "nothing is compiled yet"
    assert await constraint.mask()
    forced = constraint.forced()
    assert forced and '{"a very long name": '.startswith(tokenizer.decode(forced))
    for token in forced:
        constraint.accept(token)
    with pytest.raises(ModelpressError, match="does not allow"):
        constraint.accept(tokenizer.encode("Z")[0])


def test_a_machine_without_the_package_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(ModelpressError, match="pip install --no-deps xgrammar==") as caught:
        xgrammar_module.__wrapped__()
    assert caught.value.code == "unsupported_device"
