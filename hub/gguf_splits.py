"""How byte-level tokenizers cut text before merging, by `tokenizer.ggml.pre`.

The names are llama.cpp's; the patterns are those of the models' own tokenizer.json.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ENGLISH = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
CODE_REST = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
CASED = rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+"
SHOUTED = rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*"

LLAMA3 = rf"{ENGLISH}|{WORD}|\p{{N}}{{1,3}}|{REST}"
QWEN2 = rf"{ENGLISH}|{WORD}|\p{{N}}|{REST}"
GPT4O = rf"{CASED}{ENGLISH}?|{SHOUTED}{ENGLISH}?|\p{{N}}{{1,3}}|{CODE_REST}"
TEKKEN = rf"{CASED}|{SHOUTED}|\p{{N}}|{CODE_REST}"

NFC = {"type": "NFC"}


@dataclass(frozen=True, slots=True)
class Split:
    """`pattern` cuts the text; empty for GPT-2's own, before which `digits` stand alone.

    `ignore_merges`: a piece that is a token is taken whole; `starts`: whether a sequence begins
    with a token of its own when the file does not say.
    """

    pattern: str = ""
    digits: bool = False
    normalizer: dict[str, str] | None = None
    ignore_merges: bool = False
    starts: bool = False

    def pre_tokenizer(self) -> dict[str, Any]:
        """In the form of tokenizer.json."""
        own = not self.pattern
        level = {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": own,
        }
        if own and not self.digits:
            return level
        first: dict[str, Any] = {"type": "Digits", "individual_digits": True}
        if not own:
            first = {"type": "Split", "pattern": {"Regex": self.pattern}, "behavior": "Isolated"}
            first["invert"] = False
        return {"type": "Sequence", "pretokenizers": [first, level]}


_LLAMA3 = Split(LLAMA3, ignore_merges=True, starts=True)
SPLITS = {
    "llama-bpe": _LLAMA3,
    "llama3": _LLAMA3,
    "llama-v3": _LLAMA3,
    "smaug-bpe": Split(LLAMA3, ignore_merges=True),
    "dbrx": Split(LLAMA3),
    "qwen2": Split(QWEN2, normalizer=NFC),
    "deepseek-r1-qwen": Split(QWEN2, starts=True),
    "stablelm2": Split(QWEN2),
    "gpt-4o": Split(GPT4O),
    "tekken": Split(TEKKEN, ignore_merges=True, starts=True),
    "gpt-2": Split(),
    "phi-2": Split(),
    "olmo": Split(normalizer=NFC),
    "smollm": Split(digits=True),
}
