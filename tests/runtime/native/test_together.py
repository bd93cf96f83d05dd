"""Sequences decoded together on real devices say what each says alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from hub.compile import compile_plans
from hub.schemes import SCHEMES
from runtime.abort import AbortSignal
from runtime.native.executor import WgpuExecutor
from runtime.plan import Plan
from runtime.progress import ignore_progress
from runtime.sampling import SamplingParams
from runtime.session import Generation, Session, num_pages

from .conftest import NAMES

GREEDY = SamplingParams(temperature=0.0)
CONFIG = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "vocab_size": 331,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
}
ENTRIES = ("prefill", "decode", "greedy", "synthesize", "decode_batch", "row_logits", "row_token")


def tiny_plan(variant: str) -> Plan:
    (plan,) = compile_plans(
        model_id="tiny",
        family="llama",
        config=CONFIG,
        scheme=SCHEMES["q4"],
        context=128,
        variants=(variant,),
    )
    return plan


async def answer(session: Session, prompt: Sequence[int]) -> list[int]:
    generation = Generation(tuple(prompt), GREEDY, max_tokens=10)
    return [token async for token in session.generate(generation, signal=AbortSignal())]


@pytest.mark.parametrize("variant", ["software", "f16+subgroups"])
async def test_greedy_tokens_do_not_depend_on_company(drivers: None, variant: str) -> None:
    """Prompts end before, at and behind the end of a page, and two share their first one."""
    plan, executor = tiny_plan(variant), WgpuExecutor(adapter=NAMES["lavapipe"])
    pages = num_pages(plan, plan.context)
    await executor.prepare(
        plan, plan.dumps(), pages=pages, on_progress=ignore_progress, entries=ENTRIES
    )
    executor.submit(("synthesize",), {"seed": 5})
    prompts = [range(40, 45), range(100, 132), (*range(100, 116), 7, 8, 9)]
    alone = Session(plan, executor, context=plan.context, depth=2)
    expected = [await answer(alone, prompt) for prompt in prompts]
    together = Session(plan, executor, context=plan.context, depth=2)
    found = await asyncio.gather(*(answer(together, prompt) for prompt in prompts))
    assert list(found) == expected
    assert len({tuple(tokens) for tokens in expected}) == 3
    assert await executor.read("batch_tokens", 4) != bytes(4)  # they were in company
    # Asked once more, all whole pages but that of the last token are found, and hold what they did.
    cached: list[int] = []
    again = Generation((*prompts[1], *expected[1]), GREEDY, max_tokens=1)
    tokens = together.generate(again, signal=AbortSignal(), on_cached=cached.append)
    follow_up = [token async for token in tokens]
    fresh = Session(plan, executor, context=plan.context, depth=2)
    tokens = fresh.generate(again, signal=AbortSignal(), on_cached=cached.append)
    assert [token async for token in tokens] == follow_up
    assert cached == [41, 0]
    await executor.close()
