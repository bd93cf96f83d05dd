"""A visitor: a page of the built site, what was said on it, and what it may not do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, expect

SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"
ANSWER_TIMEOUT_MS = 120_000
COUNT_LONG_TASKS = """
window.longTasks = [];
new PerformanceObserver((list) => {
  for (const task of list.getEntries()) window.longTasks.push(task.duration);
}).observe({ type: "longtask", buffered: true });
"""


class Visitor:
    """One tab of one profile. `close` fails the test when the page complained or called out."""

    def __init__(self, context: BrowserContext, site: str) -> None:
        self.site = site
        self.troubles: list[str] = []
        self.page = context.new_page()
        self.page.add_init_script(COUNT_LONG_TASKS)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.troubles.append(f"page error: {error}"))
        context.on("request", self._saw)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.troubles.append(f"console {message.type}: {message.text}")

    def _saw(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme in {"http", "https"} and address.netloc != urlsplit(self.site).netloc:
            self.troubles.append(f"request to {request.url}")

    def open(self, path: str = "") -> Page:
        """Go to a page of the site."""
        self.page.goto(self.site + path)
        return self.page

    def ask(self, question: str) -> None:
        """Type a question and press Enter."""
        expect(self.page.locator("[data-welcome]:not([hidden]), .message").first).to_be_visible()
        field = self.page.get_by_role("textbox", name="Message")
        field.fill(question)
        field.press("Enter")

    def wait_for_answer(self) -> str:
        """The last answer once it is finished."""
        expect(self.page.locator("[data-send]")).to_be_visible(timeout=ANSWER_TIMEOUT_MS)
        message = self.page.locator(".message-assistant").last
        # Its foot comes with the last of its text, which the page shows frame by frame.
        expect(message.locator(".message-numbers")).to_be_attached()
        answer = message.locator(".answer")
        expect(answer).not_to_be_empty()
        return answer.inner_text()

    def wait_for_words(self) -> None:
        """The last answer has begun."""
        last = self.page.locator(".message-assistant .answer").last
        expect(last.locator("p, li, pre").first).not_to_be_empty(timeout=ANSWER_TIMEOUT_MS)

    def screenshot(self, name: str) -> None:
        """Keep what the page looks like in build/screenshots."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    def long_tasks(self) -> list[float]:
        """Milliseconds of every task longer than 50 ms since this was last asked."""
        tasks: list[float] = self.page.evaluate("window.longTasks.splice(0)")
        return tasks

    def close(self, allowed: Callable[[str], bool] = lambda trouble: False) -> None:
        """Close the tab; nothing but `allowed` may have been complained about."""
        self.page.close()
        troubles = [trouble for trouble in self.troubles if not allowed(trouble)]
        assert not troubles, "\n".join(troubles)
