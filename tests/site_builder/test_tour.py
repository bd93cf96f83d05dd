"""A visitor clicks through every page under a sub-path: nothing is missing, nothing calls out."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from playwright.sync_api import expect

from tests.site_builder.conftest import Guest

HIDE_WEBGPU = "Object.defineProperty(Navigator.prototype, 'gpu', {get: () => undefined})"
NO_ADAPTER = "if (globalThis.GPU) GPU.prototype.requestAdapter = async () => null"


def test_every_page_is_reached_by_clicking_and_none_complains(guest: Guest) -> None:
    seen, waiting = set[str](), {urljoin(guest.site, "index.html")}
    failed: list[str] = []
    guest.page.on("response", lambda r: failed.append(r.url) if r.status >= 400 else None)
    while waiting:
        address = waiting.pop()
        seen.add(address)
        guest.page.goto(address)
        guest.page.wait_for_load_state("networkidle")
        links = guest.page.eval_on_selector_all("a[href]", "all => all.map(a => a.href)")
        own = {link.split("#")[0].split("?")[0] for link in links if link.startswith(guest.site)}
        waiting |= own - seen
    assert {urlsplit(address).path.removeprefix("/a/b/") for address in seen} == {
        "index.html", "models/index.html", "chat/index.html", "bench/index.html",
        "about/index.html", "licences/index.html", "webgpu/index.html",
        "m/press-guide/index.html", "m/smollm2-135m-instruct/index.html",
        "m/llama-3.2-1b-instruct/index.html",
    }  # fmt: skip
    assert not failed


def test_a_processor_is_told_the_variant_written_for_it(guest: Guest) -> None:
    guest.open("m/press-guide/index.html")
    expect(guest.page.locator('[data-verdict-detail="press-guide"]')).to_contain_text("“software”")


def test_folders_work_as_addresses_too(guest: Guest) -> None:
    for path in ("", "chat/", "models/", "bench/", "m/press-guide/"):
        guest.open(path)
        expect(guest.page.locator("h1")).to_have_count(1)


def test_the_service_worker_governs_the_whole_site(guest: Guest) -> None:
    guest.open("models/index.html")
    scope = guest.page.evaluate("navigator.serviceWorker.ready.then((r) => r.scope)")
    assert scope == guest.site


@pytest.mark.parametrize("width", [360, 390, 768])
def test_no_page_scrolls_sideways_on_a_narrow_screen(
    invite: Callable[..., Guest], width: int
) -> None:
    guest = invite(viewport={"width": width, "height": 740})
    for path in ("index.html", "models/index.html", "m/press-guide/index.html", "bench/index.html",
                 "licences/index.html", "webgpu/index.html", "chat/index.html"):  # fmt: skip
        guest.open(path)
        guest.page.wait_for_load_state("networkidle")
        overflow = guest.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert overflow <= 0, (path, overflow)


def test_the_catalogue_judges_filters_and_finds(guest: Guest) -> None:
    page = guest.open("models/index.html")
    cards = page.locator("[data-catalogue] > [data-model]:visible")
    expect(page.locator('[data-verdict="press-guide"]')).to_have_text("Fits this device")
    llama = page.locator('[data-verdict="llama-3.2-1b-instruct"]')
    expect(llama).to_have_text("Does not fit this device")
    expect(llama).to_have_attribute("title", "It lacks the feature shader-f16.")
    page.get_by_label("Fits this device").check()
    expect(cards).to_have_count(2)
    page.get_by_label("Search").fill("smol apache")
    expect(cards).to_have_count(1)
    page.get_by_label("Search").fill("nothing like this")
    expect(cards).to_have_count(0)
    expect(page.get_by_text("No model matches.")).to_be_visible()
    page.get_by_label("Fits this device").uncheck()
    page.get_by_label("Search").fill("")
    expect(cards).to_have_count(3)
    page.get_by_label("Downloaded").check()
    expect(cards).to_have_count(0)


@pytest.mark.parametrize(
    ("script", "words"),
    [(HIDE_WEBGPU, "has no WebGPU"), (NO_ADAPTER, "found no graphics card")],
)
def test_a_browser_without_webgpu_is_told_so_and_what_to_do(
    guest: Guest, script: str, words: str
) -> None:
    guest.page.add_init_script(script)
    page = guest.open("models/index.html")
    expect(page.locator("[data-device]")).to_contain_text(words)
    expect(page.locator("[data-device]")).to_contain_text("models run on the processor")
    expect(page.locator('[data-verdict="press-guide"]')).to_have_text("Needs WebGPU")
    smol = page.locator('[data-verdict="smollm2-135m-instruct"]')
    expect(smol).to_have_text("Runs on the processor")
    page.get_by_role("link", name="What to do").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Getting WebGPU to work")
    expect(page.get_by_role("heading", name="Safari")).to_be_visible()
    guest.open_chat()
    alert = page.get_by_role("alert").filter(has_text="WebGPU")
    expect(alert).to_be_visible()
    expect(alert.get_by_role("link", name="What to do")).to_be_visible()
    guest.open("chat/index.html?model=smollm2-135m-instruct")
    page.wait_for_selector("body[data-ready]")
    guest.ask("Hello")
    assert guest.wait_for_answer() == "Hello from a fake."
    expect(alert).to_be_hidden()


def test_a_software_adapter_leaves_models_that_were_made_for_it_to_the_processor(
    guest: Guest,
) -> None:
    page = guest.open("models/index.html")
    expect(page.locator("[data-device]")).to_contain_text("models run on the processor")
    smol = page.locator('[data-verdict="smollm2-135m-instruct"]')
    expect(smol).to_have_text("Runs on the processor")
    expect(smol).to_have_attribute("title", re.compile("“cpu” would run here, without a graphics"))


def test_the_theme_follows_the_system_until_it_is_chosen(invite: Callable[..., Guest]) -> None:
    guest = invite(color_scheme="dark")
    page = guest.open("index.html")
    html = page.locator("html")
    expect(html).to_have_attribute("data-theme", "dark")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Switch between light and dark").click()
    expect(html).to_have_attribute("data-theme", "light")
    guest.open("chat/index.html")
    expect(html).to_have_attribute("data-theme", "light")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark


def test_without_scripts_the_pages_still_say_what_they_are(invite: Callable[..., Guest]) -> None:
    guest = invite(java_script_enabled=False)
    page = guest.open("models/index.html")
    expect(page.locator("[data-model]")).to_have_count(3)
    guest.open("chat/index.html")
    expect(page.locator("noscript .notice")).to_be_visible()


def test_the_benchmark_shows_a_table_and_answers_scripts(guest: Guest) -> None:
    page = guest.open("bench/index.html?model=smollm2-135m-instruct")
    expect(page.get_by_role("combobox", name="Model", exact=True)).to_have_value(
        "smollm2-135m-instruct"
    )
    expect(page.get_by_label("Variant").locator("option")).to_have_text(
        ["Best for this device", "f16", "base", "software", "cpu"]
    )
    page.get_by_role("button", name="Measure").click()
    expect(page.locator("tbody th")).to_have_text(["SmolLM2 135M Instruct"] * 3)
    expect(page.locator("tbody tr").first).to_contain_text("f16, decode.dot")
    expect(page.get_by_role("status").last).to_contain_text("tokens a second")
    result: dict[str, Any] = page.evaluate(
        "modelpressBench('press-guide', {prompt: 64, new: 16, runs: 2, variant: 'base'})"
    )
    assert set(result) == {
        "id", "variant", "device", "dispatches_per_token", "weight_bytes", "load_ms", "choices",
        "runs",
    }  # fmt: skip
    assert len(result["runs"]) == 2
    assert set(result["runs"][0]) == {
        "prompt_tokens", "new_tokens", "ttft_ms", "prefill_tok_s", "decode_tok_s",
        "gpu_ms_per_token",
    }  # fmt: skip
    assert (result["runs"][0]["prompt_tokens"], result["runs"][0]["new_tokens"]) == (64, 16)
    for run in result["runs"]:  # the fake sends a token every 10 ms and claims to be faster
        assert run["ttft_ms"] >= 9
        assert run["decode_tok_s"] <= 110
    for run in result["runs"]:  # the fake sends a token every 10 ms and claims to be faster
        assert run["ttft_ms"] >= 9
        assert run["decode_tok_s"] <= 110


def test_a_benchmark_that_fails_says_why(guest: Guest) -> None:
    guest.pretend(failLoad="out_of_memory")
    page = guest.open("bench/index.html")
    page.get_by_role("button", name="Measure").click()
    expect(page.locator("[data-bench-status]")).to_have_text("choose a smaller model")
    expect(page.get_by_role("button", name="Measure")).to_be_enabled()
