"""The HTTP endpoint in Chromium: a service worker, the page that leads, and those that ask.

What answers is a few lines in the page, so that it can be slow, wrong or gone when a test says so.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.web.fault_server import FaultServer

pytestmark = pytest.mark.browser

SERVE = """async (name) => {
  const encoder = new TextEncoder();
  window.stopped = 0;
  window.seen = [];
  const events = (signal, count) => new ReadableStream({
    async start(controller) {
      for (let i = 0; i < count && !signal.aborted; i += 1) {
        controller.enqueue(encoder.encode(`data: ${name} ${i}\\n\\n`));
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      if (signal.aborted) window.stopped += 1;
      else controller.close();
    },
  });
  const answer = async (url, { method, body, signal }) => {
    window.seen.push([method, new URL(url).pathname, body]);
    if (body === 'fail') throw new harness.ModelpressError('device_lost', 'ask again');
    if (url.endsWith('/models')) return Response.json({ data: [name] }, { status: 200 });
    if (url.endsWith('/embeddings')) return Response.json({ asked: JSON.parse(body) });
    if (url.endsWith('/chat/completions') && body.startsWith('{')) {
      const text = 'data: {"part": "é1"}\\n\\ndata: {"part": 2}\\n\\ndata: [DONE]\\n\\n';
      const bytes = encoder.encode(text);
      const pieces = new ReadableStream({
        start(controller) {
          // Cut inside a character, and inside a line.
          for (const [from, to] of [[0, 17], [17, 30], [30]]) {
            controller.enqueue(bytes.slice(from, to));
          }
          controller.close();
        },
      });
      return new Response(pieces);
    }
    const short = { error: { code: 'short' } };
    if (url.endsWith('/teapot')) return Response.json(short, { status: 418 });
    const headers = { 'content-type': 'text/event-stream' };
    return new Response(events(signal, Number(body)), { headers });
  };
  window.made = 0;
  const engine = async () => { window.made += 1; return { fetch: answer }; };
  window.endpoint = await harness.serveEndpoint({ engine, serviceWorker: '/site/sw.js' });
}"""
MODELS = "() => fetch('/site/v1/models').then((answer) => answer.json())"
LEADS = "() => window.endpoint.leads"
HANG = """() => {
  const hang = () => { for (const end = Date.now() + 12000; Date.now() < end;); };
  setTimeout(hang, 100);
}"""


@pytest.fixture
def host(web_folder: Path, tmp_path: Path) -> Iterator[FaultServer]:
    """A site with a service worker, a page with the harness and nothing else."""
    for name in ("index.html", "harness.js"):
        shutil.copy(web_folder / name, tmp_path / name)
    page = (
        (tmp_path / "index.html").read_text(encoding="utf-8").replace("/harness", "/site/harness")
    )
    (tmp_path / "index.html").write_text(page, encoding="utf-8")
    shutil.copy(web_folder / "engine/service_worker.js", tmp_path / "sw.js")
    shell = {"format": 1, "version": "one", "files": []}
    (tmp_path / "shell.json").write_text(json.dumps(shell), encoding="utf-8")
    with FaultServer({"/site/engine/": web_folder / "engine", "/site/": tmp_path}) as server:
        yield server


def tab(visitor: BrowserContext, host: FaultServer, name: str | None = None) -> Page:
    """A page of the site; with a `name`, one that stands in line to answer."""
    page = visitor.new_page()
    page.goto(f"{host.url}/site/")
    page.wait_for_selector("html[data-ready]", state="attached")
    if name is not None:
        page.evaluate(SERVE, name)
    return page


@pytest.fixture
def leader(visitor: BrowserContext, host: FaultServer) -> Page:
    page = tab(visitor, host, "one")
    page.wait_for_function(LEADS)
    return page


def test_every_page_reaches_the_one_engine(
    visitor: BrowserContext, host: FaultServer, leader: Page
) -> None:
    other = tab(visitor, host, "two")
    assert other.evaluate(MODELS) == {"data": ["one"]}
    assert leader.evaluate(MODELS) == {"data": ["one"]}
    assert [leader.evaluate("() => window.made"), other.evaluate("() => window.made")] == [1, 0]
    assert not other.evaluate(LEADS)
    assert leader.evaluate("() => window.seen[0]") == ["GET", "/site/v1/models", None]


def test_status_and_body_of_an_answer_are_kept(leader: Page) -> None:
    found = leader.evaluate(
        """async () => {
          const answer = await fetch('/site/v1/teapot', { method: 'POST', body: '{"a": "é"}' });
          return [answer.status, answer.headers.get('content-type'), await answer.json()];
        }"""
    )
    assert found == [418, "application/json", {"error": {"code": "short"}}]
    assert leader.evaluate("() => window.seen") == [["POST", "/site/v1/teapot", '{"a": "é"}']]


READ_FIRST = """async () => {
  window.controller = new AbortController();
  const options = { method: 'POST', body: '10000', signal: window.controller.signal };
  const answer = await fetch('/site/v1/chat/completions', options);
  window.reader = answer.body.getReader();
  const { value } = await window.reader.read();
  return new TextDecoder().decode(value);
}"""


def test_a_stream_arrives_as_it_is_written_and_stops_with_its_reader(leader: Page) -> None:
    assert leader.evaluate(READ_FIRST).startswith("data: one 0\n\n")
    leader.evaluate("() => window.controller.abort()")
    leader.wait_for_function("() => window.stopped === 1")


def last_event(page: Page) -> Any:
    """What the stream that `page` has begun to read ends with."""
    text = page.evaluate(
        """async () => {
          const decoder = new TextDecoder();
          let text = '';
          for (;;) {
            const { done, value } = await window.reader.read();
            if (done) return text;
            text += decoder.decode(value, { stream: true });
          }
        }"""
    )
    return json.loads(text.strip().rpartition("data: ")[2])


def test_a_whole_stream_ends(leader: Page) -> None:
    body = leader.evaluate(
        "() => fetch('/site/v1/x', { method: 'POST', body: '3' }).then((a) => a.text())"
    )
    assert body == "data: one 0\n\ndata: one 1\n\ndata: one 2\n\n"


def test_errors_are_openais_objects(leader: Page) -> None:
    found: Any = leader.evaluate(
        """async () => {
          const answer = await fetch('/site/v1/chat/completions', { method: 'POST', body: 'fail' });
          return [answer.status, await answer.json()];
        }"""
    )
    assert found[0] == 500
    assert found[1]["error"]["code"] == "device_lost"


def test_the_next_page_leads_when_the_first_closes_and_a_stream_under_way_ends_with_an_error(
    visitor: BrowserContext, host: FaultServer, leader: Page
) -> None:
    other = tab(visitor, host, "two")
    assert other.evaluate(READ_FIRST).startswith("data: one 0\n\n")
    leader.close()
    assert last_event(other)["error"]["code"] == "no_engine"
    assert other.evaluate(MODELS) == {"data": ["two"]}


def test_without_a_page_that_answers_a_request_says_what_to_open(
    visitor: BrowserContext, host: FaultServer, leader: Page
) -> None:
    leader.evaluate("() => window.endpoint.close()")
    found: Any = leader.evaluate(
        "() => fetch('/site/v1/models').then(async (a) => [a.status, await a.json()])"
    )
    assert found[0] == 503
    assert found[1]["error"]["code"] == "no_engine"
    assert "serveEndpoint" in found[1]["error"]["message"]


def test_an_answer_of_a_page_that_hangs_ends_with_an_error(
    visitor: BrowserContext, host: FaultServer, leader: Page
) -> None:
    other = tab(visitor, host)
    assert other.evaluate(READ_FIRST).startswith("data: one 0\n\n")
    leader.evaluate(HANG)
    assert last_event(other)["error"]["code"] == "no_engine"


PYTHON = """async (code) => {
  const base = new URL('/site/engine/', document.baseURI).href;
  const { loadPyodide } = await import(base + 'pyodide/pyodide.mjs');
  const options = { indexURL: base + 'pyodide/', packageBaseUrl: base + 'pyodide/' };
  const python = await loadPyodide(options);
  const archive = await (await fetch(base + 'runtime.zip')).arrayBuffer();
  python.unpackArchive(archive, 'zip', { extractDir: '/engine' });
  return JSON.parse(await python.runPythonAsync(code));
}"""
CONNECT = """
import json, sys
sys.path.insert(0, "/engine")
from runtime.browser import connect
from runtime.errors import ModelpressError

engine = await connect()
chunks = [c async for c in await engine.chat.completions.create(messages=[], stream=True)]
codes = []
for work in (connect("/elsewhere/v1"), engine.whole("teapot", {})):
    try:
        await work
    except ModelpressError as error:
        codes.append(error.code)
json.dumps({
    "base": engine.base_url, "models": await engine.models(), "chunks": chunks, "codes": codes,
    "embeddings": await engine.embeddings.create(input=["a", "é"]),
})
"""


def test_python_in_a_page_connects_to_the_sites_engine(host: FaultServer, leader: Page) -> None:
    found: Any = leader.evaluate(PYTHON, CONNECT)
    assert found == {
        "base": f"{host.url}/site/v1/",
        "models": ["one"],
        "chunks": [{"part": "é1"}, {"part": 2}],
        "codes": ["no_engine", "internal"],
        "embeddings": {"asked": {"input": ["a", "é"]}},
    }
