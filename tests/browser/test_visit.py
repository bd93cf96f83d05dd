"""The built site as a visitor meets it, from the first page to a question without a network."""

from __future__ import annotations

from playwright.sync_api import BrowserContext, expect

from tests.browser.visitor import Visitor
from tests.web.fault_server import FaultServer

MODEL = "Press Guide"
QUESTION = "What is modelpress?"
LONG_REQUEST = "Tell me a short story."


def test_a_visitor_picks_a_model_chats_stops_and_comes_back_offline(
    visitor: Visitor, profile: BrowserContext, server: FaultServer
) -> None:
    page = visitor.open()
    visitor.screenshot("1-home")
    page.get_by_role("link", name="See the models").click()
    card = page.get_by_role("article").filter(has_text=MODEL).first
    expect(card).to_be_visible()
    visitor.screenshot("2-catalogue")
    card.get_by_role("link", name=MODEL).first.click()
    page.get_by_role("link", name="Chat with it").click()

    visitor.ask(QUESTION)
    expect(page.locator("[data-loading]")).to_be_visible()
    visitor.screenshot("3-download")
    visitor.wait_for_words()
    first = visitor.wait_for_answer()
    assert first.strip()
    visitor.screenshot("4-answer")
    downloaded = server.count("/blobs/")
    assert downloaded > 0

    visitor.ask(LONG_REQUEST)
    visitor.wait_for_words()
    page.locator("[data-stop]").click()
    expect(page.locator("[data-send]")).to_be_visible()
    expect(page.get_by_text("Stopped", exact=True)).to_be_visible()
    visitor.screenshot("5-stopped")
    page.get_by_role("button", name="Regenerate").click()
    assert visitor.wait_for_answer().strip()
    visitor.screenshot("6-regenerated")

    server.__exit__()
    page.reload()
    expect(page.locator(".message-user").first).to_contain_text(QUESTION)
    visitor.ask(QUESTION)
    visitor.wait_for_words()
    assert visitor.wait_for_answer().strip()
    visitor.screenshot("7-offline")
    assert server.count("/blobs/") == downloaded
    visitor.close()
