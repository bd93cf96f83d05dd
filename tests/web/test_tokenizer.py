"""The page's tokenizer gives the ids and the text of the native one, on the demo model's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page
from tokenizers import Tokenizer

from tests.web.bert_tokenizer import tiny_bert_tokenizer

pytestmark = pytest.mark.browser

TOKENIZER = Path(__file__).parents[2] / "model_configs/press_guide/checkpoint/tokenizer.json"
TEXTS = [
    "Hello, world!",
    "  two  spaces,\n\nlines\tand tabs ",
    "naïve café, Ünïcödé, 中文, emoji 👩‍👩‍👧 and a flag 🇳🇱",
    "numbers 1234567890 3.14159",
    "<|user|>special<|end|> and not < |user| >",
    "don't I'll we've SHOUTING's",
    "",
]


def test_ids_and_text_are_those_of_the_native_library(page: Page) -> None:
    native = Tokenizer.from_file(str(TOKENIZER))
    specials = [t.content for t in native.get_added_tokens_decoder().values()]
    texts = [*TEXTS, "".join(f"{s} text " for s in specials)]
    found = page.evaluate(
        """([text, texts]) => {
            const tokenizer = harness.Tokenizer.parse(text, undefined);
            return texts.map((item) => {
              const ids = [...tokenizer.encode(item)];
              return [ids, tokenizer.decode(ids), ids.map((id) => tokenizer.decode([id]))];
            });
        }""",
        [TOKENIZER.read_text(encoding="utf-8"), texts],
    )
    for text, (ids, decoded, pieces) in zip(texts, found, strict=True):
        expected = native.encode(text, add_special_tokens=False).ids
        assert ids == expected, text
        assert decoded == native.decode(expected), text
        assert pieces == [native.decode([i]) for i in expected], text


BERT_TEXTS = [
    "",
    "The un-affable play, playing! 1 1.",
    "[CLS] the[MASK]play [sep]",
    "ΑΣ ΣΑΣ ÀÉ ﬁ İstanbul ß naïve e\u0301",
    "中文 \U00020000\U0002a6df\U0002f800 a\U00020000a 👩‍👩‍👧",
    "a\u0000b\ufffd\u200ba\u00adb\u00a0a\u3000b\u0085a\u000bb",
    "a" * 20 + " " + "a" * 21,
]


@pytest.mark.parametrize("lowercase", [True, False])
def test_berts_tokenizer_is_that_of_the_native_library(page: Page, lowercase: bool) -> None:
    native = tiny_bert_tokenizer(lowercase=lowercase)
    # Every character that is taken otherwise than the one before or behind it.
    edges = sorted({p + d for run in character_runs() for p in run for d in (-1, 0, 1)})
    points = [p for p in edges if 0 <= p < 0x110000 and not 0xD800 <= p < 0xE000]
    texts = [*BERT_TEXTS, " ".join(f"a{chr(point)}a" for point in points)]
    found = page.evaluate(
        """([text, texts]) => {
            const tokenizer = harness.Tokenizer.parse(text, undefined);
            return texts.map((t) => [[...tokenizer.encode(t)], [...tokenizer.encodeWhole(t)]]);
        }""",
        [native.to_str(), texts],
    )
    for text, (bare, whole) in zip(texts, found, strict=True):
        assert bare == native.encode(text, add_special_tokens=False).ids, text[:80]
        assert whole == native.encode(text, add_special_tokens=True).ids, text[:80]


def character_runs() -> list[tuple[int, ...]]:
    """The runs of code points that the page's tables are made of."""
    table = (TOKENIZER.parents[3] / "runtime/web/bert_characters.ts").read_text(encoding="utf-8")
    lines = " ".join(re.findall('"([^"]+)"', table))
    found = re.findall(r"\b([0-9a-f]+)(?:-([0-9a-f]+))?\b", lines)
    return [tuple(int(end, 16) for end in run if end) for run in found]


def test_a_broken_tokenizer_file_is_a_format_error(page: Page) -> None:
    code = page.evaluate("harness.codeOf(async () => harness.Tokenizer.parse('{', undefined))")
    assert code == "bad_format"
