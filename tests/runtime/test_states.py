"""Sequences of a model whose state goes on with every token, on a device whose answers are nonsense
as soon as a step begins with the state of other tokens."""

from __future__ import annotations

import asyncio
import random

import pytest

from runtime.abort import AbortSignal
from runtime.constraint import Hooks
from runtime.device_time import time_steps
from runtime.errors import ModelpressError
from runtime.fake import hashed_token
from runtime.fake_executor import FakeExecutor
from runtime.fake_hub import fake_plan
from runtime.progress import Progress, ignore_progress
from runtime.sampling import SamplingParams
from runtime.session import Generation, Session, num_pages

GREEDY = SamplingParams(temperature=0.0)
PAGE, CHUNK = 8, 16
PROMPT = tuple(range(50))


async def open_session(executor: FakeExecutor, *, depth: int = 3) -> Session:
    plan = fake_plan(context=256, page_size=PAGE, prefill_chunk=CHUNK, recurrent=True)
    await executor.prepare(
        plan, plan.dumps(), pages=num_pages(plan, plan.context), on_progress=ignore_progress
    )
    return Session(plan, executor, context=plan.context, depth=depth)


async def ask(session: Session, prompt: tuple[int, ...], count: int = 20) -> tuple[int, ...]:
    generation = Generation(prompt, GREEDY, max_tokens=count)
    return tuple([t async for t in session.generate(generation, signal=AbortSignal())])


async def ask_until(session: Session, prompt: tuple[int, ...], stop: int) -> None:
    generation = Generation(prompt, GREEDY, frozenset((stop,)))
    async for _ in session.generate(generation, signal=AbortSignal()):
        pass


def expected(prompt: tuple[int, ...], count: int = 20) -> tuple[int, ...]:
    tokens = list(prompt)
    for _ in range(count):
        tokens.append(hashed_token(tuple(tokens)))
    return tuple(tokens[len(prompt) :])


def computed(executor: FakeExecutor, since: int) -> int:
    """Tokens of prompts that were computed since so many submits."""
    return sum(s["n"] for e, s in executor.submits[since:] if "prefill" in e)


@pytest.mark.parametrize("depth", [1, 2, 8])
@pytest.mark.parametrize("length", [1, 9, 16, 17, 50])
async def test_any_prompt_at_any_depth_gives_what_the_model_gives(length: int, depth: int) -> None:
    session = await open_session(FakeExecutor(), depth=depth)
    assert await ask(session, PROMPT[:length]) == expected(PROMPT[:length])


@pytest.mark.parametrize("depth", [1, 3, 8])
async def test_steps_queued_beyond_a_stop_are_not_in_the_next_turn(depth: int) -> None:
    executor = FakeExecutor()
    session = await open_session(executor, depth=depth)
    answer = expected(PROMPT)
    await ask_until(session, PROMPT, answer[6])
    turn = (*PROMPT, *answer[:7], 3, 1, 4, 1, 5)
    before = len(executor.submits)
    assert await ask(session, turn) == expected(turn)
    # At worst from the state shortly before the end of the prompt on.
    assert computed(executor, before) <= len(turn) - len(PROMPT) + 8 + PAGE


async def test_where_few_steps_are_ahead_the_next_turn_goes_on_from_the_end_of_the_answer() -> None:
    executor = FakeExecutor()
    session = await open_session(executor, depth=2)
    turn = (*PROMPT, *await ask(session, PROMPT), 3, 1, 4)
    before = len(executor.submits)
    assert await ask(session, turn) == expected(turn)
    assert computed(executor, before) <= 4


async def test_the_same_prompt_again_computes_its_end_alone() -> None:
    executor = FakeExecutor()
    session = await open_session(executor)
    first = await ask(session, PROMPT)
    before = len(executor.submits)
    assert session.num_cached(PROMPT) == 40
    assert await ask(session, PROMPT) == first == expected(PROMPT)
    assert computed(executor, before) == 10


async def test_an_edited_message_goes_on_from_the_end_of_the_prompt_before() -> None:
    executor = FakeExecutor()
    session = await open_session(executor, depth=2)
    turn = (*PROMPT, *await ask(session, PROMPT), *range(30))
    await ask(session, turn)
    edited = (*turn[:70], *range(90, 110))
    before = len(executor.submits)
    assert await ask(session, edited) == expected(edited)
    assert computed(executor, before) == len(edited) - 40


async def test_an_earlier_branch_is_computed_from_the_beginning_and_right() -> None:
    session = await open_session(FakeExecutor())
    await ask(session, PROMPT)
    branch = (*PROMPT[:30], 99, *PROMPT[30:])
    assert session.num_cached(branch) == 0
    assert await ask(session, branch) == expected(branch)


async def test_an_abandoned_answer_and_an_aborted_prompt_leave_no_trace() -> None:
    session = await open_session(FakeExecutor(), depth=8)
    answer = session.generate(Generation(PROMPT, GREEDY), signal=AbortSignal())
    for _ in range(3):
        await anext(answer)
    await answer.aclose()
    assert await ask(session, PROMPT[:45]) == expected(PROMPT[:45])
    signal = AbortSignal()

    def after_the_first_chunk(progress: Progress) -> None:
        signal.abort()

    long = tuple(range(100, 180))
    with pytest.raises(ModelpressError):
        async for _ in session.generate(
            Generation(long, GREEDY), signal=signal, on_progress=after_the_first_chunk
        ):
            pass
    assert await ask(session, long) == expected(long)


async def test_several_answers_at_once_are_each_what_they_are_alone() -> None:
    session = await open_session(FakeExecutor())
    prompts = [(*PROMPT, 7), PROMPT[3:40], tuple(range(120, 141))]
    answers = await asyncio.gather(*(ask(session, prompt) for prompt in prompts))
    assert answers == [expected(prompt) for prompt in prompts]


async def test_timing_steps_disturbs_nothing() -> None:
    session = await open_session(FakeExecutor())
    first = await ask(session, PROMPT)
    await time_steps(session, 12)
    turn = (*PROMPT, *first, 5)
    assert await ask(session, turn) == expected(turn)


async def test_logits_one_by_one_leave_the_next_answer_right() -> None:
    session = await open_session(FakeExecutor())
    await ask(session, PROMPT)
    async for _ in session.logits(range(60, 90)):
        pass
    assert await ask(session, PROMPT) == expected(PROMPT)


@pytest.mark.parametrize("seed", range(6))
async def test_conversations_of_all_kinds_are_what_the_model_says(seed: int) -> None:
    """Follow-ups, edits, other answers and stops in any order."""
    chance = random.Random(seed)
    session = await open_session(FakeExecutor(), depth=chance.randint(1, 8))
    said: tuple[int, ...] = PROMPT[: chance.randint(1, 30)]
    for _ in range(8):
        cut = chance.choice((len(said), len(said), chance.randint(1, len(said))))
        said = (*said[:cut], *(chance.randrange(200) for _ in range(chance.randint(1, 20))))[:180]
        count = chance.randint(1, 15)
        answer = await ask(session, said, count)
        assert answer == expected(said, count)
        said = (*said, *answer)


class Stutters:
    """Says every third token three times more."""

    def __init__(self) -> None:
        self.accepted: list[int] = []
        self._due: list[int] = []

    def forced(self) -> tuple[int, ...]:
        due, self._due = tuple(self._due), []
        return due

    async def mask(self) -> bytes | None:
        await asyncio.sleep(0)
        return None

    def accept(self, token: int) -> None:
        self.accepted.append(token)
        if len(self.accepted) % 6 == 3:
            self._due = [token] * 3


async def test_forced_tokens_are_read_by_the_state_too_whoever_comes_between() -> None:
    session = await open_session(FakeExecutor())
    other = asyncio.ensure_future(ask(session, PROMPT[5:30], 40))
    generation = Generation(PROMPT, GREEDY, max_tokens=20, hooks=Hooks(constraint=Stutters()))
    answer = tuple([t async for t in session.generate(generation, signal=AbortSignal())])
    said = PROMPT
    for index, token in enumerate(answer):
        assert token == (said[-1] if index % 6 in (3, 4, 5) else hashed_token(said))
        said = (*said, token)
    assert await other == expected(PROMPT[5:30], 40)
    assert await ask(session, said) == expected(said)
