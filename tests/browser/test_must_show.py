"""What the project promises of the demo model on two cores without a GPU.

Each promise has two tries: a machine that is busy for a moment is not a broken promise.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.browser.conftest import PREFIX
from tests.browser.visitor import Visitor
from tests.web.fault_server import FaultServer

TRIES = 2
FIRST_VISIT_S = 10.0
SECOND_VISIT_S = 6.0
DECODE_TOKENS_PER_S = 12.0
LONGEST_TASK_MS = 50.0
QUESTION = "What is modelpress?"
ROOT = Path(__file__).resolve().parents[2]


def best(measure: Callable[[], float], limit: float) -> float:
    """The smaller of up to two measurements; the second only when the first missed the limit."""
    found = measure()
    for _ in range(TRIES - 1):
        if found < limit:
            break
        found = min(found, measure())
    return found


def seconds_to_first_token(profile: BrowserContext, server: FaultServer) -> float:
    """From opening the chat page to the first word, asking at once."""
    visitor = Visitor(profile, server.url + PREFIX)
    started = time.perf_counter()
    visitor.open("chat/index.html")
    visitor.ask(QUESTION)
    visitor.wait_for_words()
    seconds = time.perf_counter() - started
    visitor.close()
    return seconds


def test_the_first_and_the_second_visit_are_quick(chromium: Browser, server: FaultServer) -> None:
    seconds: list[float] = []

    def first_visit() -> float:
        profile = chromium.new_context()
        first = seconds_to_first_token(profile, server)
        seconds.append(best(lambda: seconds_to_first_token(profile, server), SECOND_VISIT_S))
        profile.close()
        return first

    first = best(first_visit, FIRST_VISIT_S)
    print(f"first visit {first:.1f} s, second {min(seconds):.1f} s")
    assert first < FIRST_VISIT_S
    assert min(seconds) < SECOND_VISIT_S


def test_the_page_stays_free_while_it_streams(visitor: Visitor) -> None:
    visitor.open("chat/index.html")
    visitor.ask(QUESTION)
    visitor.wait_for_answer()

    def longest() -> float:
        visitor.long_tasks()
        visitor.ask("Tell me a short story.")
        visitor.wait_for_answer()
        return max(visitor.long_tasks(), default=0.0)

    blocked_ms = best(longest, LONGEST_TASK_MS)
    print(f"longest task {blocked_ms:.0f} ms")
    assert blocked_ms < LONGEST_TASK_MS
    visitor.close()


@pytest.mark.browser
def test_decoding_is_fast_enough_to_read(press_guide_site: Path) -> None:
    def seconds_per_token() -> float:
        rates: list[float] = [run["decode_tok_s"] for run in bench(press_guide_site)["runs"]]
        return 1 / max(rates)

    rate = 1 / best(seconds_per_token, 1 / DECODE_TOKENS_PER_S)
    print(f"decode {rate:.1f} tokens/s")
    assert rate >= DECODE_TOKENS_PER_S


def bench(site: Path) -> dict[str, Any]:
    """`modelpress bench --browser` as somebody types it."""
    command = [sys.executable, "-m", "modelpress", "bench", "press-guide", "--browser", "--json"]
    command += ["--site", str(site), "--prompt", "32", "--new", "48", "--runs", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result
