"""Texts to try a model on: its answers, or pieces of a file, some of them held back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from hub import synthetic
from hub.errors import SourceError
from hub.rounding import Floats
from hub.texts import ANSWER, answered, questions, read_texts

CHAT = synthetic.tokenizer_files(300)


def counting(tokens: Sequence[int], pos: int) -> Floats:
    """Says that the next token is the position it stands at."""
    logits = np.zeros((len(tokens), 300), np.float32)
    logits[np.arange(len(tokens)), pos + 1 + np.arange(len(tokens))] = 1
    return logits


def test_an_answer_ends_at_a_stop_token_or_is_long_enough() -> None:
    assert answered((9, 9, 9), counting, [5], 100) == (9, 9, 9, 3, 4, 5)
    assert answered((9, 9, 9), counting, [], 6) == (9, 9, 9, 3, 4, 5)
    assert len(answered((9,), counting, [], 100)) == 1 + ANSWER


def test_every_suggestion_is_asked() -> None:
    asked = questions(CHAT, None, ["One?", "Two?"], 20)
    assert len(asked) == 2 and asked[0] != asked[1] and len(asked[0]) == 20


def test_every_fourth_piece_of_a_file_is_kept_to_measure_with(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("abcdefgh" * 10)
    texts = read_texts(file, CHAT, 10)
    assert texts.name == "a.txt"
    assert (len(texts.calibration), len(texts.measured)) == (6, 2)
    assert all(len(text) == 10 for text in (*texts.calibration, *texts.measured))


def test_a_short_file_still_gives_four_pieces(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("abcdefgh" * 2)
    texts = read_texts(file, CHAT, 256)
    assert (len(texts.calibration), len(texts.measured)) == (3, 1)


@pytest.mark.parametrize("content", [b"abc", b"\xff\xfe\xff" * 99])
def test_a_file_that_is_no_text_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(content)
    with pytest.raises(SourceError, match=r"a\.bin"):
        read_texts(file, CHAT, 256)
    with pytest.raises(SourceError, match="cannot be read"):
        read_texts(tmp_path / "none.txt", CHAT, 256)
