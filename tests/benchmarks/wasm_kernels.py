"""How fast a model's kernels are on the processor: one thread of Chromium, synthetic weights.

    python -m tests.benchmarks.wasm_kernels [ID] [--variant cpu] [--scheme q4] [--past 256]
        [--prompt 64] [--entry decode prefill greedy]

Compiles the plan, replays its entries on a page of its own and prints, for each kernel, how often
it is called and the least time of its calls, then what a token takes when all of that is added up.
The least of many short calls is what a quiet machine would take.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from hub.compile import compile_plans
from hub.schemes import SCHEMES
from runtime.plan import Plan, Step

CONFIGS = Path("model_configs")
ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
"""Without isolation a page's clock ticks ten times a millisecond only."""
START = """
async ({ wasm, pages }) => {
  const bytes = Uint8Array.from(atob(wasm), (letter) => letter.charCodeAt(0));
  const memory = new WebAssembly.Memory({ initial: pages });
  const begin = performance.now();
  const module = await WebAssembly.compile(bytes);
  const instance = await WebAssembly.instantiate(module, { env: { memory } });
  window.kernels = instance.exports;
  return performance.now() - begin;
}
"""
CALL = """
([name, given, items]) => { window.kernels[name](...given, 0, items); }
"""
TIME = """
([name, given, items, ms]) => {
  const kernel = window.kernels[name];
  const all = () => {
    const begin = performance.now();
    kernel(...given, 0, items);
    return performance.now() - begin;
  };
  const first = all();
  // Half a millisecond is seldom interrupted; short calls are timed several at once.
  const part = Math.max(1, Math.min(items, Math.round((items * 0.5) / Math.max(first, 0.01))));
  const turns = Math.max(1, Math.round(0.2 / Math.max(first * (part / items), 0.002)));
  let best = Infinity;
  const stop = performance.now() + ms;
  for (let at = 0; performance.now() < stop; at = at + 2 * part > items ? 0 : at + part) {
    const begin = performance.now();
    for (let turn = 0; turn < turns; turn++) kernel(...given, at, Math.min(items, at + part));
    const taken = (performance.now() - begin) / turns;
    best = Math.min(best, (taken * items) / (Math.min(items, at + part) - at));
  }
  return best;
}
"""


def main() -> None:
    """Print a table of each entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("id", nargs="?", default="qwen2-0.5b-instruct")
    parser.add_argument("--variant", default="cpu")
    parser.add_argument("--scheme", default="q4", choices=sorted(SCHEMES))
    parser.add_argument("--past", type=int, default=256)
    parser.add_argument("--prompt", type=int, default=64)
    parser.add_argument("--entry", nargs="+", default=["decode", "prefill", "greedy"])
    parser.add_argument("--ms", type=int, default=150, help="of measuring a kernel")
    options = parser.parse_args()
    plan, module = compiled(options.id, options.variant, options.scheme)
    print(f"{options.id} {options.scheme} {options.variant}: {len(module)} bytes of module")
    with sync_playwright() as driver:
        flags = ["--no-sandbox", "--js-flags=--no-liftoff"]
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=flags)
        page = browser.new_page()
        page.route("**/*", lambda route: route.fulfill(body="<p>", headers=ISOLATED))
        page.goto("https://kernels.test/")
        replay = Replay(page, plan, module)
        for entry in options.entry:
            rows = options.prompt if entry.startswith("prefill") else 1
            symbols = {"n": rows, "pos": options.past, "seed": 1}
            show(entry, rows, replay.times(entry, symbols, options.ms))
        browser.close()


def compiled(id: str, variant: str, scheme: str) -> tuple[Plan, bytes]:
    """A plan of a model of the catalogue and its module for one thread."""
    config = tomllib.loads((CONFIGS / f"{id}.toml").read_text())
    modules: dict[str, bytes] = {}
    (plan,) = compile_plans(
        model_id=id,
        family=config["family"],
        config=config["architecture"],
        scheme=SCHEMES[scheme],
        context=min(config["context"], 1024),
        variants=(variant,),
        keep=lambda data: modules.update({hashlib.sha256(data).hexdigest(): data}),
    )
    assert plan.module is not None
    return plan, modules[plan.module.single.sha256]


class Replay:
    """A plan's memory and calls on a page."""

    def __init__(self, page: Page, plan: Plan, module: bytes) -> None:
        assert plan.module is not None
        self._page, self._plan = page, plan
        self._exports = {kernel.name: kernel.entry_point for kernel in plan.kernels}
        self._at, end = {}, plan.module.data_end
        symbols = {"pages": -(-plan.context // plan.page_size)}
        for buffer in plan.buffers:
            self._at[buffer.name] = end
            end += -(-buffer.nbytes.evaluate(symbols) // 64) * 64
        given = {"wasm": base64.b64encode(module).decode(), "pages": end // 65536 + 1}
        print(f"ready to run after {page.evaluate(START, given):.1f} ms")
        for step in plan.entries["synthesize"].steps:
            page.evaluate(CALL, self._call(step, {"seed": 1}))

    def _call(self, step: Step, symbols: Mapping[str, int]) -> list[Any]:
        given = [self._at[name] for name in step.bindings]
        given += [uniform.value.evaluate(symbols) for uniform in step.uniforms]
        return [self._exports[step.kernel], given, step.grid[0].evaluate(symbols)]

    def times(self, entry: str, symbols: Mapping[str, int], ms: int) -> Mapping[str, list[float]]:
        """By kernel and items, the milliseconds of each of its calls."""
        found: dict[str, list[float]] = {}
        known: dict[str, float] = {}
        for step in self._plan.entries[entry].steps:
            name, given, items = self._call(step, symbols)
            self._page.evaluate(CALL, [name, given, items])
            scalars = given[len(step.bindings) :]
            key = f"{name} {items} {scalars}"
            if key not in known:
                known[key] = self._page.evaluate(TIME, [name, given, items, ms])
            found.setdefault(key, []).append(known[key])
        return found


def show(entry: str, rows: int, times: Mapping[str, list[float]]) -> None:
    """A line a kernel, the slowest first."""
    total = sum(map(sum, times.values()))
    print(f"\n{entry}: {total:.2f} ms, {1000 * rows / total:.1f} tok/s")
    for key, taken in sorted(times.items(), key=lambda item: -sum(item[1])):
        each = 1000 * taken[0]
        print(f"  {sum(taken):8.3f} ms  {len(taken):4d} x {each:9.1f} us  {key}")


if __name__ == "__main__":
    main()
