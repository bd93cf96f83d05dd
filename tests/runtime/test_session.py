"""The loop that makes tokens, on a device that notices every mistake in its order."""

from __future__ import annotations

import pytest

from runtime.abort import AbortSignal
from runtime.device_time import time_steps
from runtime.errors import ModelpressError
from runtime.executor import DeviceInfo
from runtime.fake import hashed_token, reply
from runtime.fake_executor import FakeExecutor
from runtime.fake_hub import fake_plan
from runtime.fit import choose_context, memory_by_role
from runtime.pace import SMALLEST
from runtime.plan import Plan
from runtime.progress import Progress, ignore_progress
from runtime.sampling import SamplingParams
from runtime.session import Generation, Session, num_pages

GREEDY = SamplingParams(temperature=0.0)
SEEDED = SamplingParams(temperature=1.0, seed=11)


async def open_session(
    executor: FakeExecutor, *, depth: int = 3, plan: Plan | None = None
) -> Session:
    plan = plan or fake_plan(context=128, page_size=8, prefill_chunk=16)
    await executor.prepare(
        plan, plan.dumps(), pages=num_pages(plan, plan.context), on_progress=ignore_progress
    )
    return Session(plan, executor, context=plan.context, depth=depth)


async def run(
    session: Session,
    prompt: range | tuple[int, ...],
    params: SamplingParams = GREEDY,
    *,
    max_tokens: int | None = 20,
    stop_ids: frozenset[int] = frozenset(),
    signal: AbortSignal | None = None,
) -> list[int]:
    generation = Generation(tuple(prompt), params, stop_ids, max_tokens)
    return [t async for t in session.generate(generation, signal=signal or AbortSignal())]


def greedy_reference(prompt: range | tuple[int, ...], count: int) -> list[int]:
    tokens = list(prompt)
    for _ in range(count):
        tokens.append(hashed_token(tuple(tokens)))
    return tokens[len(prompt) :]


@pytest.mark.parametrize("length", [1, 15, 16, 17, 50])
async def test_any_prompt_length_gives_what_the_model_gives(length: int) -> None:
    session = await open_session(FakeExecutor())
    assert await run(session, range(length)) == greedy_reference(range(length), 20)


@pytest.mark.parametrize("params", [GREEDY, SEEDED])
async def test_the_answer_does_not_depend_on_the_depth_of_the_queue(
    params: SamplingParams,
) -> None:
    answers = []
    for depth in (1, 2, 3, 8):
        executor = FakeExecutor()
        answers.append(await run(await open_session(executor, depth=depth), range(40), params))
        assert executor.most_in_flight == max(depth, 2)  # two chunks of the prompt
    assert answers[1:] == answers[:-1]


async def test_a_seeded_answer_does_not_depend_on_what_was_cached() -> None:
    fresh = await run(await open_session(FakeExecutor()), range(40), SEEDED)
    session = await open_session(FakeExecutor())
    await run(session, range(37), GREEDY)
    assert session.num_cached(range(40)) == 32  # whole pages of eight
    assert await run(session, range(40), SEEDED) == fresh


async def test_a_follow_up_computes_only_what_is_new() -> None:
    executor = FakeExecutor()
    session = await open_session(executor)
    answer = await run(session, range(20))
    follow_up = (*range(20), *answer, 7, 8)
    executor.submits.clear()
    assert await run(session, follow_up, max_tokens=3) == greedy_reference(follow_up, 3)
    prefills = [symbols for entries, symbols in executor.submits if "prefill" in entries]
    assert prefills == [{"n": 3, "pos": 39}]


async def test_the_same_prompt_again_computes_its_last_page_only() -> None:
    executor = FakeExecutor()
    session = await open_session(executor)
    first = await run(session, range(30))
    executor.submits.clear()
    assert await run(session, range(30)) == first
    assert executor.submits[0] == (("prefill",), {"n": 6, "pos": 24})


async def test_a_stop_id_ends_the_answer_and_queued_steps_are_not_cached() -> None:
    executor = FakeExecutor(reply("abcdefgh"))
    session = await open_session(executor, depth=8)
    prompt = tuple(b"hi>")
    assert await run(session, prompt, stop_ids=frozenset(b"c")) == list(b"abc")
    assert sum("decode" in entries for entries, _ in executor.submits) > 3
    # The stop itself was drawn but never run through the model.
    assert session.num_cached((*prompt, *b"abcdefgh")) == len(b"hi>ab")


async def test_an_abandoned_answer_leaves_the_cache_valid() -> None:
    executor = FakeExecutor()
    session = await open_session(executor, depth=8)
    tokens = session.generate(Generation(tuple(range(20)), GREEDY), signal=AbortSignal())
    seen = [await anext(tokens) for _ in range(5)]
    await tokens.aclose()
    follow_up = (*range(20), *seen, 3)
    assert await run(session, follow_up) == greedy_reference(follow_up, 20)


async def test_an_abort_between_steps_leaves_the_cache_valid() -> None:
    session = await open_session(FakeExecutor())
    signal = AbortSignal()
    seen = []
    with pytest.raises(ModelpressError) as caught:
        async for token in session.generate(Generation((1, 2, 3), GREEDY), signal=signal):
            seen.append(token)
            if len(seen) == 4:
                signal.abort("enough")
    assert (caught.value.code, caught.value.message) == ("aborted", "enough")
    assert seen == greedy_reference((1, 2, 3), 4)
    assert await run(session, (1, 2, 3)) == greedy_reference((1, 2, 3), 20)


async def test_an_abort_between_chunks_stops_a_long_prompt_and_keeps_what_was_computed() -> None:
    executor = FakeExecutor()
    session = await open_session(executor)
    signal = AbortSignal()

    def after_the_first_chunk(progress: Progress) -> None:
        signal.abort()

    generation = Generation(tuple(range(100)), GREEDY)
    with pytest.raises(ModelpressError, match="aborted"):
        tokens = session.generate(generation, signal=signal, on_progress=after_the_first_chunk)
        await anext(tokens)
    assert len([s for s in executor.submits if "prefill" in s[0]]) == 2
    assert session.num_cached(range(100)) == 16
    assert await run(session, range(100)) == greedy_reference(range(100), 20)


async def test_prefill_tells_its_progress_in_tokens() -> None:
    session = await open_session(FakeExecutor())
    seen: list[Progress] = []
    generation = Generation(tuple(range(40)), GREEDY, max_tokens=1)
    async for _ in session.generate(generation, signal=AbortSignal(), on_progress=seen.append):
        pass
    assert [(p.stage, p.done, p.total, p.unit) for p in seen] == [
        ("prefill", 16, 40, "tokens"),
        ("prefill", 32, 40, "tokens"),
    ]


async def test_a_large_plan_begins_with_a_small_chunk_of_a_prompt() -> None:
    """What a device takes for it decides how large the others are."""
    executor = FakeExecutor()
    session = await open_session(executor, plan=fake_plan(context=2048, prefill_chunk=256))
    prompt = tuple(i % 200 for i in range(1000))
    assert await run(session, prompt, max_tokens=4) == greedy_reference(prompt, 4)
    sizes = [symbols["n"] for entries, symbols in executor.submits if "prefill" in entries]
    assert sizes[0] == SMALLEST and sum(sizes) == 1000 and max(sizes[1:]) <= 256
    assert all(size % SMALLEST == 0 for size in sizes[:-1])


async def test_the_answer_ends_where_the_context_ends() -> None:
    session = await open_session(FakeExecutor())
    assert await run(session, range(120), max_tokens=None) == greedy_reference(range(120), 8)


@pytest.mark.parametrize("length", [128, 129, 1000])
async def test_a_prompt_without_room_for_an_answer_is_refused_with_the_numbers(
    length: int,
) -> None:
    session = await open_session(FakeExecutor())
    with pytest.raises(ModelpressError, match=rf"{length} tokens .* 128") as caught:
        await run(session, tuple([1] * length))
    assert caught.value.code == "context_length_exceeded"
    assert caught.value.details["prompt_tokens"] == length


async def test_penalties_count_the_whole_prompt_cached_or_not() -> None:
    executor = FakeExecutor()
    session = await open_session(executor)
    await run(session, range(40), GREEDY)
    params = SamplingParams(temperature=1.0, seed=1, frequency_penalty=0.5)
    answer = await run(session, range(45), params, max_tokens=6)
    counted = {token for token, count in executor.counts.items() if count >> 31}
    assert counted == set(range(45))
    drawn = sum(count & 0x7FFFFFFF for count in executor.counts.values())
    assert drawn == len(answer)


async def test_without_penalties_nothing_is_counted() -> None:
    executor = FakeExecutor()
    await run(await open_session(executor), range(40), SEEDED)
    entries = {name for names, _ in executor.submits for name in names}
    assert entries == {"prefill", "sample", "decode"}


async def test_a_device_that_draws_nonsense_is_an_error() -> None:
    plan = fake_plan(context=64, vocab_size=300)
    executor = FakeExecutor(lambda tokens: 999)
    session = await open_session(executor, plan=plan, depth=1)
    with pytest.raises(ModelpressError, match="token 999"):
        await run(session, (1, 2))


async def test_logits_come_for_every_position() -> None:
    session = await open_session(FakeExecutor())
    rows = [row async for row in session.logits([5, 6, 7])]
    assert [len(row) for row in rows] == [4 * 258] * 3
    with pytest.raises(ModelpressError, match="token 258"):
        await anext(session.logits([258]))


async def test_timing_steps_disturbs_nothing() -> None:
    session = await open_session(FakeExecutor())
    await run(session, range(30))
    assert await time_steps(session, 8) > 0
    assert await run(session, range(32)) == greedy_reference(range(32), 20)


def device(limit: int) -> DeviceInfo:
    limits = {"maxStorageBufferBindingSize": limit, "maxBufferSize": 2**30}
    return DeviceInfo("gpu", "", "", "", frozenset(), limits)


def test_the_context_is_what_the_device_can_bind() -> None:
    plan = fake_plan(context=256, page_size=8)  # 512 bytes of cache a page
    assert choose_context(plan, device(2**27), None) == 256
    assert choose_context(plan, device(512 * 5), None) == 40
    assert choose_context(plan, device(512 * 5), 33) == 33
    assert memory_by_role(plan, 40)["kv"] == 512 * 5


@pytest.mark.parametrize(
    ("limit", "requested", "code"),
    [(2**27, 257, "bad_request"), (2**27, 1, "bad_request"), (512, 9, "out_of_memory")],
)
def test_a_context_that_cannot_be_honoured_is_an_error(
    limit: int, requested: int, code: str
) -> None:
    with pytest.raises(ModelpressError) as caught:
        choose_context(fake_plan(context=256, page_size=8), device(limit), requested)
    assert caught.value.code == code
