"""Tokenizers rebuilt from GGUF metadata encode and decode as those they were made from."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, pre_tokenizers

from hub.errors import CheckpointError, HubError, UnsupportedError
from hub.gguf_documents import chat_documents
from hub.gguf_header import GgufHeader
from hub.gguf_pieces import merges_of_scores
from hub.gguf_splits import SPLITS
from hub.gguf_tokenizer import Vocabulary, tokenizer_json
from tests.reference.checkpoints import press_guide_folder

TEXTS = (
    "How do I publish a site?",
    "  two  spaces\tand\n\nlines \r\n",
    "don't WE'LL 1234567 3.14 x2",
    "naïve Ünïcödé ﬁ ½ 漢字かな 한국어 עברית",
    "emoji 👩‍👩‍👧 e\u0301 \u200b\ufeff\x00\x7f",
    "<|im_start|>user\nHi<|im_end|>",
    "",
)
PIECES = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
WORDS = ["▁", "a", "b", "c", "n", "an", "▁a", "▁an", "ba", "nan", "ban", "ana", "▁banana", "▁▁"]
KINDS = [2, 3, 3, *[6] * 256, *[1] * len(WORDS)]


def header(**settings: Any) -> GgufHeader:
    return GgufHeader("m.gguf", {f"tokenizer.ggml.{k}": v for k, v in settings.items()}, {})


def of_guide(**changes: Any) -> tuple[Tokenizer, GgufHeader]:
    """The demo model's tokenizer, and a head that holds it."""
    text = (press_guide_folder() / "tokenizer.json").read_text(encoding="utf-8")
    data = json.loads(text)
    vocab = data["model"]["vocab"]
    special = {item["id"] for item in data["added_tokens"]}
    made = {
        "model": "gpt2",
        "pre": "smollm",
        "tokens": sorted(vocab, key=lambda token: vocab[token]),
        "token_type": [3 if id in special else 1 for id in range(len(vocab))],
        "merges": [" ".join(merge) for merge in data["model"]["merges"]],
        "eos_token_id": 2,
    }
    return Tokenizer.from_str(text), header(**made | changes)


def rebuilt(head: GgufHeader) -> Tokenizer:
    return Tokenizer.from_str(json.dumps(tokenizer_json(Vocabulary.read(head))))


def test_a_byte_level_tokenizer_is_the_same_on_any_text() -> None:
    original, head = of_guide()
    again = rebuilt(head)
    for text in TEXTS:
        ids = original.encode(text).ids
        assert again.encode(text).ids == ids, text
        for skip in (True, False):
            assert again.decode(ids, skip_special_tokens=skip) == original.decode(
                ids, skip_special_tokens=skip
            )


@pytest.mark.parametrize(
    ("pre", "pieces"),
    [
        ("llama-bpe", ["I", "'ll", "Ġpay", "Ġ", "123", "45", "ĊĊ", "Ġ", "Ġx"]),
        ("qwen2", ["I", "'ll", "Ġpay", "Ġ", *"12345", "ĊĊ", "Ġ", "Ġx"]),
        ("gpt-4o", ["I'll", "Ġpay", "Ġ", "123", "45", "ĊĊ", "Ġ", "Ġx"]),
        ("tekken", ["I", "'ll", "Ġpay", "Ġ", *"12345", "ĊĊ", "Ġ", "Ġx"]),
        ("gpt-2", ["I", "'ll", "Ġpay", "Ġ12345", "ĊĊĠ", "Ġx"]),
        ("smollm", ["I", "'ll", "Ġpay", "Ġ", *"12345", "ĊĊĠ", "Ġx"]),
    ],
)
def test_text_is_cut_as_the_file_says(pre: str, pieces: list[str]) -> None:
    document = json.dumps(tokenizer_json(Vocabulary.read(of_guide(pre=pre)[1])))
    cut = Tokenizer.from_str(document).pre_tokenizer.pre_tokenize_str("I'll pay 12345\n\n  x")
    assert [piece for piece, _ in cut] == pieces


@pytest.mark.parametrize("pre", sorted(SPLITS))
def test_every_way_to_cut_gives_every_byte_back(pre: str) -> None:
    tokenizer = rebuilt(of_guide(pre=pre)[1])
    for text in TEXTS:
        if SPLITS[pre].normalizer is None:
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            assert tokenizer.decode(ids, skip_special_tokens=False) == text


def of_pieces(**changes: Any) -> GgufHeader:
    scores = [0.0] * len(PIECES) + [-float((7 * i) % len(WORDS)) for i in range(len(WORDS))]
    made = {
        "model": "llama",
        "tokens": [*PIECES, *WORDS],
        "token_type": KINDS,
        "scores": scores,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "unknown_token_id": 0,
    }
    return header(**made | changes)


def joined_by_score(head: GgufHeader, text: str) -> list[str]:
    """SentencePiece's way: join the neighbours whose piece has the best score, first one first."""
    scores = {
        t: s for t, s in zip(WORDS, head.metadata["tokenizer.ggml.scores"][259:], strict=True)
    }
    pieces = list("▁" + text.replace(" ", "▁"))
    while True:
        pairs = [a + b for a, b in itertools.pairwise(pieces)]
        best = max((p for p in pairs if p in scores), key=lambda p: scores[p], default=None)
        if best is None:
            break
        at = pairs.index(best)
        pieces[at : at + 2] = [best]
    known = [[p] if p in scores else [f"<0x{b:02X}>" for b in p.encode()] for p in pieces]
    return [piece for group in known for piece in group]


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="abcn zé", max_size=20))
def test_pieces_are_joined_in_the_order_of_their_scores(text: str) -> None:
    head = of_pieces()
    tokenizer = rebuilt(head)
    if text:
        got = tokenizer.encode(text, add_special_tokens=False)
        assert got.tokens == joined_by_score(head, text)
        assert tokenizer.decode(got.ids) == text


def test_a_sequence_of_pieces_starts_with_its_first_token() -> None:
    assert rebuilt(of_pieces()).encode("a").tokens == ["<s>", "▁a"]
    assert rebuilt(of_pieces(add_bos_token=False)).encode("a").tokens == ["▁a"]
    assert rebuilt(of_pieces(add_space_prefix=False)).encode("a").tokens == ["<s>", "a"]


def test_special_text_is_one_token() -> None:
    assert rebuilt(of_pieces()).encode("a</s>", add_special_tokens=False).ids[-1] == 2


def test_merges_follow_scores_and_then_ids() -> None:
    assert merges_of_scores({"a": 0, "b": 0, "ab": -2, "ba": -1, "aba": -3}) == [
        "b a",
        "a b",
        "a ba",
        "ab a",
    ]


def test_fillers_of_a_padded_vocabulary_are_left_out() -> None:
    _, head = of_guide()
    tokens = [*head.metadata["tokenizer.ggml.tokens"], "[PAD1]", "[PAD1]"]
    kinds = [*head.metadata["tokenizer.ggml.token_type"], 5, 5]
    assert rebuilt(of_guide(tokens=tokens, token_type=kinds)[1]).token_to_id("[PAD1]") is None


def test_the_documents_name_special_tokens_and_what_ends_an_answer() -> None:
    head = of_pieces(eot_token_id=2, eom_token_id=1)
    metadata = {**head.metadata, "tokenizer.chat_template": "{{ bos_token }}"}
    made = chat_documents(GgufHeader("m.gguf", metadata, {}))
    settings = json.loads(made.documents["tokenizer_config.json"])
    assert settings == {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    assert made.documents["chat_template.jinja"] == b"{{ bos_token }}"
    assert (made.bos_token_id, made.stop_token_ids) == (1, (1, 2))


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        (UnsupportedError, {"model": "t5"}, "tokenizer 't5' is not rebuilt"),
        (UnsupportedError, {"pre": "novel"}, "tokenizer.ggml.pre 'novel' is not known"),
        (UnsupportedError, {"tokens": [], "token_type": []}, "holds no tokens"),
        (CheckpointError, {"token_type": [1]}, "do not fit together"),
        (CheckpointError, {"tokens": ["a", "a"], "token_type": [1, 1]}, "'a' is there twice"),
        (CheckpointError, {"tokens": [1, 2]}, "tokens is of another type"),
        (CheckpointError, {"eos_token_id": 99999}, "eos_token_id 99999 is none of the"),
    ],
)
def test_what_cannot_be_rebuilt_is_refused(
    kind: type[HubError], changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(kind) as caught:
        chat_documents(of_guide(**changes)[1])
    assert words in str(caught.value)
    assert "m.gguf" in str(caught.value)


def test_the_alphabet_of_bytes_is_complete_in_the_demo_model() -> None:
    """What `test_every_way_to_cut_gives_every_byte_back` rests on."""
    assert set(pre_tokenizers.ByteLevel.alphabet()) <= set(of_guide()[0].get_vocab())
