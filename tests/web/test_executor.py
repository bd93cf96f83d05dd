"""The TypeScript executor in Chromium, on plans small enough to check by hand."""

from __future__ import annotations

import dataclasses

import pytest
from playwright.sync_api import Page

from runtime.plan import Plan
from tests.web.mini_plans import broken_kernel, counter, huge_buffer, huge_dispatch, vector_add

pytestmark = pytest.mark.browser

OPEN = """
  const executor = new harness.Executor();
  const none = () => undefined;
  await executor.prepare(plan, 1, none);
"""


def run(page: Page, plan: Plan, body: str) -> object:
    """Prepare `plan` and return what `body` returns."""
    return page.evaluate("async (plan) => {" + OPEN + body + "}", plan.dumps())


def test_a_vector_add_reads_its_uniforms_and_touches_only_n_elements(page: Page) -> None:
    found = run(
        page,
        vector_add(),
        """
        const numbers = Float32Array.from({length: 256}, (_, i) => i);
        executor.write('a', new Uint8Array(numbers.buffer), 0);
        executor.write('b', new Uint8Array(numbers.buffer), 0);
        executor.submit(['add'], {n: 100, pos: 1});
        return Array.from(new Float32Array((await executor.read('c', 1024, 0)).buffer));
        """,
    )
    assert found == [i + 2.0 * i - 2 for i in range(100)] + [0.0] * 156


def test_two_steps_of_one_kernel_keep_their_own_uniforms(page: Page) -> None:
    found = run(
        page,
        vector_add(),
        """
        const ones = new Uint8Array(Float32Array.from({length: 256}, () => 1).buffer);
        executor.write('a', ones, 0);
        executor.write('b', ones, 0);
        executor.submit(['both'], {n: 2, pos: 3});
        executor.submit(['both'], {n: 3, pos: 4});
        return Array.from(new Float32Array((await executor.read('c', 16, 0)).buffer));
        """,
    )
    assert found == [9.0, 4.0, 4.0, 0.0]


def test_writes_are_ordered_with_submits_and_accept_offsets(page: Page) -> None:
    found = run(
        page,
        counter(),
        """
        const five = new Uint8Array(Int32Array.of(5).buffer);
        executor.submit(['count'], {});
        executor.write('total', five, 0);
        executor.submit(['count'], {});
        return new Int32Array((await executor.read('total', 4, 0)).buffer)[0];
        """,
    )
    assert found == 6


def test_eight_steps_in_flight_resolve_in_order_each_with_its_own_value(page: Page) -> None:
    found = run(
        page,
        counter(),
        """
        const order = [];
        const steps = Array.from({length: 8}, () => executor.step(['count'], {}, 'total'));
        const values = await Promise.all(steps.map(async (step, at) => {
          const value = await step;
          order.push(at);
          return value;
        }));
        return {values, order};
        """,
    )
    assert found == {"values": [1, 2, 3, 4, 5, 6, 7, 8], "order": list(range(8))}


def test_a_ninth_step_in_flight_is_refused(page: Page) -> None:
    code = run(
        page,
        counter(),
        """
        for (let i = 0; i < 8; i += 1) executor.step(['count'], {}, 'total');
        return harness.codeOf(async () => executor.step(['count'], {}, 'total'));
        """,
    )
    assert code == "internal"


def test_a_dropped_step_does_no_harm(page: Page) -> None:
    found = run(
        page,
        counter(),
        """
        for (let i = 0; i < 20; i += 1) {
          executor.step(['count'], {}, 'total');
          if (i % 4 === 3) await executor.synchronize();
        }
        return await executor.step(['count'], {}, 'total');
        """,
    )
    assert found == 21


def test_a_grid_with_a_zero_is_skipped(page: Page) -> None:
    found = run(
        page,
        counter(),
        """
        const first = await executor.step(['count', 'copy'], {n: 0}, 'seen');
        const second = await executor.step(['count', 'copy'], {n: 1}, 'seen');
        return [first, second];
        """,
    )
    assert found == [0, 2]


def test_a_kernel_that_does_not_compile_is_named_with_its_line(page: Page) -> None:
    error = page.evaluate(
        """async (plan) => harness.errorOf(
            () => new harness.Executor().prepare(plan, 1, () => undefined))""",
        broken_kernel().dumps(),
    )
    assert error["code"] == "unsupported_device"
    assert "the kernel bad does not compile on this device (line 3" in error["message"]
    assert "nonsense" in error["message"]


def test_only_the_kernels_of_the_entries_asked_for_are_compiled(page: Page) -> None:
    """Bug: in Chromium, a kernel that failed to compile twice was never heard of again."""
    plan = dataclasses.replace(counter(), kernels=(*counter().kernels, *broken_kernel().kernels))
    plan = dataclasses.replace(
        plan, entries={**plan.entries, "run": broken_kernel().entries["run"]}
    )
    found = page.evaluate(
        """async (plan) => {
            const executor = new harness.Executor();
            const counts = [];
            const note = (_, total) => counts.push(total);
            const few = await executor.prepare(plan, 1, note, {entries: ['count']});
            const entries = ['count', 'run'];
            const spared = await executor.prepare(plan, 1, note, {entries, spare: ['run']});
            const count = await executor.step(['count'], {}, 'total');
            const code = await harness.codeOf(async () => executor.submit(['run'], {}));
            const missing = await harness.codeOf(() => executor.prepare(plan, 1, note, {entries}));
            return {few, spared, count, code, missing, totals: [...new Set(counts)]};
        }""",
        plan.dumps(),
    )
    assert found == {
        "few": [],
        "spared": ["run"],
        "count": 1,
        "code": "internal",
        "missing": "unsupported_device",
        "totals": [1, 2],
    }


def test_a_profile_names_the_kernel_of_every_dispatch_that_has_work(page: Page) -> None:
    found = run(
        page,
        counter(),
        """
        const idle = await executor.profile(['count', 'copy'], {n: 0});
        const busy = await executor.profile(['count', 'copy', 'count'], {n: 1});
        return {idle, busy, total: await executor.step(['count'], {}, 'total')};
        """,
    )
    assert isinstance(found, dict)
    assert [kernel for kernel, _ in found["idle"]] == ["count"]
    assert [kernel for kernel, _ in found["busy"]] == ["count", "copy", "count"]
    assert all(microseconds >= 0 for _, microseconds in found["busy"])
    assert found["total"] == 4


def test_a_refused_command_is_an_error_of_that_step_and_not_of_the_next(page: Page) -> None:
    codes = run(
        page,
        huge_dispatch(),
        """
        const bad = await harness.codeOf(() => executor.step(['run'], {n: 1 << 20}, 'total'));
        return [bad, await executor.step(['run'], {n: 1}, 'total')];
        """,
    )
    assert codes == ["internal", 1]


def test_buffers_beyond_the_memory_are_out_of_memory_and_leave_the_device_usable(
    page: Page,
) -> None:
    codes = page.evaluate(
        """async ([huge, small]) => {
            const executor = new harness.Executor();
            const info = await executor.device();
            const pages = Math.floor(info.limits.maxBufferSize / 2 ** 20) + 1;
            const error = await harness.codeOf(() => executor.prepare(huge, pages, () => 0));
            await executor.release();
            await executor.prepare(small, 1, () => 0);
            return [error, await executor.step(['count'], {}, 'total')];
        }""",
        [huge_buffer().dumps(), counter().dumps()],
    )
    assert codes[0] in {"out_of_memory", "internal"}
    assert codes[1] == 1


def test_a_plan_that_needs_what_the_device_lacks_is_unsupported(page: Page) -> None:
    plan = dataclasses.replace(
        counter(), features=("shader-f16",), limits={"maxBufferSize": 10**15}
    )
    error = page.evaluate(
        """async (plan) => harness.errorOf(
            () => new harness.Executor().prepare(plan, 1, () => undefined))""",
        plan.dumps(),
    )
    assert error["code"] == "unsupported_device"
    assert error["details"]["lacking"][0] == "the feature shader-f16"
    assert "maxBufferSize" in error["details"]["lacking"][1]


def test_after_a_lost_device_every_call_says_so_until_the_next_prepare(page: Page) -> None:
    found = page.evaluate(
        """async (plan) => {
            const devices = [];
            const request = GPUAdapter.prototype.requestDevice;
            GPUAdapter.prototype.requestDevice = async function (options) {
              const device = await request.call(this, options);
              devices.push(device);
              return device;
            };
            const executor = new harness.Executor();
            await executor.prepare(plan, 1, () => undefined);
            const pending = harness.codeOf(() => executor.step(['count'], {}, 'total'));
            devices[0].destroy();
            await devices[0].lost;
            const codes = [await pending];
            codes.push(await harness.codeOf(() => executor.step(['count'], {}, 'total')));
            codes.push(await harness.codeOf(async () => executor.submit(['count'], {})));
            codes.push(await harness.codeOf(() => executor.read('total', 4, 0)));
            codes.push(await harness.codeOf(() => executor.synchronize()));
            await executor.prepare(plan, 1, () => undefined);
            return {codes, again: await executor.step(['count'], {}, 'total')};
        }""",
        counter().dumps(),
    )
    assert found["codes"][1:] == ["device_lost"] * 4
    assert found["codes"][0] in {"device_lost", "no error"}
    assert found["again"] == 1


def test_a_browser_without_webgpu_is_told_what_to_do(page: Page) -> None:
    error = page.evaluate(
        """async () => {
            Object.defineProperty(navigator, 'gpu', {value: undefined, configurable: true});
            return harness.errorOf(() => new harness.Executor().device());
        }"""
    )
    assert error["code"] == "no_webgpu"
    assert "Chrome" in error["message"]


def test_the_software_adapter_is_known_as_a_cpu(page: Page) -> None:
    info = page.evaluate("async () => new harness.Executor().device()")
    assert info["kind"] == "cpu"
    assert info["limits"]["maxStorageBufferBindingSize"] >= 1 << 27


def test_progress_counts_every_kernel_and_equal_texts_once(page: Page) -> None:
    plan = vector_add()
    twin = dataclasses.replace(plan.kernels[0], name="twin")
    step = dataclasses.replace(plan.entries["add"].steps[0], kernel="twin")
    entry = dataclasses.replace(plan.entries["add"], steps=(step,))
    doubled = dataclasses.replace(
        plan, kernels=(*plan.kernels, twin), entries={**plan.entries, "twin": entry}
    )
    found = page.evaluate(
        """async (plan) => {
            let made = 0;
            const create = GPUDevice.prototype.createComputePipelineAsync;
            GPUDevice.prototype.createComputePipelineAsync = function (options) {
              made += 1;
              return create.call(this, options);
            };
            const progress = [];
            const note = (done, total) => progress.push([done, total]);
            await new harness.Executor().prepare(plan, 1, note);
            return {made, progress};
        }""",
        doubled.dumps(),
    )
    assert found == {"made": 1, "progress": [[0, 2], [1, 2], [2, 2]]}
