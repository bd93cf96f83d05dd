"""The executor over WebAssembly in Chromium, alone and with threads, on plans small enough to check
by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Worker

from runtime.plan import Plan
from runtime.weights import blob_path
from tests.web.fault_server import FaultServer
from tests.web.mini_modules import DATA_END, STACK_NBYTES
from tests.web.processor_plans import BLOBS, counts, huge, short_of_an_argument, stacks, sums

pytestmark = pytest.mark.browser

ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
READY = "async () => { while (!self.harness) await new Promise((go) => setTimeout(go, 5)); }"
OPEN = """
  const warn = (error) => { throw error; };
  const storage = await harness.Storage.open(new URL('/mini/registry.json', location).href, warn);
  const open = (threads) => new harness.ProcessorExecutor(storage, threads);
  const none = () => undefined;
"""


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The modules of the plans, as a hub has them."""
    folder = tmp_path_factory.mktemp("mini")
    for digest, data in BLOBS.items():
        (folder / blob_path(digest)).parent.mkdir(parents=True)
        (folder / blob_path(digest)).write_bytes(data)
    return folder


@pytest.fixture(scope="module", params=[1, 2])
def threads(request: pytest.FixtureRequest) -> int:
    """Alone, and with a helper."""
    return int(request.param)


@pytest.fixture(scope="module")
def server(web_folder: Path, blobs: Path, threads: int) -> Iterator[FaultServer]:
    """Sends the headers that isolate a page where threads need it."""
    with FaultServer({"/": web_folder, "/mini/": blobs}) as server:
        server.headers |= ISOLATED if threads > 1 else {}
        yield server


@pytest.fixture(scope="module")
def worker(chromium: Browser, server: FaultServer) -> Iterator[Worker]:
    """A worker with `harness`, for all tests: executors know nothing of each other."""
    context = chromium.new_context()
    page = context.new_page()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(server.url)
    with page.expect_worker() as found:
        page.evaluate("() => void (window.worker = new Worker('/harness.js', {type: 'module'}))")
    found.value.evaluate(READY)
    yield found.value
    context.close()
    assert not troubles, troubles


def run(worker: Worker, threads: int, plan: Plan, body: str) -> Any:
    """Prepare `plan` with one page and return what `body` returns."""
    prepare = "const executor = open(threads); await executor.prepare(plan, 1, none);"
    function = f"async ([plan, threads]) => {{ {OPEN} {prepare} {body} }}"
    return worker.evaluate(function, [plan.dumps(), threads])


def test_a_sum_reads_its_uniforms_and_touches_only_its_items(worker: Worker, threads: int) -> None:
    found = run(
        worker,
        threads,
        sums(),
        """
        const numbers = Float32Array.from({length: 256}, (_, i) => i);
        executor.write('a', new Uint8Array(numbers.buffer), 0);
        executor.write('b', new Uint8Array(numbers.buffer), 0);
        executor.submit(['add'], {n: 100, pos: 1});
        executor.submit(['both'], {n: 2, pos: 3});
        return Array.from(new Float32Array((await executor.read('c', 1024, 0)).buffer));
        """,
    )
    assert found[0] == 0.0
    assert found[1] == 3.0
    assert found[2:] == [i + 2.0 * i - 2 for i in range(2, 100)] + [0.0] * 156


def test_what_is_queued_runs_in_order_and_steps_resolve_in_order(
    worker: Worker, threads: int
) -> None:
    found = run(
        worker,
        threads,
        counts(),
        """
        const five = new Uint8Array(Int32Array.of(5).buffer);
        executor.submit(['count'], {});
        executor.write('total', five, 0);
        const order = [];
        const steps = Array.from({length: 8}, () => executor.step(['count'], {}, 'total'));
        const ninth = await harness.codeOf(async () => executor.step(['count'], {}, 'total'));
        const values = await Promise.all(steps.map(async (step, at) => {
          const value = await step;
          order.push(at);
          return value;
        }));
        const skipped = await executor.step(['copy'], {n: 0}, 'seen');
        const copied = await executor.step(['count', 'copy'], {n: 1}, 'seen');
        return {values, order, ninth, skipped, copied};
        """,
    )
    assert found == {
        "values": [6, 7, 8, 9, 10, 11, 12, 13],
        "order": list(range(8)),
        "ninth": "internal",
        "skipped": 0,
        "copied": 14,
    }


def test_a_stop_is_heard_while_much_is_queued(worker: Worker, threads: int) -> None:
    """Long computing lets messages in: whoever releases the plan does not wait for all of it."""
    found = run(
        worker,
        threads,
        counts(),
        """
        const waiting = [];
        for (let i = 0; i < 8; i += 1) {
          const names = new Array(8).fill('many');
          const step = () => executor.step(names, {n: 1 << 23}, 'total');
          waiting.push(harness.codeOf(step));
        }
        await new Promise((resolve) => setTimeout(resolve, 1));
        await executor.release();
        const codes = await Promise.all(waiting);
        return {last: codes.at(-1), after: await harness.codeOf(() => executor.synchronize())};
        """,
    )
    assert found == {"last": "aborted", "after": "internal"}


def test_a_profile_names_every_step_that_has_work(worker: Worker, threads: int) -> None:
    found = run(
        worker, threads, counts(), "return await executor.profile(['count', 'copy'], {n: 0});"
    )
    assert [kernel for kernel, _ in found] == ["count"]
    assert all(microseconds >= 0 for _, microseconds in found)


def test_a_kernel_that_fails_is_an_error_of_its_step(worker: Worker, threads: int) -> None:
    found = run(
        worker,
        threads,
        counts(),
        """
        const error = await harness.errorOf(() => executor.step(['fail'], {}, 'total'));
        await executor.prepare(plan, 1, none);
        return [error.code, await executor.step(['count'], {}, 'total')];
        """,
    )
    assert found == ["internal", 1]


def test_every_thread_has_a_stack_of_its_own(worker: Worker, threads: int) -> None:
    found = run(
        worker,
        threads,
        stacks(),
        """
        const seen = new Set();
        for (let i = 0; i < 20; i += 1) {
          executor.submit(['run'], {});
          const words = new Int32Array((await executor.read('seen', 4096, 0)).buffer);
          for (const word of words) seen.add(word);
        }
        return [...seen].sort((a, b) => a - b);
        """,
    )
    assert set(found) <= {DATA_END + thread * STACK_NBYTES for thread in range(threads)}


def test_more_memory_than_there_is_is_said_before_anything_is_fetched(
    worker: Worker, threads: int, server: FaultServer
) -> None:
    fetched = server.count("/mini/blobs/")
    found = worker.evaluate(
        f"""async ([plan, threads]) => {{ {OPEN}
            await caches.delete('modelpress-blobs-1');
            return harness.errorOf(() => open(threads).prepare(plan, 64, none)); }}""",
        [huge().dumps(), threads],
    )
    assert found["code"] == "out_of_memory"
    assert "4.3 GB" in found["message"]
    assert server.count("/mini/blobs/") == fetched


def test_a_plan_that_is_not_for_this_processor_is_refused(worker: Worker, threads: int) -> None:
    found = worker.evaluate(
        f"""async ([plans, threads]) => {{ {OPEN}
            const refused = (plan) => harness.errorOf(() => open(threads).prepare(plan, 1, none));
            return Promise.all(plans.map(refused)); }}""",
        [
            [
                dataclasses.replace(counts(), module=None).dumps(),
                dataclasses.replace(counts(), features=("wasm", "wasm-future")).dumps(),
                short_of_an_argument().dumps(),
            ],
            threads,
        ],
    )
    assert [error["code"] for error in found] == ["unsupported_device"] * 2 + ["bad_format"]
    assert found[0]["details"] == {"lacking": ["WebGPU"]}
    assert found[1]["details"] == {"lacking": ["the feature wasm-future"]}
    assert "the kernel copy takes 4 numbers and the plan gives it 3" in found[2]["message"]


def test_the_processor_says_what_it_is(worker: Worker, threads: int) -> None:
    info = worker.evaluate(
        f"async (threads) => {{ {OPEN} return open(threads).device(); }}", threads
    )
    assert info["kind"] == "cpu"
    assert {"wasm", "wasm-simd128", "wasm-relaxed-simd"} <= set(info["features"])
    assert f"{threads} thread" in info["description"]


def test_threads_that_there_cannot_be_are_refused(worker: Worker, threads: int) -> None:
    codes = worker.evaluate(
        f"""async () => {{ {OPEN}
            return Promise.all([0, 1.5, 2].map((n) => harness.codeOf(async () => open(n)))); }}"""
    )
    assert codes == ["bad_request", "bad_request", "bad_request" if threads == 1 else "no error"]


def test_a_relaxed_product_that_comes_out_wrong_is_not_offered(worker: Worker) -> None:
    """Simulated: browsers have computed it wrongly in the compiler that they begin with."""
    found = worker.evaluate(
        f"""async () => {{ {OPEN}
            const Instance = WebAssembly.Instance;
            WebAssembly.Instance = function (...parts) {{
              const {{ exports }} = new Instance(...parts);
              return {{ exports: {{ ...exports, f: () => exports.f() + 1 }} }};
            }};
            const {{ features }} = await open(1).device();
            WebAssembly.Instance = Instance;
            return features; }}"""
    )
    assert "wasm-simd128" in found
    assert "wasm-relaxed-simd" not in found
