"""How much memory a page takes while it loads a model, and how long that takes.

    python -m tests.benchmarks.load_memory [--megabytes 400] [--runs 3] [--folder DIR]
        [--against ENGINE_FOLDER] [--timeline]

Builds a Llama-shaped model of random weights of that size, serves its site on loopback and opens
it in Chromium twice a run: with nothing kept, and with everything. Counted is what the page's
process has at most beyond what it had when its engine was open, without the growth of Python's
heap. `--against` names another build of the engine: runs of both take turns. No debugger is
attached, because one that listens to the network makes the page keep what it fetches. Linux only:
reads /proc.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import psutil

import doctor
from bench_page import FLAGS, SOFTWARE
from tests.reference.tiny import TinyModel
from tests.web.fault_server import FaultServer

MODEL = "random-weights"
ROOT = Path(__file__).resolve().parents[2]
LAYER_NBYTES = 2 * (3 * 1024 * 1024 + 3 * 1024 * 4096)
SETTLE_S = 2
SAMPLE_S = 0.003
TIMEOUT_S = 600
VISITS = ("first", "second")
PAGE = """<!doctype html><html lang="en"><title>loading</title>
<script type="module" src="load.js"></script></html>"""
SCRIPT = """
const mark = (name, value) =>
  fetch(`mark/${name}/${encodeURIComponent(JSON.stringify(value))}`).catch(() => undefined);
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
const times = {};
let started = performance.now();
const onProgress = ({ stage, done, total }) => {
  const now = Math.round(performance.now() - started);
  times[stage] ??= { began: now, ended: now };
  if (times[stage].done !== done) times[stage] = { ...times[stage], ended: now, done };
};
try {
  const { createEngine } = await import("../site/engine/client.js");
  const atOnce = location.search === "?at-once";
  const engine = await createEngine(atOnce ? { model: "MODEL", onProgress } : {});
  if (!atOnce) {
    await pause(SETTLE);
    await mark("opened", (await engine.info()).python.heap_nbytes);
    await pause(0.2);
    started = performance.now();
    await engine.load("MODEL", { onProgress });
  }
  const seconds = (performance.now() - started) / 1000;
  await mark("loaded", { seconds, times, heap: (await engine.info()).python.heap_nbytes });
} catch (error) {
  await mark("failed", `${error.code}: ${error.message}`);
}
"""


@dataclass(frozen=True, slots=True)
class Visit:
    """MiB by kind of process, and seconds."""

    above: float
    """What the page took at most beyond what it had before, without Python's growth."""
    others_above: dict[str, float]
    """The same for the other processes of the browser."""
    load_s: float
    """In an engine that was open, with its self-test at the first visit."""
    times: dict[str, dict[str, int]]
    """First and last report of every stage, in milliseconds."""

    @property
    def weights_s(self) -> float:
        """From the first byte asked for to the last on the device."""
        return (self.times["upload"]["ended"] - self.times["download"]["began"]) / 1000


def main() -> None:
    """Print the figures of both visits as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to build, and to find what was built")
    parser.add_argument("--against", type=Path, help="the folder of another engine")
    parser.add_argument("--timeline", action="store_true", help="add the stages' times")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch)
        site = build(folder, arguments.megabytes)
        engines = {"this": site / "engine"}
        if arguments.against:
            engines["against"] = arguments.against
        found: dict[str, list[list[Visit]]] = {name: [] for name in engines}
        for _ in range(arguments.runs):
            for name, engine in engines.items():
                mounts = {"/site/": site, "/site/engine/": engine, "/page/": page(folder)}
                with tempfile.TemporaryDirectory() as profile, FaultServer(mounts) as server:
                    found[name].append([visit(server, Path(profile)) for _ in VISITS])
    print(json.dumps(report(found, timeline=arguments.timeline), indent=1))


def report(found: dict[str, list[list[Visit]]], *, timeline: bool) -> dict[str, Any]:
    """Medians of the times and the largest of the memory, by engine and visit."""
    figures: dict[str, Any] = {}
    for name, runs in found.items():
        for at, which in enumerate(VISITS):
            visits = [run[at] for run in runs]
            figures[f"{name}, {which} visit"] = {
                "MiB above engine and Python's heap": [round(v.above, 1) for v in visits],
                "MiB above in other processes": {
                    kind: round(max(v.others_above[kind] for v in visits))
                    for kind in visits[0].others_above
                },
                "seconds of weights": [round(v.weights_s, 2) for v in visits],
                "median seconds of weights": round(
                    statistics.median(v.weights_s for v in visits), 2
                ),
                "median seconds of loading": round(statistics.median(v.load_s for v in visits), 2),
            } | ({"timeline": visits[-1].times} if timeline else {})
    return figures


def build(folder: Path, megabytes: int) -> Path:
    """The site of a model of about `megabytes` of stored weights, with the engine as it is now."""
    if not (folder / "hub").is_dir():
        layers = max(1, round(megabytes * 1e6 / LAYER_NBYTES))
        model = TinyModel(MODEL, 1024, layers, 16, 8, 64, 4096, 4096, seed=1)
        checkpoint = model.write(folder / "checkpoint")
        options = ("--checkpoint", str(checkpoint), "--scheme", "f16", "--context", "256")
        modelpress("build", MODEL, *options, "--out", str(folder / "hub"))
    modelpress("site", "--hub", str(folder / "hub"), "--out", str(folder / "site"))
    return folder / "site"


def modelpress(*arguments: str) -> None:
    """One of our own commands; what it says goes to stderr."""
    command = [sys.executable, "-m", "modelpress", *arguments]
    subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)


def page(folder: Path) -> Path:
    """The folder of a page that opens an engine, says so, and loads the model."""
    out = folder / "page"
    out.mkdir(exist_ok=True)
    (out / "index.html").write_text(PAGE)
    script = SCRIPT.replace("MODEL", MODEL).replace("SETTLE", str(SETTLE_S))
    (out / "load.js").write_text(script)
    return out


def visit(server: FaultServer, profile: Path) -> Visit:
    """One visit with the browser's profile in `profile`."""
    server.requests.clear()
    with chromium(f"{server.url}/page/index.html", profile) as browser:
        heap = wait_for(server, "opened")
        with Sampler(browser) as sampler:
            loaded = wait_for(server, "loaded")
    grown = (loaded["heap"] - heap) / 2**20
    above = {kind: peak - sampler.first[kind] for kind, peak in sampler.peak.items()}
    return Visit(above.pop("page") - grown, above, loaded["seconds"], loaded["times"])


@contextmanager
def chromium(url: str, profile: Path) -> Iterator[psutil.Process]:
    """Headless Chromium at `url`, with nobody attached."""
    program = doctor.chromium()
    assert program is not None, "no Chromium: `modelpress doctor` says how to get one"
    flags = ("--headless=new", "--no-first-run", f"--user-data-dir={profile}", *FLAGS, *SOFTWARE)
    quiet = subprocess.DEVNULL
    with subprocess.Popen([program, *flags, url], stdout=quiet, stderr=quiet) as process:
        browser = psutil.Process(process.pid)
        try:
            yield browser
        finally:
            children = browser.children(recursive=True)
            process.terminate()
            process.wait()
            psutil.wait_procs(children, timeout=20)


class Sampler:
    """Watches the memory of a browser's processes: MiB by kind, at first and at most."""

    def __init__(self, browser: psutil.Process) -> None:
        kinds = {p.pid: kind_of(p) for p in (browser, *browser.children(recursive=True))}
        pages = [pid for pid, kind in kinds.items() if kind == "renderer"]
        # The browser's own window is drawn by pages too; none of them holds a Python.
        self._page = max(pages, key=memory)
        self._kinds = {pid: kind for pid, kind in kinds.items() if kind != "renderer"}
        self._kinds[self._page] = "page"
        self.first = self._sample()
        self.peak = dict(self.first)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(SAMPLE_S):
            for kind, mib in self._sample().items():
                self.peak[kind] = max(self.peak[kind], mib)

    def _sample(self) -> dict[str, float]:
        sums: dict[str, float] = {}
        for pid, kind in self._kinds.items():
            sums[kind] = sums.get(kind, 0.0) + memory(pid)
        return sums


def kind_of(process: psutil.Process) -> str:
    """What a process of the browser is for."""
    words = process.cmdline()
    types = (word.removeprefix("--type=") for word in words if word.startswith("--type="))
    uses = (word.partition(".mojom.")[2] for word in words if word.startswith("--utility-sub-type"))
    return next(uses, None) or next(types, "browser")


def memory(pid: int) -> float:
    """MiB of anonymous and shared memory; programs and files are not counted."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    fields = dict(line.split(":", 1) for line in status.splitlines())
    kib = sum(int(fields.get(name, "0").split()[0]) for name in ("RssAnon", "RssShmem"))
    return kib / 1024


def wait_for(server: FaultServer, name: str) -> Any:
    """The value that the page sends with a mark; ends with what the page says went wrong."""
    started = time.perf_counter()
    while time.perf_counter() - started < TIMEOUT_S:
        for path in list(server.requests):
            if "/mark/failed/" in path:
                raise SystemExit(f"the page failed: {unquote(path)}")
            if f"/mark/{name}/" in path:
                return json.loads(unquote(path.rsplit("/", 1)[1]))
        time.sleep(0.01)
    raise SystemExit("the page did not finish")


if __name__ == "__main__":
    main()
