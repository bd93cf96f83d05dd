"""The stand-in documents of a synthetic build: a byte-level tokenizer and a ChatML template.

A synthetic model has shapes and no checkpoint; its weights are made on the device from a seed.
It answers noise, but a chat with it exercises everything else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .errors import UnsupportedError
from .tokenizer_files import TEMPLATE, TOKENIZER, TOKENIZER_CONFIG, TokenizerFiles, bpe_model

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHATML = (
    "{%- for message in messages -%}\n"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}\n"
    "{{- '<|im_start|>assistant\\n' -}}\n"
    "{%- endif -%}\n"
)


def tokenizer_files(vocab_size: int) -> TokenizerFiles:
    """Documents for any vocabulary of at least 259: ids 0-255 are bytes, then `SPECIALS`."""
    if vocab_size < 256 + len(SPECIALS):
        raise UnsupportedError(
            f"a synthetic build needs a vocabulary of at least {256 + len(SPECIALS)} tokens; "
            f"this model has {vocab_size}"
        )
    end = 256 + SPECIALS.index("<|im_end|>")
    settings = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    documents = {
        TOKENIZER: _text(_tokenizer()),
        TOKENIZER_CONFIG: _text(settings),
        TEMPLATE: CHATML.encode(),
    }
    return TokenizerFiles(documents, None, (end,))


def _text(data: Mapping[str, Any]) -> bytes:
    return (json.dumps(data, ensure_ascii=False, sort_keys=True, indent=1) + "\n").encode()


def _tokenizer() -> dict[str, Any]:
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_special(256 + i, text) for i, text in enumerate(SPECIALS)],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": True,
        },
        "post_processor": None,
        "decoder": {
            "type": "ByteLevel",
            "add_prefix_space": True,
            "trim_offsets": True,
            "use_regex": True,
        },
        "model": bpe_model({letter: byte for byte, letter in byte_letters().items()}, ()),
    }


def _special(id: int, text: str) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": id, "content": text, "special": True, **flags}


def byte_letters() -> dict[int, str]:
    """The printable letter that byte-level BPE (Radford et al. 2019) writes for each byte.

    Printable Latin-1 bytes stand for themselves; the others take letters from U+0100 on.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    shifted = {byte: chr(0x100 + index) for index, byte in enumerate(others)}
    return {byte: shifted.get(byte, chr(byte)) for byte in range(256)}
