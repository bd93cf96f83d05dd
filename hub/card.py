"""What the Hub says of a repository: its commit, its files, and the facts of its model card."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .source import translated


@dataclass(frozen=True, slots=True)
class Card:
    """A repository at one commit. `licence` is the card's name for it, None where it has none;
    `gated` whether its licence must be accepted first."""

    repo: str
    commit: str
    files: tuple[str, ...]
    licence: str | None
    languages: tuple[str, ...]
    tags: tuple[str, ...]
    gated: bool


def read_card(repo: str, revision: str) -> Card:
    """Ask the Hub; SourceError saying what to do when it does not tell."""
    from huggingface_hub import HfApi

    with translated(repo, revision):
        info = HfApi().model_info(repo, revision=revision)
    data: Mapping[str, Any] = dict(info.card_data.__dict__) if info.card_data else {}
    return Card(
        repo=repo,
        commit=str(info.sha),
        files=tuple(item.rfilename for item in info.siblings or ()),
        licence=_licence(data),
        languages=tuple(word for word in _words(data.get("language")) if _is_language(word)),
        tags=(*_words(data.get("tags")), *_words(info.tags)),
        gated=bool(info.gated),
    )


def _licence(data: Mapping[str, Any]) -> str | None:
    """The card's `license`, or `license_name` where that is "other"."""
    name = _first(data.get("license"))
    return _first(data.get("license_name")) if name in (None, "other") else name


def _first(value: Any) -> str | None:
    return next(iter(_words(value)), None)


def _words(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(item for item in values if isinstance(item, str) and item)


def _is_language(word: str) -> bool:
    """A BCP 47 tag of two or three letters, perhaps with a region or script."""
    return re.fullmatch(r"[a-z]{2,3}(-[A-Za-z]{2,4})?", word) is not None
