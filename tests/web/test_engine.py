"""The whole engine in a page: worker, Python, device and storage, on a toy model that counts."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.web.fault_server import FaultServer

pytestmark = pytest.mark.browser

OPEN = """
  const { createEngine } = await import('/engine/client.js');
  const progress = [];
  const engine = await createEngine({model: 'toy', onProgress: (p) => progress.push(p)});
"""
ASK = "{messages: [{role: 'user', content: 'abc'}], max_tokens: 5, temperature: 0}"


def test_a_chat_completion_counts_on_from_the_prompt(page: Page) -> None:
    reply = page.evaluate(
        "async () => {" + OPEN + f"return await engine.chat.completions.create({ASK}); }}"
    )
    print(reply)
    assert reply["object"] == "chat.completion"
