"""The chat as a visitor uses it, with canned answers instead of a model."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.site_builder.conftest import Guest

LONG = " ".join(f"word{i}" for i in range(400))


def texts(page: Page) -> list[str]:
    """What was said, in order."""
    questions_and_answers = page.locator(".message-user, .message .answer")
    return [
        re.sub(r"^You:\s*", "", text).strip() for text in questions_and_answers.all_text_contents()
    ]


def test_a_question_is_answered_with_progress_and_numbers(guest: Guest) -> None:
    guest.pretend(answer="Forty-two, **certainly**.", loadMs=600)
    page = guest.open_chat()
    expect(page.get_by_role("heading", name="Press guide")).to_be_visible()
    expect(page.get_by_text("downloads it once: 9.30 MB")).to_be_visible()
    guest.ask("What is the answer?")
    expect(page.locator("[data-loading-words]")).to_contain_text(
        re.compile(r"Downloading \d\.\d\d of 8\.90 MB · shader \d+ of 20")
    )
    assert guest.wait_for_answer() == "Forty-two, certainly."
    assert page.locator(".answer strong").inner_text() == "certainly"
    expect(page.locator("[data-loading]")).to_be_hidden()
    expect(page.locator(".message-numbers").last).to_have_text(
        re.compile(r"^\d.* s to the first word · \d+(\.\d)? tokens/s$")
    )
    expect(page.get_by_role("textbox", name="Message")).to_be_focused()
    expect(page.get_by_role("heading", name="Press guide")).to_be_hidden()


def test_what_a_model_thinks_is_folded_away_kept_and_not_sent_again(guest: Guest) -> None:
    guest.pretend(answer="Forty-two.", thinking="Six times seven, <b>surely</b>.")
    page = guest.open_chat()
    guest.ask("What is the answer?")
    assert guest.wait_for_answer() == "Forty-two."
    thoughts = page.locator(".thoughts")
    expect(thoughts.locator("p")).to_be_hidden()
    thoughts.get_by_text("Thoughts before the answer").click()
    expect(thoughts.locator("p")).to_have_text("Six times seven, <b>surely</b>.")
    expect(thoughts.locator("p")).to_be_visible()
    page.reload()
    page.locator(".thoughts summary").click()
    expect(page.locator(".thoughts p")).to_have_text("Six times seven, <b>surely</b>.")
    guest.ask("Why?")
    expect(page.locator(".message")).to_have_count(4)
    guest.wait_for_answer()
    assert guest.requests()[-1]["messages"][1] == {"role": "assistant", "content": "Forty-two."}


def test_the_whole_conversation_is_sent_each_time(guest: Guest) -> None:
    page = guest.open_chat()
    guest.ask("One")
    guest.wait_for_answer()
    guest.ask("Two")
    expect(page.locator(".message")).to_have_count(4)
    guest.wait_for_answer()
    assert guest.requests()[1]["messages"] == [
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "Hello from a fake."},
        {"role": "user", "content": "Two"},
    ]
    assert guest.requests()[1]["stream_options"] == {"include_usage": True}


def test_an_answer_is_stopped_and_kept(guest: Guest) -> None:
    guest.pretend(answer=LONG, delayMs=20)
    page = guest.open_chat()
    guest.ask("Go on")
    page.get_by_text("word5", exact=False).wait_for()
    page.get_by_role("button", name="Stop").click()
    text = guest.wait_for_answer()
    assert "word5" in text and "word399" not in text
    expect(page.get_by_text("Stopped", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_visible()


def test_escape_stops_too(guest: Guest) -> None:
    guest.pretend(answer=LONG, delayMs=20)
    page = guest.open_chat()
    guest.ask("Go on")
    page.get_by_text("word5", exact=False).wait_for()
    page.keyboard.press("Escape")
    assert "word399" not in guest.wait_for_answer()


def test_a_download_is_cancelled_and_taken_up_again(guest: Guest) -> None:
    guest.pretend(loadMs=8000)
    page = guest.open_chat()
    guest.ask("Hello")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("[data-loading]")).to_be_hidden()
    expect(page.locator("[data-problem]")).to_be_hidden()
    page.evaluate("globalThis.fakeEngine.loadMs = 20")
    page.get_by_role("button", name="Regenerate").click()
    assert guest.wait_for_answer() == "Hello from a fake."


def test_regenerating_replaces_the_last_answer(guest: Guest) -> None:
    page = guest.open_chat()
    guest.ask("Hello")
    guest.wait_for_answer()
    page.evaluate("globalThis.fakeEngine = {answer: 'Another.'}")
    page.get_by_role("button", name="Regenerate").click()
    expect(page.locator(".answer")).to_have_text("Another.")
    guest.wait_for_answer()
    assert texts(page) == ["Hello", "Another."]
    assert guest.requests()[1]["messages"] == [{"role": "user", "content": "Hello"}]


def test_answers_and_code_are_copied(invite: Callable[..., Guest]) -> None:
    guest = invite(permissions=["clipboard-read", "clipboard-write"])
    guest.pretend(answer="Look:\n\n```python\nprint('<hi>')\n```\n")
    page = guest.open_chat()
    guest.ask("Code")
    guest.wait_for_answer()
    page.get_by_role("button", name="Copy code").click()
    expect(page.get_by_role("button", name="Copied code")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "print('<hi>')"
    page.get_by_role("button", name="Copy answer").click()
    expect(page.get_by_role("button", name="Copied answer")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").startswith("Look:\n\n```python")


def test_a_suggestion_asks_itself(guest: Guest) -> None:
    page = guest.open_chat()
    page.get_by_role("button", name="What is 17 times 23?").click()
    guest.wait_for_answer()
    assert texts(page)[0] == "What is 17 times 23?"


def test_another_model_is_picked_and_loaded(guest: Guest) -> None:
    page = guest.open_chat("?model=smollm2-135m-instruct")
    picker = page.get_by_role("combobox", name="Model", exact=True)
    expect(picker).to_have_value("smollm2-135m-instruct")
    guest.ask("Hello")
    guest.wait_for_answer()
    picker.select_option("press-guide")
    guest.ask("And you?")
    expect(page.locator(".message")).to_have_count(4)
    guest.wait_for_answer()
    assert [r["model"] for r in guest.requests()] == ["smollm2-135m-instruct", "press-guide"]
    assert page.evaluate("globalThis.fakeEngineLoaded") == "press-guide"
    guest.open_chat()
    expect(picker).to_have_value("press-guide")


def test_settings_go_with_each_request_and_are_kept(guest: Guest) -> None:
    page = guest.open_chat()
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("System prompt").fill("Answer in rhyme.")
    page.get_by_label("Temperature").fill("0.3")
    page.get_by_label("Top-p").fill("0.8")
    page.get_by_label("Longest answer").fill("64")
    page.get_by_label("Seed").fill("7")
    page.keyboard.press("Escape")
    page.reload()
    page.wait_for_selector("body[data-ready]")
    guest.ask("Hello")
    guest.wait_for_answer()
    (request,) = guest.requests()
    assert request["messages"][0] == {"role": "system", "content": "Answer in rhyme."}
    wanted: dict[str, Any] = {"temperature": 0.3, "top_p": 0.8, "max_tokens": 64, "seed": 7}
    assert {name: request.get(name) for name in wanted} == wanted


def test_a_setting_that_makes_no_sense_is_named_and_not_sent(guest: Guest) -> None:
    page = guest.open_chat()
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Temperature").fill("9")
    expect(page.locator("[data-settings-error]")).to_contain_text("Temperature")
    page.get_by_role("button", name="Use the model’s own values").click()
    expect(page.locator("[data-settings-error]")).to_be_empty()
    page.get_by_role("button", name="Close the settings").click()
    guest.ask("Hello")
    guest.wait_for_answer()
    assert "temperature" not in guest.requests()[0]


FAILURES = {
    "no_webgpu": "cannot run in this browser",
    "network": "did not get through",
    "quota_exceeded": "no more room",
    "device_lost": "stopped answering",
    "out_of_memory": "not enough memory",
    "integrity": "not what it should be",
    "internal": "worker failed",
}


@pytest.mark.parametrize("code", FAILURES)
def test_a_failed_load_is_told_in_words_and_tried_again(guest: Guest, code: str) -> None:
    guest.pretend(failLoad=code, failOnce=True)
    page = guest.open_chat()
    guest.ask("Hello")
    alert = page.get_by_role("alert").filter(has_text=FAILURES[code])
    expect(alert).to_be_visible()
    assert texts(page) == ["Hello"]
    alert.get_by_role("button", name="Try again").click()
    assert guest.wait_for_answer() == "Hello from a fake."
    expect(alert).to_be_hidden()


def test_answers_from_the_processor_say_so_and_how_fast(guest: Guest) -> None:
    guest.pretend(answer=LONG, delayMs=5, processor={"reason": "no_webgpu"})
    page = guest.open_chat()
    line = page.locator("[data-processor]")
    expect(line).to_be_hidden()
    guest.ask("Hello")
    guest.wait_for_answer()
    expect(line).to_contain_text(
        re.compile(r"Running on the processor, because this browser offers no WebGPU here: about")
    )
    expect(line).to_contain_text("words a second")
    expect(line.get_by_role("link")).to_have_text("How to make it faster")


def test_a_device_lost_in_mid_answer_keeps_what_was_said(guest: Guest) -> None:
    guest.pretend(answer=LONG, delayMs=1, failAfter=30, failCode="device_lost")
    page = guest.open_chat()
    guest.ask("Go on")
    alert = page.get_by_role("alert").filter(has_text="stopped answering")
    expect(alert).to_be_visible()
    assert texts(page)[1].endswith("word29")
    expect(page.get_by_text("Broken off by an error")).to_be_visible()
    page.evaluate("globalThis.fakeEngine = {answer: 'Well again.'}")
    alert.get_by_role("button", name="Try again").click()
    assert guest.wait_for_answer() == "Well again."
    assert len(texts(page)) == 2


def test_a_conversation_that_is_too_long_leads_to_a_new_one(guest: Guest) -> None:
    guest.pretend(failChat="context_length_exceeded")
    page = guest.open_chat()
    guest.ask("Hello")
    alert = page.get_by_role("alert").filter(has_text="longer than the model can read")
    alert.get_by_role("button", name="New chat").click()
    expect(page.locator(".message")).to_have_count(0)
    expect(page.get_by_role("heading", name="Press guide")).to_be_visible()


def test_the_keyboard_alone_is_enough(guest: Guest) -> None:
    guest.pretend(answer="A [link](https://example.org).\n\n```\ncode\n```\n")
    page = guest.open_chat()
    field = page.get_by_role("textbox", name="Message")
    expect(field).to_be_focused()
    page.keyboard.type("first line")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("second line")
    expect(field).to_have_value("first line\nsecond line")
    page.keyboard.press("Enter")
    guest.wait_for_answer()
    expect(field).to_be_focused()
    reached = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        element = "document.activeElement"
        if page.evaluate(f"{element} === document.body"):
            continue
        name = f"{element}.getAttribute('aria-label') ?? {element}.textContent.trim()"
        reached.add(page.evaluate(name))
        outline = page.evaluate(f"getComputedStyle({element}).outlineStyle")
        around = page.evaluate(
            f"getComputedStyle({element}.closest('form') ?? {element}).boxShadow"
        )
        assert outline != "none" or around != "none", page.evaluate(f"{element}.outerHTML")
    assert {
        "Settings",
        "New chat",
        "first line",
        "Regenerate",
        "Copy answer",
        "Copy code",
        "link",
    } <= reached


def test_an_answer_is_spoken_in_sentences_to_screen_readers(guest: Guest) -> None:
    guest.pretend(answer="One thing. Another thing. **The last** thing.")
    page = guest.open_chat()
    page.evaluate(
        """() => { globalThis.spoken = [];
        const region = document.querySelector("[data-announce]");
        new MutationObserver(() => globalThis.spoken.push(region.textContent))
          .observe(region, {childList: true, characterData: true, subtree: true}); }"""
    )
    guest.ask("Hello")
    guest.wait_for_answer()
    page.wait_for_function("() => globalThis.spoken.join(' ').includes('The last')")
    spoken = page.evaluate("globalThis.spoken")
    assert "One thing. Another thing." in " ".join(spoken)
    assert len(spoken) <= 4


def test_a_question_after_one_without_an_answer_is_one_turn(guest: Guest) -> None:
    """Bug: two questions in a row reached templates that insist on turns, for ever after."""
    guest.pretend(delayMs=2000)
    page = guest.open_chat()
    guest.ask("First")
    expect(page.get_by_text("Ready", exact=True)).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped", exact=True)).to_be_visible()
    page.evaluate("globalThis.fakeEngine.delayMs = 4")
    guest.ask("Second")
    guest.wait_for_answer()
    said = [m for m in guest.requests()[-1]["messages"] if m["role"] != "system"]
    assert said == [{"role": "user", "content": "First\n\nSecond"}]


def test_an_address_that_is_not_secure_is_told_so(guest: Guest) -> None:
    """Bug: the page stayed empty, because ids and locks are only for secure pages."""
    home, guest.site = guest.site, "http://site.test/a/b/"
    guest.context.route(
        "http://site.test/**",
        lambda route: route.fulfill(
            response=route.fetch(url=route.request.url.replace(guest.site, home))
        ),
    )
    page = guest.open_chat()
    expect(page.get_by_role("alert").filter(has_text="not secure")).to_be_visible()
    expect(page.get_by_role("link", name="What to do")).to_be_visible()
    guest.ask("Hello")
    assert guest.wait_for_answer() == "Hello from a fake."


KEEP = """async (ids) => {
  const blobs = await caches.open("modelpress-blobs-1");
  const documents = await caches.open("modelpress-documents-1");
  const text = new TextEncoder().encode('{"chunks": []}');
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", text));
  const sha256 = [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const weights = {sha256, nbytes: text.length};
  const variants = [{plan: weights}];
  await blobs.put(`/.modelpress/blobs/${sha256}`, new Response(text));
  for (const id of ids) {
    const facts = {id, name: id, quantization: {scheme: "q4"}, licence: {}, files: {}};
    const manifest = JSON.stringify({...facts, weights, variants, weights_nbytes: 0});
    await documents.put(`/.modelpress/models/${id}/q4`, new Response(manifest));
  }
}"""


def test_models_picked_in_a_row_start_one_engine(guest: Guest) -> None:
    """Bug: two picks that waited for the same load to stop started an engine each, and the
    end of the first load hid the progress of the last."""
    guest.pretend(loadMs=1000)
    page = guest.open_chat()
    ids = page.locator("[data-model] option").evaluate_all("all => all.map((one) => one.value)")
    assert len(ids) == 3
    page.evaluate(KEEP, ids)
    page.reload()
    page.locator("[data-loading]").wait_for()
    picker = page.get_by_role("combobox", name="Model", exact=True)
    page.evaluate("globalThis.fakeEngine.loadMs = 2000")
    picker.evaluate(
        """(picker, ids) => {
          for (const id of ids) {
            picker.value = id;
            picker.dispatchEvent(new Event("change"));
          }
        }""",
        ids[1:],
    )
    expect(page.locator("[data-loading-words]")).to_contain_text("Reading")
    expect(page.locator("[data-loading]")).to_be_visible()
    expect(page.get_by_text("Ready", exact=True)).to_be_visible()
    expect(page.locator("[data-loading]")).to_be_hidden()
    assert page.evaluate("globalThis.fakeEnginesStarted") == 1
    assert page.evaluate("globalThis.fakeEngineLoaded") == ids[2]
