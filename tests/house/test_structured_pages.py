"""The requests that the pages on structured output and tools show are requests."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from runtime.chat_request import parse_chat_request
from runtime.grammar.keywords import REFUSED

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("structured-output.md", "tools.md")
EXAMPLES = [
    pytest.param(json.loads(text), id=f"{page}-{index}")
    for page in PAGES
    for index, text in enumerate(
        re.findall(r"```json\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.S)
    )
]


@pytest.mark.parametrize("fields", EXAMPLES)
def test_an_example_is_a_request(fields: dict[str, Any]) -> None:
    request = parse_chat_request({"messages": [{"role": "user", "content": "Hi"}], **fields})
    assert request.format or request.tools or len(request.messages) == 3


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_every_keyword_that_is_refused_is_listed(name: str) -> None:
    if name not in ("$recursiveRef", "$vocabulary", "$dynamicAnchor"):
        assert f"`{name}`" in (DOCS / PAGES[0]).read_text(encoding="utf-8")
