"""Conversations are kept in the browser, and nothing that was said is lost."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.site_builder.conftest import Guest

LONG = " ".join(f"word{i}" for i in range(400))


def reload(page: Page) -> None:
    page.reload()
    page.wait_for_selector("body[data-ready]")


def entries(page: Page) -> list[str]:
    return page.locator("[data-conversations] .list-open").all_text_contents()


def test_a_conversation_survives_a_reload(guest: Guest) -> None:
    guest.pretend(answer="Some *Markdown*.\n\n- one\n- two")
    page = guest.open_chat()
    guest.ask("Hello")
    guest.wait_for_answer()
    before = page.locator(".answer").inner_html()
    reload(page)
    expect(page.locator(".message-user")).to_contain_text("Hello")
    expect(page.locator(".answer li")).to_have_count(2)
    assert page.locator(".answer").inner_html() == before
    assert entries(page) == ["Hello"]


def test_an_answer_cut_by_a_reload_is_kept_to_its_last_word(guest: Guest) -> None:
    guest.pretend(answer=LONG, delayMs=15)
    page = guest.open_chat()
    guest.ask("Go on")
    page.get_by_text("word20", exact=False).wait_for()
    said = page.evaluate(
        """() => new Promise((resolve) => addEventListener("pagehide", () => 0, resolve(
        document.querySelector(".answer").textContent)))"""
    )
    reload(page)
    kept = page.locator(".answer").inner_text()
    assert kept.startswith(said.strip())
    expect(page.get_by_text("Stopped", exact=True)).to_be_visible()
    page.get_by_role("button", name="Regenerate").click()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()


def test_a_question_half_typed_survives_a_reload(guest: Guest) -> None:
    page = guest.open_chat()
    page.get_by_role("textbox", name="Message").fill("What I was about to")
    reload(page)
    expect(page.get_by_role("textbox", name="Message")).to_have_value("What I was about to")


def test_conversations_are_opened_renamed_and_deleted(guest: Guest) -> None:
    page = guest.open_chat()
    guest.ask("The first question of all")
    guest.wait_for_answer()
    page.get_by_role("button", name="New chat").click()
    expect(page.locator(".message")).to_have_count(0)
    guest.ask("Another")
    guest.wait_for_answer()
    assert entries(page) == ["Another", "The first question of all"]

    page.get_by_role("button", name="The first question of all", exact=True).click()
    expect(page.locator(".message-user")).to_contain_text("first question")
    page.get_by_role("button", name="Rename “The first question of all”").click()
    page.get_by_role("textbox", name="Name").fill("Renamed")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Renamed", exact=True)).to_be_visible()

    page.get_by_role("button", name="Delete “Renamed”").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert len(entries(page)) == 2
    page.get_by_role("button", name="Delete “Renamed”").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator("[data-conversations] li")).to_have_count(1)
    reload(page)
    assert entries(page) == ["Another"]


def test_all_of_them_are_deleted_at_once(guest: Guest) -> None:
    page = guest.open_chat()
    guest.ask("Secret")
    guest.wait_for_answer()
    page.get_by_role("button", name="Settings").click()
    page.get_by_role("button", name="Delete all conversations").click()
    page.get_by_role("dialog", name="Delete all").get_by_role("button", name="Delete").click()
    expect(page.locator("[data-conversations] li")).to_have_count(0)
    reload(page)
    assert entries(page) == []
    assert "Secret" not in page.evaluate("JSON.stringify(localStorage)")


def test_an_answer_goes_on_while_another_conversation_is_read(guest: Guest) -> None:
    page = guest.open_chat()
    guest.ask("Short")
    guest.wait_for_answer()
    page.get_by_role("button", name="New chat").click()
    page.evaluate(f"globalThis.fakeEngine = {{answer: {LONG!r}, delayMs: 4}}")
    guest.ask("Long")
    page.get_by_text("word5", exact=False).wait_for()
    page.get_by_role("button", name="Short", exact=True).click()
    expect(page.locator(".answer")).to_have_text("Hello from a fake.")
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    page.get_by_role("button", name="Long", exact=True).click()
    expect(page.locator(".answer")).to_contain_text("word399")


def test_two_tabs_show_the_same_list(guest: Guest) -> None:
    page = guest.open_chat()
    other = guest.context.new_page()
    other.goto(guest.site + "chat/index.html")
    other.wait_for_selector("body[data-ready]")
    guest.ask("From the first tab")
    guest.wait_for_answer()
    entry = other.locator("[data-conversations] .list-open")
    expect(entry).to_have_text("From the first tab")
    entry.click()
    expect(other.locator(".answer")).to_have_text("Hello from a fake.")
    assert not page.is_closed()


def test_another_tab_does_not_break_into_an_answer(guest: Guest) -> None:
    guest.pretend(answer=LONG, delayMs=10)
    page = guest.open_chat()
    guest.ask("Go on")
    page.get_by_text("word10", exact=False).wait_for()
    other = guest.context.new_page()
    other.goto(guest.site + "chat/index.html")
    other.wait_for_selector("body[data-ready]")
    assert "word399" in guest.wait_for_answer()
    expect(page.get_by_text("Stopped", exact=True)).to_be_hidden()


def test_where_the_browser_keeps_nothing_the_chat_works_and_says_so(guest: Guest) -> None:
    guest.page.add_init_script(
        """IDBFactory.prototype.open = () => { throw new DOMException("no", "SecurityError"); };
        Storage.prototype.setItem = () => { throw new DOMException("no", "SecurityError"); };"""
    )
    page = guest.open_chat()
    expect(page.get_by_role("alert").filter(has_text="keeps nothing")).to_be_visible()
    guest.ask("Hello")
    assert guest.wait_for_answer() == "Hello from a fake."


@pytest.mark.parametrize(
    "full",
    [
        "throw new DOMException('no room', 'QuotaExceededError')",
        "const asked = put.apply(this, parts); this.transaction.abort(); return asked",
    ],
    ids=["at once", "at the end"],
)
def test_a_full_disk_ends_no_chat_and_is_told(guest: Guest, full: str) -> None:
    """Bug: a question that could not be kept vanished with its answer, without a word."""
    guest.page.add_init_script(
        f"""const {{put}} = IDBObjectStore.prototype;
        IDBObjectStore.prototype.put = function (...parts) {{ {full}; }};"""
    )
    page = guest.open_chat()
    guest.ask("Hello")
    assert guest.wait_for_answer() == "Hello from a fake."
    expect(page.get_by_role("alert").filter(has_text="could not keep")).to_be_visible()
    assert entries(page) == ["Hello"]


def test_on_a_phone_the_list_slides_in_and_out(invite: Callable[..., Guest]) -> None:
    guest = invite(viewport={"width": 360, "height": 740}, has_touch=True)
    page = guest.open_chat()
    guest.ask("Hello")
    guest.wait_for_answer()
    panel = page.get_by_role("navigation", name="Conversations")
    expect(panel).to_be_hidden()
    page.get_by_role("button", name="Conversations").click()
    expect(panel).to_be_visible()
    expect(page.get_by_role("button", name="New chat")).to_be_focused()
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(page.get_by_role("button", name="Conversations")).to_be_focused()
    page.get_by_role("button", name="Conversations").click()
    page.get_by_role("button", name="New chat").click()
    expect(panel).to_be_hidden()
    assert re.search(r"chat/index\.html$", page.url)
