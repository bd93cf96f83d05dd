"""What a schema costs: the same questions with and without one, in turn, in headless Chromium.

    python -m tests.benchmarks.structured build/site [ROUNDS]

`free` queues steps ahead; `waiting` waits for every token as a structured answer must (it asks for
logprobs); `any text` waits and masks, but forbids nothing; `schema` forbids. Medians over the
rounds, the first left out: it compiles.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import sync_playwright

import doctor
from bench_page import FLAGS, SOFTWARE
from tests.browser.engine_page import EnginePage, ask, blank_page
from tests.web.fault_server import FaultServer

PREFIX = "/site/"
QUESTION = "What is modelpress?"
WORDS = {"type": "array", "items": {"type": "string"}, "minItems": 30}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "words", "schema": WORDS}}
ANY_TEXT = {"type": "structural_tag", "format": {"type": "any_text"}}
KINDS: dict[str, dict[str, Any]] = {
    "free": {},
    "waiting": {"logprobs": True},
    "any text": {"response_format": ANY_TEXT},
    "schema": {"response_format": SCHEMA},
}


def measure(engine: EnginePage, rounds: int) -> dict[str, list[dict[str, float]]]:
    """`usage.extra` of every answer, by kind."""
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    for _ in range(rounds + 1):
        for kind, fields in KINDS.items():
            request = ask(QUESTION, temperature=1, seed=7, max_tokens=48, **fields)
            found[kind].append(engine.create(request)["result"]["usage"]["extra"])
    return {kind: answers[1:] for kind, answers in found.items()}


def main(site: Path, rounds: int) -> None:
    """Print the table."""
    with sync_playwright() as driver, FaultServer({PREFIX: site}) as server:
        browser = driver.chromium.launch(
            executable_path=doctor.chromium(), args=[*FLAGS, *SOFTWARE]
        )
        profile = browser.new_context()
        engine = blank_page(profile, server, Path(tempfile.mkdtemp()), PREFIX)
        engine.open(model="press-guide", variant="software")
        for kind, answers in measure(engine, rounds).items():
            rate = median(answer["decode_tok_s"] for answer in answers)
            first = 1000 * median(answer["ttft_s"] for answer in answers)
            print(f"{kind:10} {rate:7.1f} tokens/s   first token after {first:5.0f} ms")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else 5)
