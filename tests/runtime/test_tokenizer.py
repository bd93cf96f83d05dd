"""Streaming text: no character is split, no stop string is passed, no token costs more and more."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as HfTokenizers
from tokenizers import decoders, models

from runtime.fake import FakeTokenizer
from runtime.native.tokenizer import HfTokenizer, open_tokenizer
from runtime.tokenizer import Detokenizer, StopStrings, Tokenizer


class Counted(FakeTokenizer):
    """A tokenizer that remembers how many ids it was given to decode."""

    longest = 0

    def decode(self, ids: Sequence[int]) -> str:
        self.longest = max(self.longest, len(ids))
        return super().decode(ids)


def spaced_tokenizer() -> HfTokenizer:
    """Sentencepiece style: a leading space is dropped, and bytes fall back to <0x..> tokens."""
    words = ["<unk>", "▁Hello", "▁world", "!", *(f"<0x{b:02X}>" for b in range(256))]
    tokenizer = HfTokenizers(
        models.BPE(vocab={w: i for i, w in enumerate(words)}, merges=[], byte_fallback=True)
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return HfTokenizer(tokenizer)


def pieces(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    detokenizer = Detokenizer(tokenizer)
    return [*(detokenizer.push(i) for i in ids), detokenizer.finish()]


@given(st.text())
def test_any_text_comes_out_whole_a_character_at_a_time(text: str) -> None:
    streamed = pieces(FakeTokenizer(), list(text.encode()))
    assert "".join(streamed) == text
    assert all(len(piece) <= 1 or "\ufffd" in text for piece in streamed)


@given(st.lists(st.integers(0, 255), max_size=60))
def test_broken_bytes_come_out_as_the_tokenizer_reads_them(ids: list[int]) -> None:
    assert "".join(pieces(FakeTokenizer(), ids)) == FakeTokenizer().decode(ids)


def test_an_emoji_of_four_tokens_appears_with_its_last_byte() -> None:
    assert pieces(FakeTokenizer(), list("a🎉b".encode())) == ["a", "", "", "", "🎉", "b", ""]


def test_an_incomplete_character_at_the_end_is_shown_as_broken() -> None:
    assert pieces(FakeTokenizer(), list("é".encode())[:1]) == ["", "\ufffd"]


def test_spaces_between_words_survive_a_tokenizer_that_strips_the_first() -> None:
    euro = [4 + byte for byte in "€".encode()]
    ids = [1, 2, 3, *euro, 2, 2, *euro, *euro]
    assert "".join(pieces(spaced_tokenizer(), ids)) == "Hello world!€ world world€€"


def test_a_special_token_in_the_middle_does_not_eat_a_space() -> None:
    class Special(FakeTokenizer):
        """Drops a leading space, as sentencepiece does."""

        def decode(self, ids: Sequence[int]) -> str:
            return super().decode(ids).removeprefix(" ")

    ids = [*b"a b", 257, *b" c"]
    assert "".join(pieces(Special(), ids)) == "a b c"


@pytest.mark.parametrize("ids", [list(b"plain text " * 90), [0xFF] * 1000, [256] * 1000])
def test_the_window_does_not_grow_with_the_answer(ids: list[int]) -> None:
    counted = Counted()
    text = "".join(pieces(counted, ids))
    assert text == FakeTokenizer().decode(ids)
    assert counted.longest <= 20


def test_a_stop_string_is_cut_off_even_across_pieces() -> None:
    stops = StopStrings(["STOP"])
    assert [stops.push(p) for p in ["abS", "TO", "Sx", "ST", "OP", "more"]] == [
        "ab", "", "STOSx", "", "", "",
    ]  # fmt: skip
    assert stops.matched == "STOP"
    assert stops.finish() == ""


def test_what_was_held_back_comes_out_at_the_end() -> None:
    stops = StopStrings(["\n\nUser:"])
    assert stops.push("bye\n\nUs") == "bye"
    assert stops.finish() == "\n\nUs"


def test_a_stop_that_overlaps_itself_is_found() -> None:
    stops = StopStrings(["aab"])
    assert stops.push("aaab") == "a"
    assert stops.matched == "aab"


@given(
    st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=4),
    st.lists(st.text("abc", max_size=5), max_size=12),
)
def test_stops_agree_with_a_search_of_the_whole_text(stops: list[str], parts: list[str]) -> None:
    matcher = StopStrings(stops)
    given_out = "".join(matcher.push(part) for part in parts)
    given_out += matcher.finish()
    text = "".join(parts)
    ends = [text.index(stop) + len(stop) for stop in stops if stop in text]
    if not ends:
        assert given_out == text and matcher.matched is None
    else:
        found = [s for s in stops if text[: min(ends)].endswith(s)]
        assert given_out == text[: min(ends) - max(map(len, found))]


def test_special_tokens_in_the_text_become_single_ids() -> None:
    inner = HfTokenizers(models.BPE(vocab={"a": 0, "b": 1}, merges=[]))
    inner.add_special_tokens(["<|im_end|>"])
    tokenizer = open_tokenizer(inner.to_str(), None)
    assert tokenizer.encode("ab<|im_end|>a") == [0, 1, 2, 0]
    assert tokenizer.decode([0, 2, 1]) in ("ab", "a b")
