"""The page's tokenizer gives the ids and the text of the native one, on the demo model's."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page
from tokenizers import Tokenizer

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


def test_a_broken_tokenizer_file_is_a_format_error(page: Page) -> None:
    code = page.evaluate("harness.codeOf(async () => harness.Tokenizer.parse('{', undefined))")
    assert code == "bad_format"
