"""The engine of the built site, used from a blank page through `createEngine`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import PREFIX
from tests.browser.engine_page import EnginePage, ask, blank_page, text_of
from tests.browser.greedy import reference_answer
from tests.reference.checkpoints import GUIDE_QUESTION, PRESS_GUIDE
from tests.web.fault_server import Fault, FaultServer

REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"messages": []}, "bad_request"),
    ({"messages": [{"role": "robot", "content": "hi"}]}, "bad_request"),
    (ask("hi", temperature=-1), "bad_request"),
    (ask("hi", tools=[{"type": "function"}]), "bad_request"),
    (ask("word " * 5000), "context_length_exceeded"),
    (ask("hi", model="no-such-model"), "model_not_found"),
)
ASK_AND_GO_ON = """
(request) => {
  window.streamed = 0;
  const read = async () => {
    const stream = await window.engine.chat.completions.create({ ...request, stream: true });
    for await (const chunk of stream) window.streamed += 1;
    return "answered";
  };
  window.pending = read().catch((error) => error.code);
}
"""


@pytest.fixture(scope="module")
def loaded(
    chromium: Browser, press_guide_site: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EnginePage]:
    """The engine with the demo model, opened once: a question leaves it as it was."""
    profile = chromium.new_context()
    with FaultServer({PREFIX: press_guide_site}) as server:
        engine = blank_page(profile, server, tmp_path_factory.mktemp("blank"), PREFIX)
        assert "result" in engine.open(model=PRESS_GUIDE, variant="software")
        yield engine
    profile.close()


def blob_path(server: FaultServer, site: Path) -> str:
    """The URL path of the site's first weight chunk."""
    blob = min(path for path in (site / "blobs").rglob("*") if path.is_file())
    return PREFIX + blob.relative_to(site).as_posix()


def test_greedy_tokens_are_those_of_transformers(loaded: EnginePage) -> None:
    expected, finish_reason = reference_answer("q4")
    answer = loaded.create(ask(GUIDE_QUESTION, max_tokens=64))["result"]
    assert answer["choices"][0]["message"]["content"] == expected
    assert answer["choices"][0]["finish_reason"] == finish_reason


def test_a_stream_says_what_the_whole_answer_says(loaded: EnginePage) -> None:
    request = ask("What is modelpress?", max_tokens=40)
    whole = loaded.create(request)["result"]
    chunks = loaded.stream({**request, "stream_options": {"include_usage": True}})["result"]
    assert text_of(chunks) == whole["choices"][0]["message"]["content"]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[-1]["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]


def test_a_stopped_stream_keeps_what_was_said_and_the_engine_goes_on(loaded: EnginePage) -> None:
    stopped = loaded.stream(ask(GUIDE_QUESTION), stop_after=4)
    assert len(stopped.get("result", stopped.get("chunks", []))) >= 4
    again = loaded.create(ask("What is modelpress?", max_tokens=8))
    assert again["result"]["usage"]["completion_tokens"] <= 8


def test_a_request_that_cannot_be_honoured_is_refused_by_name(loaded: EnginePage) -> None:
    for request, code in REFUSED:
        error = loaded.create(request)["error"]
        assert (error["name"], error["code"]) == ("ModelpressError", code), (request, error)
    assert "result" in loaded.create(ask("What is modelpress?", max_tokens=2))


def test_a_variant_that_the_device_cannot_run_is_an_error(engine: EnginePage) -> None:
    assert engine.open(model=PRESS_GUIDE, variant="f16")["error"]["code"] == "unsupported_device"
    assert engine.open(model=PRESS_GUIDE, variant="nonsense")["error"]["code"] == "bad_request"


def test_a_corrupted_chunk_is_fetched_again(
    engine: EnginePage, server: FaultServer, press_guide_site: Path
) -> None:
    path = blob_path(server, press_guide_site)
    server.faults[path] = [Fault(is_corrupt=True)]
    assert "result" in engine.open(model=PRESS_GUIDE)
    assert server.count(path) == 2


def test_a_chunk_that_stays_corrupted_is_an_integrity_error_that_names_it(
    engine: EnginePage, server: FaultServer, press_guide_site: Path
) -> None:
    path = blob_path(server, press_guide_site)
    server.faults[path] = [Fault(is_corrupt=True)] * 20
    error = engine.open(model=PRESS_GUIDE)["error"]
    assert error["code"] == "integrity"
    assert path.rsplit("/", 1)[-1] in error["message"]
    server.faults.clear()
    assert "result" in engine.open(model=PRESS_GUIDE)


def test_a_second_engine_downloads_nothing(engine: EnginePage, server: FaultServer) -> None:
    engine.open(model=PRESS_GUIDE)
    before = server.count("/blobs/")
    engine.page.reload()
    assert "result" in engine.open(model=PRESS_GUIDE)
    assert (before > 0, server.count("/blobs/")) == (True, before)


def test_an_answer_keeps_to_a_schema_in_the_page(loaded: EnginePage) -> None:
    schema = {
        "type": "object",
        "properties": {"word": {"type": "string", "pattern": "^[a-z]{3}$"}, "é": {"const": [1]}},
        "required": ["word", "é"],
        "additionalProperties": False,
    }
    format_ = {"type": "json_schema", "json_schema": {"name": "word", "schema": schema}}
    fields = {"response_format": format_, "temperature": 2, "seed": 1, "max_tokens": 40}
    first, second = (loaded.create(ask("Say a word.", **fields))["result"] for _ in range(2))
    content = first["choices"][0]["message"]["content"]
    assert re.fullmatch(r'\{"word": "[a-z]{3}", "é": \[1\]\}', content)
    assert content == second["choices"][0]["message"]["content"]
    refused = loaded.create(ask("hi", response_format={"type": "regex", "regex": "(?=a)"}))
    assert refused["error"]["code"] == "bad_request"


def test_synthetic_weights_need_no_download(engine: EnginePage, server: FaultServer) -> None:
    options = {"weights": "synthetic", "variant": "software"}
    assert "result" in engine.open(model=PRESS_GUIDE, **options)
    answer = engine.create(ask("hi", max_tokens=4))["result"]
    assert answer["usage"]["completion_tokens"] >= 1
    assert server.count("/blobs/") == 0


def test_an_answer_goes_on_when_the_gpu_process_is_lost(
    engine: EnginePage, chromium: Browser
) -> None:
    engine.open(model=PRESS_GUIDE, variant="software")
    engine.page.evaluate(ASK_AND_GO_ON, ask("Tell me a short story."))
    while engine.page.evaluate("window.streamed") < 3:
        engine.page.wait_for_timeout(10)
    crash_gpu(chromium)
    assert engine.page.evaluate("window.pending") == "answered"
    assert "result" in engine.create(ask("What is modelpress?", max_tokens=8))


def crash_gpu(chromium: Browser) -> None:
    """What a driver reset looks like to a page: the GPU process ends."""
    session = chromium.new_browser_cdp_session()
    session.send("Browser.crashGpuProcess")
    session.detach()
