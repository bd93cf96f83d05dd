"""The whole engine in a page: worker, Python, device and storage, on a toy model that counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

from runtime.weights import WeightIndex, blob_path
from tests.web.fault_server import Fault, FaultServer

pytestmark = pytest.mark.browser

OPEN = """
  const { createEngine, ModelpressError } = await import('/engine/client.js');
  const progress = [];
  const open = (options = {}) =>
    createEngine({model: 'toy', onProgress: (p) => progress.push(p), ...options});
  const codeOf = async (work) => {
    try { await work(); return 'no error'; }
    catch (error) { return error instanceof ModelpressError ? error.code : String(error); }
  };
  const ask = (content, max_tokens, more = {}) =>
    ({messages: [{role: 'user', content}], max_tokens, temperature: 0, ...more});
"""


def run(page: Page, body: str, argument: object = None) -> Any:
    return page.evaluate("async (argument) => {" + OPEN + body + "}", argument)


@pytest.fixture(scope="session")
def chunk_urls(web_folder: Path) -> list[str]:
    index = WeightIndex.loads((web_folder / "models/toy/f32/weights.json").read_bytes())
    return [f"/{blob_path(c.sha256)}" for c in index.chunks]


def test_a_conversation_from_opening_to_closing(page: Page, server: FaultServer) -> None:
    """One page does it all: a worker start is expensive, and these belong together."""
    found = run(
        page,
        """
        const engine = await open();
        const whole = await engine.chat.completions.create(ask('abc', 5));
        const stream = await engine.chat.completions.create(ask('abc', 5, {stream: true}));
        const chunks = [];
        for await (const chunk of stream) chunks.push(chunk);
        const post = (path, request) =>
          engine.fetch(path, {method: 'POST', body: JSON.stringify(request)});
        const path = '/v1/chat/completions';
        const http = await post(path, ask('abc', 5));
        const events = await post(path, ask('abc', 5, {stream: true}));
        const reader = (await post(path, ask('abc', 500, {stream: true}))).body.getReader();
        await reader.read();
        await reader.cancel();
        const refused = await post('/under/a/path/v1/chat/completions', {messages: 'no'});
        const listed = await engine.fetch('/v1/models');
        const overHttp = {
          whole: [http.status, await http.json()],
          events: [events.headers.get('content-type'), await events.text()],
          refused: [refused.status, await refused.json()],
          models: await listed.json(),
        };
        const continued = await engine.completions.create({prompt: 'abc', max_tokens: 3, n: 2});
        let streamed = '';
        const pieces = await engine.completions.create(
          {prompt: 'abc', max_tokens: 4, echo: true, stream: true});
        for await (const chunk of pieces) streamed += chunk.choices[0].text;
        const texts = [...continued.choices.map((choice) => choice.text), streamed];
        const bad = await codeOf(() => engine.chat.completions.create({messages: 'no'}));
        const badStream = await codeOf(
          () => engine.chat.completions.create({messages: 'no', stream: true}));
        const unknown = await codeOf(() => engine.load('nothing'));
        const models = await engine.models();
        const info = await engine.info();
        const cached = await engine.cache.list();
        const persisted = await engine.cache.persist();
        await engine.cache.remove('toy');
        const removed = await engine.cache.list();
        await engine.close();
        const closed = await codeOf(() => engine.models());
        return {whole, chunks, bad, badStream, unknown, models, info, cached, removed, closed,
                persisted, progress, overHttp, texts};
        """,
    )
    assert found["texts"] == ["def", "def", "abcdefg"]
    assert found["whole"]["choices"][0]["message"]["content"] == "defgh"
    assert found["whole"]["choices"][0]["finish_reason"] == "length"
    deltas = [c["choices"][0]["delta"].get("content") or "" for c in found["chunks"]]
    assert "".join(deltas) == "defgh"
    assert found["chunks"][-1]["choices"][0]["finish_reason"] == "length"
    over_http = found["overHttp"]
    status, answer = over_http["whole"]
    assert (status, answer["choices"][0]["message"]["content"]) == (200, "defgh")
    kind, events = over_http["events"]
    assert kind.startswith("text/event-stream")
    assert events.startswith("data: {") and events.endswith("\n\ndata: [DONE]\n\n")
    assert over_http["refused"][0] == 400
    assert over_http["refused"][1]["error"]["param"] == "messages"
    assert [model["id"] for model in over_http["models"]["data"]] == ["toy"]
    assert (found["bad"], found["badStream"]) == ("bad_request", "bad_request")
    assert found["unknown"] == "model_not_found"
    assert [m["id"] for m in found["models"]] == ["toy"]
    assert found["info"]["device"]["kind"] == "cpu"
    assert found["info"]["cache"] == {"keeps": True}
    python = found["info"]["python"]
    assert python["start"] == "snapshot"
    assert 2**20 < python["heap_nbytes"] < 2**30
    assert [c["complete"] for c in found["cached"]] == [True]
    assert found["removed"] == []
    assert isinstance(found["persisted"], bool)
    assert found["closed"] == "aborted"
    stages = {p["stage"] for p in found["progress"]}
    assert {"registry", "plan", "compile", "download", "upload", "ready"} <= stages
    assert server.count("/registry.json") <= 2


def test_leaving_a_stream_and_aborting_one_leave_the_engine_ready(page: Page) -> None:
    found = run(
        page,
        """
        const engine = await open();
        const create = engine.chat.completions.create.bind(engine.chat.completions);
        let seen = 0;
        for await (const chunk of await create(ask('abc', 200, {stream: true}))) {
          if ((seen += 1) === 3) break;
        }
        const controller = new AbortController();
        const stopped = [];
        const options = {signal: controller.signal};
        for await (const chunk of await create(ask('abc', 200, {stream: true}), options)) {
          stopped.push(chunk.choices[0]);
          controller.abort();
        }
        const after = await create(ask('xyz', 3));
        await engine.close();
        return {stopped, after: after.choices[0].message.content};
        """,
    )
    assert found["stopped"][-1]["finish_reason"] == "stop"
    assert found["after"] == "012"


def test_a_second_visit_downloads_nothing_of_the_model(
    page: Page, server: FaultServer, chunk_urls: list[str]
) -> None:
    say = """
      const engine = await open();
      const reply = await engine.chat.completions.create(ask('abc', 3));
      await engine.close();
      return reply.choices[0].message.content;
    """
    assert run(page, say) == "def"
    fetched = len(server.requests)
    assert all(server.count(url) == 1 for url in chunk_urls)
    page.reload()
    assert run(page, say) == "def"
    again = server.requests[fetched:]
    assert not [url for url in again if url.startswith(("/blobs", "/models"))]


def test_what_was_found_out_about_the_device_is_remembered_and_a_choice_can_be_forced(
    page: Page,
) -> None:
    found = run(
        page,
        """
        const visit = async (options) => {
          const engine = await open(options);
          const {model} = await engine.info();
          const answer = await engine.chat.completions.create(ask('abc', 3));
          await engine.close();
          return {...model, said: answer.choices[0].message.content};
        };
        const first = await visit({});
        const second = await visit({});
        const forced = await visit({choices: {decode: 'decode.again'}, retune: true});
        const bad = await codeOf(() => visit({choices: {decode: 'decode.bad'}}));
        const unknown = await codeOf(() => visit({choices: {decode: 'decode.none'}}));
        return {first, second, forced, bad, unknown};
        """,
    )
    first, second, forced = found["first"], found["second"], found["forced"]
    assert [visit["said"] for visit in (first, second, forced)] == ["def"] * 3
    assert first["self_test"]["largest_difference"] == 0
    assert not first["self_test"]["remembered"] and second["self_test"]["remembered"]
    assert second["self_test"]["tested"] == first["self_test"]["tested"]
    # A processor does not try the other ways unless it is told to.
    assert first["choices"]["decode"]["entry"] == "decode"
    assert first["kernels"] == forced["kernels"] == 4
    assert forced["choices"]["decode"]["entry"] == "decode.again"
    assert forced["choices"]["decode"]["forced"]
    assert (found["bad"], found["unknown"]) == ("unsupported_device", "bad_request")


def test_a_chunk_that_stays_corrupt_is_an_integrity_error(
    page: Page, server: FaultServer, chunk_urls: list[str]
) -> None:
    server.faults[chunk_urls[0]] = [Fault(is_corrupt=True)] * 4
    assert run(page, "return codeOf(() => open());") == "integrity"


def test_a_quota_too_small_is_a_warning_and_the_model_answers(
    page: Page, visitor: BrowserContext, server: FaultServer
) -> None:
    session = visitor.new_cdp_session(page)
    session.send("Storage.overrideQuotaForOrigin", {"origin": server.url, "quotaSize": 300_000})
    found = run(
        page,
        """
        const warnings = [];
        const engine = await open({onWarning: (error) => warnings.push(error.code)});
        const reply = await engine.chat.completions.create(ask('abc', 3));
        const info = await engine.info();
        await engine.close();
        return {warnings, keeps: info.cache.keeps, text: reply.choices[0].message.content};
        """,
    )
    assert found == {"warnings": ["quota_exceeded"], "keeps": False, "text": "def"}


def test_an_answer_goes_on_when_its_device_is_lost(page: Page) -> None:
    page.route("**/engine/worker.js", _losable)
    found = run(
        page,
        """
        const engine = await open();
        const create = engine.chat.completions.create.bind(engine.chat.completions);
        const stream = await create(ask('abc', 200, {stream: true}));
        let text = (await stream.next()).value.choices[0].delta.content;
        new BroadcastChannel('lose').postMessage(0);
        for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
        const after = await create(ask('abc', 200));
        await engine.close();
        const whole = after.choices[0].message.content;
        return {isLong: whole.length > 100, same: whole === text};
        """,
    )
    assert found == {"isLong": True, "same": True}


def test_a_device_lost_between_questions_is_not_even_noticed(page: Page) -> None:
    """Bug: a device that was lost while the computer slept cost the next question."""
    page.route("**/engine/worker.js", _losable)
    found = run(
        page,
        """
        const engine = await open();
        await engine.chat.completions.create(ask('abc', 3));
        new BroadcastChannel('lose').postMessage(0);
        await new Promise((resolve) => setTimeout(resolve, 500));
        const after = await engine.chat.completions.create(ask('abc', 3));
        await engine.close();
        return after.choices[0].message.content;
        """,
    )
    assert found == "def"


def _losable(route: Any) -> None:
    """The worker with a way to destroy its device from outside."""
    response = route.fetch()
    lose = """
      const request = GPUAdapter.prototype.requestDevice;
      GPUAdapter.prototype.requestDevice = async function (options) {
        const device = await request.call(this, options);
        new BroadcastChannel('lose').onmessage = () => device.destroy();
        return device;
      };
    """
    route.fulfill(response=response, body=lose + response.text())


def test_closing_stops_what_still_runs(page: Page) -> None:
    """Bug: an answer under way was computed for two seconds more, and closing waited for it."""
    words = run(
        page,
        """
        const engine = await open();
        const whole = engine.chat.completions.create(ask('abc', 250));
        const stream = await engine.chat.completions.create(ask('abc', 250, {stream: true}));
        const closing = engine.close();
        let words = 0;
        await codeOf(async () => { for await (const chunk of stream) words += 1; });
        await Promise.all([whole, closing]);
        return words;
        """,
    )
    assert words < 100


def test_without_webgpu_a_model_that_has_no_other_plans_says_so_before_its_download(
    chromium: Any, server: FaultServer, chunk_urls: list[str]
) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.goto(server.url)
    page.route("**/engine/worker.js", _without_webgpu)
    assert run(page, "return codeOf(() => open());") == "no_webgpu"
    assert all(server.count(url) == 0 for url in chunk_urls)
    context.close()


def test_a_page_that_is_not_secure_is_told_what_to_do(chromium: Any, server: FaultServer) -> None:
    """Bug: createEngine failed with "crypto.randomUUID is not a function", and no code."""
    context = chromium.new_context()
    context.route(
        "http://site.test/**",
        lambda route: route.fulfill(
            response=route.fetch(url=route.request.url.replace("http://site.test", server.url))
        ),
    )
    page = context.new_page()
    page.goto("http://site.test/")
    page.wait_for_selector("html[data-ready]", state="attached")
    error = page.evaluate("() => harness.errorOf(() => harness.createEngine())")
    assert error["code"] == "no_webgpu"
    assert "https" in error["message"]
    context.close()


def test_an_address_that_is_none_is_a_bad_request(page: Page) -> None:
    """Bug: createEngine threw the browser's TypeError, which has no code."""
    options = {"registryUrl": "http://["}
    error = page.evaluate(
        "(options) => harness.errorOf(() => harness.createEngine(options))", options
    )
    assert (error["code"], error["details"]) == ("bad_request", {"param": "registryUrl"})


def _without_webgpu(route: Any) -> None:
    response = route.fetch()
    hide = "Object.defineProperty(navigator, 'gpu', {value: undefined});"
    route.fulfill(response=response, body=hide + response.text())


@pytest.mark.parametrize("script", ["throw new Error('broken')", "syntax error", "export {}"])
def test_a_worker_that_does_not_start_is_an_error_within_ten_seconds(
    page: Page, script: str
) -> None:
    headers = {"content-type": "text/javascript"}
    page.route("**/engine/worker.js", lambda route: route.fulfill(body=script, headers=headers))
    code, waited = run(
        page,
        """const start = performance.now();
           const code = await codeOf(() => open());
           return [code, performance.now() - start];""",
    )
    assert code == "internal"
    assert waited < 12_000


def test_a_worker_that_dies_rejects_what_is_pending(page: Page) -> None:
    page.route("**/engine/worker.js", _mortal)
    found = run(
        page,
        """
        const engine = await open();
        const create = engine.chat.completions.create.bind(engine.chat.completions);
        const stream = await create(ask('abc', 200, {stream: true}));
        new BroadcastChannel('die').postMessage(0);
        const code = await codeOf(async () => { for await (const chunk of stream) continue; });
        return [code, await codeOf(() => engine.models())];
        """,
    )
    assert found == ["internal", "internal"]


def _mortal(route: Any) -> None:
    response = route.fetch()
    die = "new BroadcastChannel('die').onmessage = () => self.close();"
    route.fulfill(response=response, body=response.text() + die)


def test_a_variant_that_does_not_exist_is_an_error_not_another_variant(page: Page) -> None:
    assert run(page, "return codeOf(() => open({variant: 'matrix'}));") == "bad_request"


def test_aborting_the_start_ends_the_worker(page: Page, server: FaultServer) -> None:
    server.faults["/registry.json"] = [Fault(delay_s=3)] * 3
    code = run(
        page,
        """const controller = new AbortController();
           setTimeout(() => controller.abort(), 500);
           return codeOf(() => open({signal: controller.signal}));""",
    )
    assert code == "aborted"
