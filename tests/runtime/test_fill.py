"""Gaps that are filled in, and how single tokens are written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from runtime.api import Api
from runtime.completion_answer import FILL_MARKS
from runtime.errors import ModelpressError
from runtime.fake import FakeStorage, FakeTokenizer
from runtime.fake_executor import FakeExecutor
from runtime.fake_hub import fake_hub, fake_plan
from runtime.host import Host
from runtime.token_text import TokenText


class CodeTokenizer(FakeTokenizer):
    """A fake one that knows gaps."""

    SPECIAL: Mapping[str, int] = {
        "<s>": 256,
        "</s>": 257,
        "<|fim_prefix|>": 258,
        "<|fim_suffix|>": 259,
        "<|fim_middle|>": 260,
    }


def code_model(sequence: tuple[int, ...]) -> int:
    """Between "a" and "c" stands "b", then another gap, which ends it."""
    prompt = (256, 258, ord("a"), 259, ord("c"), 260)
    return ord("b") if sequence == prompt else 258


async def fill(tokenizer: FakeTokenizer, vocab: int) -> dict[str, Any]:
    plan = fake_plan(vocab_size=vocab)
    host = Host(
        FakeExecutor(code_model), FakeStorage(fake_hub(plan=plan)), lambda text, config: tokenizer
    )
    asked = {"model": "fake", "prompt": "a", "suffix": "c"}
    answer: dict[str, Any] = json.loads(await Api(host).completion(json.dumps(asked)))
    return answer


async def test_a_gap_is_told_by_the_models_own_tokens_and_filled() -> None:
    answer = await fill(CodeTokenizer(), 261)
    assert answer["choices"][0] == answer["choices"][0] | {"text": "b", "finish_reason": "stop"}
    assert answer["usage"]["prompt_tokens"] == 6


async def test_a_model_without_such_tokens_says_so() -> None:
    with pytest.raises(ModelpressError) as caught:
        await fill(FakeTokenizer(), 261)
    assert caught.value.code == "bad_request" and caught.value.details["param"] == "suffix"


def test_what_comes_behind_the_gap_is_told_first_where_that_is_the_habit() -> None:
    assert FILL_MARKS[-1].written("a", "c") == "[SUFFIX]c[PREFIX]a"
    assert FILL_MARKS[1].written("a", "c") == "<fim_prefix>a<fim_suffix>c<fim_middle>"


class PieceTokenizer(FakeTokenizer):
    """A vocabulary of given pieces; its text "a b" is all of them."""

    def __init__(self, *pieces: str) -> None:
        self.pieces = pieces

    def encode(self, text: str) -> list[int]:
        return list(range(len(self.pieces)))

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.pieces[i] for i in ids)

    def piece(self, token: int) -> str | None:
        return self.pieces[token] if token < len(self.pieces) else None


def test_bytes_are_read_from_their_stand_ins() -> None:
    texts = TokenText(PieceTokenizer("Ġb", "Ã©", "Ġ", "ðŁĺ", "<|im_end|>", "Ċ"))
    found = [texts.bytes_of(token) for token in range(6)]
    assert found == [b" b", b"\xc3\xa9", b" ", b"\xf0\x9f\x98", b"<|im_end|>", b"\n"]
    assert texts.text_of(3) == "\ufffd" and texts.text_of(1) == "é"


def test_pieces_and_their_single_bytes_are_read() -> None:
    texts = TokenText(PieceTokenizer("▁b", "é", "<0xF0>", "▁▁", "</s>"))
    found = [texts.bytes_of(token) for token in range(5)]
    assert found == [b" b", "é".encode(), b"\xf0", b"  ", b"</s>"]
    assert texts.bytes_of(99) == b""
