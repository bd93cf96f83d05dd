"""A blank page of the site's origin that uses the engine as somebody's own page would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Page

from tests.web.fault_server import FaultServer

BLANK = "/blank/"

OPEN = """
async ([client, options]) => {
  const { createEngine } = await import(client);
  window.progress = [];
  const onProgress = (p) => window.progress.push(p);
  try {
    window.engine = await createEngine({ ...options, onProgress });
    return { result: await window.engine.info() };
  } catch (error) {
    return { error: { name: error.name, code: error.code, message: error.message } };
  }
}
"""
CREATE = """
async (request) => {
  try {
    return { result: await window.engine.chat.completions.create(request) };
  } catch (error) {
    return { error: { name: error.name, code: error.code, message: error.message } };
  }
}
"""
STREAM = """
async ([request, stopAfter]) => {
  const chunks = [];
  const controller = new AbortController();
  try {
    const stream = await window.engine.chat.completions.create(
      { ...request, stream: true }, { signal: controller.signal },
    );
    for await (const chunk of stream) {
      chunks.push(chunk);
      window.streamed = chunks.length;
      if (chunks.length === stopAfter) controller.abort();
    }
    return { result: chunks };
  } catch (error) {
    return { error: { name: error.name, code: error.code, message: error.message }, chunks };
  }
}
"""


class EnginePage:
    """`createEngine` and what it gives; errors come back as {"error": {"code", "message"}}."""

    def __init__(self, page: Page, site: str, blank: str) -> None:
        self.page = page
        self._client = site + "engine/client.js"
        page.set_default_timeout(180_000)
        page.goto(blank)

    def open(self, **options: Any) -> dict[str, Any]:
        """`createEngine`; the info of the engine, or the error."""
        answer: dict[str, Any] = self.page.evaluate(OPEN, [self._client, options])
        return answer

    def create(self, request: Any) -> dict[str, Any]:
        """A whole answer."""
        answer: dict[str, Any] = self.page.evaluate(CREATE, request)
        return answer

    def stream(self, request: Any, *, stop_after: int = -1) -> dict[str, Any]:
        """All chunks of an answer; aborted once `stop_after` have come."""
        answer: dict[str, Any] = self.page.evaluate(STREAM, [request, stop_after])
        return answer

    def stages(self) -> list[str]:
        """The stages that were reported, in order of first appearance."""
        seen: list[str] = self.page.evaluate("[...new Set(window.progress.map((p) => p.stage))]")
        return seen


def ask(question: str, **fields: Any) -> dict[str, Any]:
    """A request with one message, greedy unless `fields` say otherwise."""
    return {"messages": [{"role": "user", "content": question}], "temperature": 0, **fields}


def text_of(chunks: list[dict[str, Any]]) -> str:
    """What a stream said."""
    return "".join(
        choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]
    )


def blank_page(
    profile: BrowserContext, server: FaultServer, folder: Path, prefix: str
) -> EnginePage:
    """A page that holds nothing, beside the site."""
    (folder / "index.html").write_text("<!doctype html><html lang='en'><title>blank</title></html>")
    server.mounts[BLANK] = folder
    return EnginePage(profile.new_page(), server.url + prefix, server.url + BLANK)
