"""The wgpu executor on lavapipe and on SwiftShader."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import struct

import numpy as np
import pytest

from runtime.errors import FormatError, ModelpressError
from runtime.fake import FakeStorage
from runtime.native.executor import WgpuExecutor
from runtime.plan import Plan
from runtime.progress import Progress, ignore_progress
from runtime.weights import WEIGHTS_FORMAT, Chunk, Tensor, WeightIndex, blob_path

from .mini_plans import (
    SUBGROUP,
    accumulate_plan,
    add_plan,
    gather_plan,
    kernel_plan,
    weight_plan,
)

pytestmark = pytest.mark.gpu


async def prepare(executor: WgpuExecutor, plan: Plan, pages: int = 1) -> None:
    await executor.prepare(plan, plan.dumps(), pages=pages, on_progress=ignore_progress)


async def test_uniforms_of_each_step_and_type_reach_their_dispatch(executor: WgpuExecutor) -> None:
    await prepare(executor, add_plan())
    values = np.arange(100, dtype=np.float32)
    executor.write("a", values.tobytes())
    executor.submit(("add",), {"n": 90, "pos": 7})
    out = np.frombuffer(await executor.read("out", 400), np.float32)
    expected = np.where(np.arange(100) < 90, (values * -3 + 7) * 2 + 1, 0)
    np.testing.assert_array_equal(out, expected)


async def test_writes_and_submits_keep_their_order(executor: WgpuExecutor) -> None:
    await prepare(executor, add_plan())
    for bias in (5, 6):
        executor.write("a", struct.pack("<f", bias * 10), offset=4)
        executor.submit(("add",), {"n": 2, "pos": bias})
    out = struct.unpack("<2f", await executor.read("out", 8))
    assert out == (6 * 2 + 1, (60 * -3 + 6) * 2 + 1)


async def test_eight_steps_in_flight_each_read_their_own_state(executor: WgpuExecutor) -> None:
    await prepare(executor, accumulate_plan())
    steps = [executor.step(("bump",), {"pos": i}, "token") for i in range(1, 9)]
    expected, value = [], 0
    for i in range(1, 9):
        value = value * 2 + i
        expected.append(value)
    assert [await step for step in steps] == expected


async def test_the_ring_is_used_again_and_dropped_results_do_no_harm(
    executor: WgpuExecutor,
) -> None:
    await prepare(executor, accumulate_plan())
    for i in range(20):
        kept = executor.step(("bump",), {"pos": 1}, "token")
        if i % 3 == 0:
            assert await kept == 2 ** (i + 1) - 1
    await executor.synchronize()
    assert struct.unpack("<i", await executor.read("token", 4)) == (2**20 - 1,)


async def test_a_ninth_step_in_flight_is_refused(executor: WgpuExecutor) -> None:
    await prepare(executor, accumulate_plan())
    steps = [executor.step(("bump",), {"pos": 1}, "token") for _ in range(8)]
    with pytest.raises(ModelpressError, match="in flight"):
        executor.step(("bump",), {"pos": 1}, "token")
    assert await steps[-1] == 255


async def test_several_entries_run_in_one_submit_and_a_zero_grid_is_skipped(
    executor: WgpuExecutor,
) -> None:
    await prepare(executor, accumulate_plan())
    assert await executor.step(("bump", "twice"), {"pos": 1}, "token") == 7
    assert await executor.step(("bump", "twice"), {"pos": 0}, "token") == 7


async def test_pages_size_the_cache_and_the_page_table_places_positions(
    executor: WgpuExecutor,
) -> None:
    await prepare(executor, gather_plan(), pages=3)
    executor.write("kv", struct.pack("<12i", *range(100, 112)))
    executor.write("page_table", struct.pack("<3i", 2, 0, 1))
    tokens = [await executor.step(("gather",), {"pos": p}, "token") for p in (0, 3, 4, 11)]
    assert tokens == [108, 111, 100, 107]


async def test_the_subgroups_directive_compiles_natively(executor: WgpuExecutor) -> None:
    assert "subgroups" in (await executor.device()).features
    await prepare(executor, kernel_plan(SUBGROUP))
    assert await executor.step(("run",), {}, "token") in (1, 2, 4)


async def test_a_kernel_that_does_not_compile_is_named(executor: WgpuExecutor) -> None:
    with pytest.raises(ModelpressError, match="kernel kernel does not compile") as caught:
        await prepare(executor, kernel_plan("fn main() { nonsense; }"))
    assert caught.value.code == "unsupported_device"


async def test_a_wrong_write_is_an_error_and_not_zeros(executor: WgpuExecutor) -> None:
    await prepare(executor, accumulate_plan())
    with pytest.raises(ModelpressError) as caught:
        executor.write("token", bytes(8))
    assert caught.value.code == "internal"


async def test_a_dispatch_beyond_the_limits_is_an_error_and_not_zeros(
    executor: WgpuExecutor,
) -> None:
    await prepare(executor, add_plan())
    with pytest.raises(ModelpressError) as caught:
        executor.submit(("add",), {"n": 64 * 70_000, "pos": 0})
    assert caught.value.code == "internal"


async def test_a_buffer_no_device_holds_is_out_of_memory(executor: WgpuExecutor) -> None:
    with pytest.raises(ModelpressError) as caught:
        await prepare(executor, gather_plan(), pages=2**40)
    assert caught.value.code in ("out_of_memory", "internal")


async def test_a_lost_device_is_reported_and_replaced_by_the_next_prepare(
    executor: WgpuExecutor,
) -> None:
    await prepare(executor, accumulate_plan())
    assert await executor.step(("bump",), {"pos": 1}, "token") == 1
    assert executor._device is not None
    executor._device.destroy()
    with pytest.raises(ModelpressError) as caught:
        await executor.step(("bump",), {"pos": 1}, "token")
    assert caught.value.code == "device_lost"
    await prepare(executor, accumulate_plan())
    assert await executor.step(("bump",), {"pos": 3}, "token") == 3


def small_weights() -> tuple[WeightIndex, dict[str, bytes], bytes]:
    """A stream of two tensors in three chunks, cut where no tensor ends."""
    stream = bytes(range(256)) * 6
    cuts = [0, 400, 1200, 1536]
    files, chunks = {}, []
    for start, end in itertools.pairwise(cuts):
        data = stream[start:end]
        digest = hashlib.sha256(data).hexdigest()
        files[blob_path(digest)] = data
        chunks.append(Chunk(digest, start, end - start))
    tensors = (Tensor("first", "u32", (256,), 0, 1024), Tensor("second", "u32", (128,), 1024, 512))
    return WeightIndex(WEIGHTS_FORMAT, 1536, tensors, tuple(chunks)), files, stream


async def test_chunks_land_in_the_weights_they_cover(executor: WgpuExecutor) -> None:
    index, files, stream = small_weights()
    seen: list[Progress] = []
    await asyncio.gather(
        prepare(executor, weight_plan()),
        executor.upload(index, index.dumps(), FakeStorage(files), on_progress=seen.append),
    )
    assert await executor.read("first", 1024) == stream[:1024]
    assert await executor.read("second", 512) == stream[1024:]
    assert [p.done for p in seen if p.stage == "upload"] == [400, 1200, 1536]


async def test_a_weight_of_another_size_than_the_plan_says_is_refused(
    executor: WgpuExecutor,
) -> None:
    index, files, _ = small_weights()
    wrong = WeightIndex(index.format, index.nbytes, index.tensors[:1], index.chunks)
    await prepare(executor, weight_plan())
    with pytest.raises(FormatError, match="'second'"):
        await executor.upload(wrong, wrong.dumps(), FakeStorage(files), on_progress=ignore_progress)


async def test_a_corrupted_chunk_ends_the_upload(executor: WgpuExecutor) -> None:
    index, files, _ = small_weights()
    files[index.chunks[1].path] = bytes(800)
    await prepare(executor, weight_plan())
    with pytest.raises(ModelpressError) as caught:
        await executor.upload(index, index.dumps(), FakeStorage(files), on_progress=ignore_progress)
    assert caught.value.code == "integrity"


async def test_an_adapter_that_is_not_there_is_an_error_listing_what_is(drivers: None) -> None:
    with pytest.raises(ModelpressError, match="llvmpipe") as caught:
        await WgpuExecutor(adapter="no such card").device()
    assert caught.value.code == "no_webgpu"


async def test_a_profile_names_the_kernel_of_every_dispatch_that_has_work(
    executor: WgpuExecutor,
) -> None:
    await prepare(executor, accumulate_plan())
    assert await executor.profile(("bump",), {"pos": 0}) == []
    times = await executor.profile(("twice", "bump"), {"pos": 3})
    assert [kernel for kernel, _ in times] == ["bump"] * 3
    assert all(microseconds > 0 for _, microseconds in times)
    assert struct.unpack("<i", await executor.read("token", 4)) == (21,)
