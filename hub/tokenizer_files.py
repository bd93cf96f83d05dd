"""What a chat needs beside the weights: tokenizer, template, and the ids that end an answer.

Reads the files Hugging Face tools write and gives them on unchanged; it runs neither tokenizer
nor template.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .checkpoint import read_json
from .errors import CheckpointError

TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
TEMPLATE = "chat_template.jinja"


@dataclass(frozen=True, slots=True)
class TokenizerFiles:
    """Documents by file name, and the special ids. A base model has no chat template."""

    documents: Mapping[str, bytes]
    bos_token_id: int | None
    stop_token_ids: tuple[int, ...]

    @classmethod
    def open(cls, folder: Path, config: Mapping[str, Any]) -> TokenizerFiles:
        """Gather them from a checkpoint folder; `config` is its config.json."""
        tokenizer = read_json(folder / TOKENIZER)
        settings = _optional(folder / TOKENIZER_CONFIG)
        stops = {
            *_ids(_optional(folder / "generation_config.json").get("eos_token_id"), folder),
            *_ids(config.get("eos_token_id"), folder),
            *_token_id(tokenizer, settings.get("eos_token")),
        }
        bos = _ids(config.get("bos_token_id"), folder)
        return cls(
            _documents((folder / TOKENIZER).read_bytes(), settings, _template(folder, settings)),
            bos[0] if bos else None,
            tuple(sorted(stops)),
        )

    @classmethod
    def made(
        cls,
        tokenizer: Mapping[str, Any],
        settings: Mapping[str, Any],
        template: str | None,
        *,
        bos_token_id: int | None,
        stop_token_ids: tuple[int, ...],
    ) -> TokenizerFiles:
        """Of documents that were rebuilt: tokenizer.json, tokenizer_config.json, template."""
        written = json.dumps(tokenizer, ensure_ascii=False, indent=1) + "\n"
        documents = _documents(written.encode(), settings, template)
        return cls(documents, bos_token_id, stop_token_ids)


def _documents(
    tokenizer: bytes, settings: Mapping[str, Any], template: str | None
) -> dict[str, bytes]:
    sorted_settings = json.dumps(settings, ensure_ascii=False, sort_keys=True, indent=1) + "\n"
    documents = {TOKENIZER: tokenizer, TOKENIZER_CONFIG: sorted_settings.encode()}
    return documents if template is None else documents | {TEMPLATE: template.encode()}


def _optional(file: Path) -> dict[str, Any]:
    return read_json(file) if file.exists() else {}


def _template(folder: Path, settings: Mapping[str, Any]) -> str | None:
    if (folder / TEMPLATE).is_file():
        return _read_text(folder / TEMPLATE)
    found = settings.get("chat_template")
    if isinstance(found, list):
        named = {item.get("name"): item.get("template") for item in found if isinstance(item, dict)}
        if "default" not in named:
            raise CheckpointError(
                f"{folder / TOKENIZER_CONFIG}: chat_template lists {sorted(map(str, named))} and "
                f"no 'default'; write the one to use as {TEMPLATE}"
            )
        found = named["default"]
    if found is not None and not isinstance(found, str):
        raise CheckpointError(f"{folder / TOKENIZER_CONFIG}: chat_template is not text")
    return found


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{file}: not readable text ({error}); download it again") from error


def _ids(value: Any, folder: Path) -> tuple[int, ...]:
    ids = value if isinstance(value, list) else [] if value is None else [value]
    if not all(type(id) is int and id >= 0 for id in ids):
        raise CheckpointError(f"{folder}: token ids {value!r} are not whole numbers")
    return tuple(ids)


def _token_id(tokenizer: Mapping[str, Any], token: Any) -> tuple[int, ...]:
    """The id of an added token given as text, or as the object older tools write."""
    text = token.get("content") if isinstance(token, dict) else token
    added = tokenizer.get("added_tokens") or []
    if not isinstance(added, list) or not all(_is_added(item) for item in added):
        raise CheckpointError(
            f"{TOKENIZER}: added_tokens are not {{id, content}}; download it again"
        )
    return tuple(item["id"] for item in added if item["content"] == text)


def _is_added(item: Any) -> bool:
    return isinstance(item, dict) and type(item.get("id")) is int and "content" in item


def bpe_model(vocabulary: Mapping[str, int], merges: Sequence[str]) -> dict[str, Any]:
    """The `model` of a tokenizer.json: byte pair encoding without any of its options."""
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": dict(vocabulary),
        "merges": list(merges),
    }
