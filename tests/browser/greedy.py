"""The committed reference as text: what a browser must answer."""

from __future__ import annotations

import json

from tokenizers import Tokenizer

from tests.reference.answers import read_answers
from tests.reference.checkpoints import PRESS_GUIDE, press_guide_folder


def reference_answer(scheme: str) -> tuple[str, str]:
    """(text, finish reason) of the 64 greedy tokens after the reference's question."""
    folder = press_guide_folder()
    tokens = list(read_answers(PRESS_GUIDE, scheme).tokens)
    stop = json.loads((folder / "config.json").read_text())["eos_token_id"]
    finish_reason = "length"
    if stop in tokens:
        tokens, finish_reason = tokens[: tokens.index(stop)], "stop"
    text: str = Tokenizer.from_file(str(folder / "tokenizer.json")).decode(tokens)
    return text, finish_reason
