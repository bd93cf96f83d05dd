"""The page of the protocol tells of every field that there is."""

from __future__ import annotations

import re

from runtime import chat_request, completion_request
from runtime.request_fields import IDENTIFICATION
from tests.house.files import ROOT


def fields_of(heading: str) -> set[str]:
    """The names in the first column of the table under a heading."""
    page = (ROOT / "docs/openai.md").read_text()
    section = page.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    firsts = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for cell in firsts for name in re.findall(r"`([a-z_]+)`", cell)}


def test_every_field_of_a_chat_is_told_of() -> None:
    known = chat_request.FIELDS | set(chat_request.QUIET) | set(IDENTIFICATION)
    assert fields_of("Chat completions") == known


def test_every_field_of_a_completion_is_told_of() -> None:
    assert fields_of("Completions") - {"user"} == completion_request.FIELDS
