"""How much processor time a page itself takes for a token: JavaScript and Python together.

    python -m tests.benchmarks.page_cpu [ID] [--site build/site] [--runs 5]

Benchmarks one engine on a page of a built site in Chromium and reads what the operating system
counted for the threads of the process of the page, where the engine lives; the GPU has one of its
own. A short answer is subtracted from a long one, so that the question, the start and the end
cancel. Linux only: reads /proc.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import psutil

from bench_page import FLAGS, HARDWARE, SOFTWARE, TIMEOUT_MS, serving, shown

SHORT, LONG, PROMPT = 32, 288, 64
START = """
async (weights) => {
  const { createEngine } = await import("../engine/client.js");
  window.engine = await createEngine({ weights });
}
"""
ANSWER = """
([id, added]) => window.engine.bench({ id, prompt: PROMPT, new: added, runs: 1 })
""".replace("PROMPT", str(PROMPT))


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("id", nargs="?", default="press-guide")
    parser.add_argument("--site", type=Path, default=Path("build/site"))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--hardware", action="store_true", help="on the GPU of this machine")
    parser.add_argument("--synthetic", action="store_true")
    arguments = parser.parse_args()
    flags = (*FLAGS, *(HARDWARE if arguments.hardware else SOFTWARE))
    weights = "synthetic" if arguments.synthetic else "real"
    with serving(arguments.site) as url, shown(flags) as page:
        page.set_default_timeout(TIMEOUT_MS)
        page.goto(f"{url}bench/index.html")
        page.locator("[data-bench-form]").wait_for()
        page.evaluate(START, weights)
        took(page, arguments.id, LONG)  # loads, and lets the compilers of the browser finish
        runs = [per_token(page, arguments.id) for _ in range(arguments.runs)]
    names = sorted({name for run in runs for name in run})
    medians = {
        name: round(statistics.median(run.get(name, 0.0) for run in runs), 3) for name in names
    }
    total = [round(sum(run.values()), 3) for run in runs]
    print(json.dumps({"cpu_ms_per_token": statistics.median(total), "runs": total} | medians))


def per_token(page: Any, id: str) -> dict[str, float]:
    """Milliseconds a token by thread."""
    short, long = took(page, id, SHORT), took(page, id, LONG)
    return {name: 1000 * (long[name] - short.get(name, 0)) / (LONG - SHORT) for name in long}


def took(page: Any, id: str, new: int) -> dict[str, float]:
    """Seconds of processor time that each kind of thread spent on one answer."""
    before = seconds()
    page.evaluate(ANSWER, [id, new])
    return {name: after - before.get(name, 0) for name, after in seconds().items()}


def seconds() -> dict[str, float]:
    """Of processor time by the name of the thread, in all pages this program opened."""
    found: dict[str, float] = {}
    for process in psutil.Process().children(recursive=True):
        if "--type=renderer" not in process.cmdline():
            continue
        for thread in process.threads():
            folder = Path(f"/proc/{process.pid}/task/{thread.id}")
            try:
                name = (folder / "comm").read_text().strip()
                spent = int((folder / "schedstat").read_text().split()[0]) / 1e9
            except FileNotFoundError:  # the thread ended
                continue
            found[name] = found.get(name, 0) + spent
    return found


if __name__ == "__main__":
    main()
