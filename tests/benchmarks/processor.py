"""How fast a built site's models are on the processor: Chromium and Firefox without WebGPU.

    python -m tests.benchmarks.processor [ID] [--site build/site] [--browser chromium|firefox]
        [--variant cpu] [--threads 2] [--synthetic]

Loads a model on a page of the site and benchmarks it: by the clock, and in tokens for each second
of processor time of all the browser's processes together, which other work on the machine disturbs
less. A short run is subtracted from a long one, so that start and end cancel. Several threads need
an isolated page, so the site is then served as one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
from playwright.async_api import async_playwright

import doctor
from runtime.bench import QUEUED_STEPS
from site_builder.serve import ISOLATION, Mount, address, make_server
from tests.browser.firefox import open_firefox

Evaluate = Callable[[str, Any], Awaitable[Any]]

FLAGS = ("--no-sandbox", "--disable-features=WebGPUService")
SHORT, PROMPT, NEW, FEW = 64, 256, 64, 4
LOAD = """
async ([options, id]) => {
  const { createEngine } = await import(new URL("../engine/client.js", location).href);
  window.engine = await createEngine(options);
  await window.engine.load(id);
  return window.engine.info();
}
"""
RUN = """
async ([id, prompt, added]) =>
  (await window.engine.bench({ id, prompt, new: added, runs: 1 })).runs[0]
"""


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("id", nargs="?", default="press-guide")
    parser.add_argument("--site", type=Path, default=Path("build/site"))
    parser.add_argument("--browser", choices=("chromium", "firefox"), default="chromium")
    parser.add_argument("--variant", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--synthetic", action="store_true")
    arguments = parser.parse_args()
    print(json.dumps(asyncio.run(measure(arguments)), indent=2))


async def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Tokens a second of prompt and answer, by the clock and of processor time."""
    mount = Mount(arguments.site, extra_headers=ISOLATION if arguments.threads > 1 else None)
    server = make_server(mount, port=0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page = address(server, mount) + "about/index.html"
    open_browser = {"chromium": chromium, "firefox": firefox}[arguments.browser]
    weights = "synthetic" if arguments.synthetic else "real"
    # A shared context would cost memory that is not what is measured here.
    options = {"variant": arguments.variant, "weights": weights, "context": 2 * PROMPT}
    threads = {"threads": arguments.threads} if arguments.threads > 1 else {}
    try:
        async with open_browser(page) as evaluate:
            info = await evaluate(LOAD, [{**options, **threads}, arguments.id])
            speeds = await figures(evaluate, arguments.id)
    finally:
        server.shutdown()
        server.server_close()
    return {"device": info["device"]["name"], "variant": info["model"]["variant"], **speeds}


async def figures(evaluate: Evaluate, id: str) -> dict[str, float]:
    """A short prompt, a long one, and a long answer to what is cached by then."""
    short, _ = await run(evaluate, id, SHORT, FEW)
    prompt, whole = await run(evaluate, id, PROMPT, FEW)
    cached, _ = await run(evaluate, id, PROMPT, FEW)
    answer, long = await run(evaluate, id, PROMPT, NEW)
    # After each run some steps are queued to be timed without waiting.
    steps = NEW - FEW + min(QUEUED_STEPS, NEW) - min(QUEUED_STEPS, FEW)
    return {
        "prefill_tok_s": whole["prefill_tok_s"],
        "decode_tok_s": long["decode_tok_s"],
        "prefill_tok_per_processor_s": round((PROMPT - SHORT) / (prompt - short), 1),
        "decode_tok_per_processor_s": round(steps / (answer - cached), 1),
    }


async def run(evaluate: Evaluate, id: str, prompt: int, new: int) -> tuple[float, dict[str, float]]:
    """Processor seconds of one run, and what the engine says of it."""
    before = processor_seconds()
    result = await evaluate(RUN, [id, prompt, new])
    return processor_seconds() - before, result


def processor_seconds() -> float:
    """Of all processes below this one."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


@asynccontextmanager
async def chromium(url: str) -> AsyncIterator[Evaluate]:
    """A page at `url` in Chromium without WebGPU."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=doctor.chromium(), args=list(FLAGS)
        )
        page = await browser.new_page()
        page.set_default_timeout(600_000)
        await page.goto(url)
        yield page.evaluate
        await browser.close()


@asynccontextmanager
async def firefox(url: str) -> AsyncIterator[Evaluate]:
    """A page at `url` in Firefox without WebGPU."""
    program, driver = doctor.firefox(), doctor.lavapipe()
    assert program is not None and driver is not None, "`modelpress doctor` says what is missing"
    async with open_firefox(program, driver, {"dom.webgpu.enabled": False}) as browser:
        await browser.open(url)
        yield browser.evaluate


if __name__ == "__main__":
    main()
