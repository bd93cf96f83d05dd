"""Several answers in the making at once, on a device that notices every mistake in its order."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from runtime.abort import AbortSignal
from runtime.constraint import Hooks, LogprobRequest
from runtime.errors import ModelpressError
from runtime.fake import hashed_token
from runtime.fake_executor import FakeExecutor
from runtime.fake_hub import fake_plan
from runtime.logprobs import read_record
from runtime.progress import ignore_progress
from runtime.sampling import SamplingParams
from runtime.session import Generation, Session, num_pages

GREEDY = SamplingParams(temperature=0.0)
SEEDED = SamplingParams(temperature=1.0, seed=11)
WARM = SamplingParams(temperature=1.0)
COUNTED = SamplingParams(temperature=1.0, seed=3, frequency_penalty=0.5)


async def open_session(
    executor: FakeExecutor, *, seats: int = 4, context: int = 128, depth: int | None = 3
) -> Session:
    plan = fake_plan(context=context, page_size=8, prefill_chunk=16, seats=seats)
    pages = num_pages(plan, context)
    await executor.prepare(plan, plan.dumps(), pages=pages, on_progress=ignore_progress)
    return Session(plan, executor, context=context, depth=depth, clock=executor.clock)


async def run(
    session: Session,
    prompt: Sequence[int],
    params: SamplingParams = GREEDY,
    *,
    max_tokens: int | None = 20,
    stop_ids: frozenset[int] = frozenset(),
    signal: AbortSignal | None = None,
    hooks: Hooks | None = None,
) -> list[int]:
    generation = Generation(tuple(prompt), params, stop_ids, max_tokens, hooks or Hooks())
    return [t async for t in session.generate(generation, signal=signal or AbortSignal())]


def reference(prompt: Sequence[int], count: int = 20) -> list[int]:
    tokens = list(prompt)
    for _ in range(count):
        tokens.append(hashed_token(tuple(tokens)))
    return tokens[len(prompt) :]


def steps(executor: FakeExecutor, entry: str) -> int:
    return sum(entry in entries for entries, _ in executor.submits)


@pytest.mark.parametrize("depth", [1, 3, 8, None])
async def test_sequences_together_say_what_each_says_alone(depth: int | None) -> None:
    executor = FakeExecutor()
    session = await open_session(executor, depth=depth)
    prompts = [range(5), range(30, 47), (9, 8, 7)]
    answers = await asyncio.gather(*(run(session, prompt) for prompt in prompts))
    assert answers == [reference(prompt) for prompt in prompts]
    assert executor.most_in_flight <= 8
    assert session.running == 0


async def test_two_sequences_share_their_steps() -> None:
    executor = FakeExecutor(costs={"decode": 1.0, "decode_batch": 1.1})
    session = await open_session(executor, context=1024)
    await asyncio.gather(run(session, (1, 2), max_tokens=200), run(session, (3, 4), max_tokens=200))
    together, alone = steps(executor, "decode_batch"), steps(executor, "decode")
    assert together >= 170 and together + alone <= 230
    assert executor.clock() < 400 / 1.6  # what one sequence after the other would have taken


@pytest.mark.parametrize(("cost", "together"), [(1.2, True), (1.5, True), (2.5, False)])
async def test_sequences_are_decoded_together_where_that_is_faster(
    cost: float, together: bool
) -> None:
    executor = FakeExecutor(costs={"decode": 1.0, "decode_batch": cost})
    session = await open_session(executor, context=1024)
    prompts = [(1, 2), (3, 4)]
    answers = await asyncio.gather(*(run(session, p, max_tokens=250) for p in prompts))
    assert list(answers) == [reference(prompt, 250) for prompt in prompts]
    shared = 2 * steps(executor, "decode_batch") / 500
    assert shared > 0.75 if together else 0 < shared < 0.2


async def test_without_an_entry_for_it_sequences_take_turns() -> None:
    executor = FakeExecutor()
    session = await open_session(executor, seats=0)
    prompts = [range(5), range(30, 47), (9, 8, 7)]
    answers = await asyncio.gather(*(run(session, prompt) for prompt in prompts))
    assert answers == [reference(prompt) for prompt in prompts]


@pytest.mark.parametrize("params", [SEEDED, COUNTED])
async def test_a_seeded_answer_does_not_depend_on_company(params: SamplingParams) -> None:
    executor = FakeExecutor()
    alone = await run(await open_session(FakeExecutor()), range(20), params)
    session = await open_session(executor)
    others = [run(session, range(i, 12)) for i in range(3)]
    warm = run(session, range(9), WARM)
    again, *rest = await asyncio.gather(run(session, range(20), params), *others, warm)
    assert again == alone
    assert rest[:3] == [reference(range(i, 12)) for i in range(3)]


async def test_more_sequences_than_seats_all_end() -> None:
    session = await open_session(FakeExecutor(), seats=2, context=256)
    prompts = [(i, i + 1) for i in range(7)]
    answers = await asyncio.gather(*(run(session, prompt) for prompt in prompts))
    assert answers == [reference(prompt) for prompt in prompts]


async def test_choices_share_the_pages_of_their_prompt() -> None:
    executor = FakeExecutor()
    session = await open_session(executor)
    prompt = tuple(range(66))
    cached: list[int] = []

    async def choice() -> list[int]:
        generation = Generation(prompt, WARM, max_tokens=5)
        answer = session.generate(generation, signal=AbortSignal(), on_cached=cached.append)
        return [t async for t in answer]

    await asyncio.gather(*(choice() for _ in range(4)))
    assert cached == [0, 64, 64, 64]
    computed = sum(s["n"] for entries, s in executor.submits if "prefill" in entries)
    assert computed == 66 + 3 * 2


async def test_one_that_is_aborted_leaves_the_others_alone() -> None:
    session = await open_session(FakeExecutor())
    signal = AbortSignal()

    async def stopped() -> list[int]:
        seen = []
        with pytest.raises(ModelpressError, match="aborted"):
            generation = Generation((5, 6), GREEDY)
            async for token in session.generate(generation, signal=signal):
                seen.append(token)
                if len(seen) == 6:
                    signal.abort()
        return seen

    first, second = await asyncio.gather(stopped(), run(session, range(40), max_tokens=30))
    assert first == reference((5, 6), 6)
    assert second == reference(range(40), 30)


async def test_one_that_is_cancelled_in_mid_step_leaves_the_others_alone() -> None:
    session = await open_session(FakeExecutor())
    for patience in range(1, 40, 3):
        victim = asyncio.ensure_future(run(session, (5, patience), max_tokens=None))
        other = asyncio.ensure_future(run(session, (7, patience), max_tokens=12))
        for _ in range(patience):
            await asyncio.sleep(0)
        victim.cancel()
        assert await other == reference((7, patience), 12)
        with pytest.raises(asyncio.CancelledError):
            await victim
    assert session.running == 0


async def test_one_that_nobody_reads_does_not_hold_up_the_others() -> None:
    session = await open_session(FakeExecutor(), context=256)
    lazy = session.generate(Generation((5, 6), GREEDY, max_tokens=120), signal=AbortSignal())
    assert await anext(lazy) == reference((5, 6), 1)[0]
    assert await run(session, range(12), max_tokens=100) == reference(range(12), 100)
    assert [t async for t in lazy] == reference((5, 6), 120)[1:]


async def test_when_pages_run_out_one_waits_for_the_other() -> None:
    """Either alone would fit: eight pages of eight."""
    session = await open_session(FakeExecutor(), context=64)
    answers = await asyncio.gather(
        run(session, range(10), max_tokens=40), run(session, range(20, 35), max_tokens=40)
    )
    assert list(answers) == [reference(range(10), 40), reference(range(20, 35), 40)]


async def test_a_long_prompt_lets_others_go_on() -> None:
    executor = FakeExecutor()
    session = await open_session(executor, context=512)
    short = asyncio.ensure_future(run(session, (1, 2), max_tokens=50))
    while session.running == 0 or steps(executor, "decode") < 5:
        await asyncio.sleep(0)
    await run(session, [i % 200 for i in range(300)], max_tokens=2)
    await short
    names = ["prefill" if "prefill" in e else "decode" for e, _ in executor.submits]
    first = len(names) - names[::-1].index("prefill") - 1
    assert Counter(names[names.index("prefill", 1) : first])["decode"] > 10


class OnlyEven:
    """Allows even tokens, and forces 100, 101, 102 after a token below 50."""

    def __init__(self) -> None:
        self.accepted: list[int] = []

    def forced(self) -> Sequence[int]:
        last = self.accepted[-1] if self.accepted else 99
        return (100, 101, 102) if last < 50 else ()

    async def mask(self) -> bytes | None:
        await asyncio.sleep(0)
        return bytes([0b01010101] * (4 * -(-258 // 32)))

    def accept(self, token: int) -> None:
        self.accepted.append(token)


@pytest.mark.parametrize("params", [GREEDY, SEEDED])
async def test_a_constraint_masks_and_forces_and_sees_every_token(params: SamplingParams) -> None:
    constraint = OnlyEven()
    seen: list[tuple[int, bytes | None]] = []
    request = LogprobRequest(lambda token, record: seen.append((token, record)))
    hooks = Hooks(constraint, request, {})
    session = await open_session(FakeExecutor(lambda tokens: 40 if len(tokens) == 9 else 97))
    other = asyncio.ensure_future(run(session, (9, 9, 9)))
    answer = await run(session, range(6), params, hooks=hooks, max_tokens=12)
    assert answer == constraint.accepted == [token for token, _ in seen] and len(answer) == 12
    free = [token for token, record in seen if record is not None]
    forced = [token for token, record in seen if record is None]
    if params is GREEDY:
        assert all(token % 2 == 0 for token in free)
        assert forced[:3] == [100, 101, 102]
        record = next(record for _, record in seen if record is not None)
        assert read_record(record, top=1).top[0][0] == 97  # the model's own, before the mask
    await other


async def test_a_bias_works_without_waiting() -> None:
    executor = FakeExecutor()
    session = await open_session(executor)
    biased = run(session, (1, 2), hooks=Hooks(bias={77: 100.0}), max_tokens=10)
    answers = await asyncio.gather(biased, run(session, (1, 2), max_tokens=10))
    assert list(answers) == [[77] * 10, reference((1, 2), 10)]


async def test_a_sequence_goes_on_with_what_it_gave_before() -> None:
    whole = await run(await open_session(FakeExecutor()), range(20), COUNTED, max_tokens=12)
    executor = FakeExecutor()
    session = await open_session(executor)
    generation = Generation((*range(20), *whole[:5]), COUNTED, max_tokens=7, given=5)
    rest = [t async for t in session.generate(generation, signal=AbortSignal())]
    assert whole[:5] + rest == whole
    drawn = sum(count & 0x7FFFFFFF for count in executor.counts.values())
    assert drawn == 12


async def test_editing_the_last_of_twenty_turns_computes_a_twentieth_at_most() -> None:
    executor = FakeExecutor()
    session = await open_session(executor, context=2048)
    history: list[int] = []
    for turn in range(19):
        history += [turn, *range(100, 140)]
        history += await run(session, history, max_tokens=25)

    async def computed(prompt: list[int]) -> int:
        executor.submits.clear()
        await run(session, prompt, max_tokens=25)
        return sum(s["n"] for entries, s in executor.submits if "prefill" in entries)

    asked = [*history, 19, *range(100, 140)]
    await computed(asked)
    regenerated = await computed(asked)
    edited = await computed([*history, 19, *range(100, 130), 7])
    went_back = await computed([*history[: len(history) // 2], 9, 9, 9])
    there_again = await computed([*history, 19, *range(100, 130), 7, 8])
    found = (regenerated, edited, went_back, there_again)
    assert len(asked) > 1200 and all(0 < count < len(asked) * 0.05 for count in found), found
