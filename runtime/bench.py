"""Measuring a loaded model: prefill, decode and device time, on tokens that mean nothing.

Each run and each token is reported as progress (stages "prefill" and "decode", unit "tokens"), so
that a page can take the times where it stands, with nothing excluded.

Every number is wall clock as a caller sees it; `gpu_ms_per_token` is the time of a decode step
with the queue kept full and nothing read back, which on an idle device is the device's own time,
and `cpu_ms_per_token` the time that the engine itself runs, prompt included.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from .abort import AbortSignal
from .busy import BusyTime
from .device_time import profile, time_steps
from .engine import MOST_ANSWERS, Engine
from .executor import require_timestamps
from .facts import choice_facts, device_name
from .fit import dispatches_per_token
from .loading import LoadedModel
from .progress import OnProgress, Progress, ignore_progress
from .sampling import SamplingParams, bad_param
from .session import Generation, context_exceeded

QUEUED_STEPS = 16
RANGES = (
    ("prompt", 1, 2**20),
    ("new", 2, 2**20),
    ("runs", 1, 100),
    ("parallel", 1, MOST_ANSWERS),
)


@dataclass(frozen=True, slots=True)
class BenchRequest:
    """`prompt` tokens in, `new` tokens out, `runs` times, with model `id`; greedy unless the
    temperature says otherwise."""

    id: str
    prompt: int = 512
    new: int = 128
    runs: int = 3
    profile: bool = False
    """Whether to time every kernel as well."""
    temperature: float = 0.0
    top_p: float = 1.0
    parallel: int = 1
    """How many sequences to decode together as well, from prompts of their own."""

    def __post_init__(self) -> None:
        for name, low, high in RANGES:
            if not low <= getattr(self, name) <= high:
                raise bad_param(name, f"{name} must lie between {low} and {high}")
        self.params()

    def params(self) -> SamplingParams:
        """How tokens are drawn; "bad_request" for what cannot be."""
        return SamplingParams(temperature=self.temperature, top_p=self.top_p, seed=1)


async def bench(
    engine: Engine, request: BenchRequest, *, signal: AbortSignal, on_progress: OnProgress
) -> dict[str, Any]:
    """Load the model and measure it. Progress: stage "bench", unit "runs"."""
    started = time.perf_counter()
    async with engine.session(request.id, signal, on_progress) as model:
        load_ms = (time.perf_counter() - started) * 1000
        _check_fits(model, request)
        if request.profile:
            require_timestamps(model.device)
        runs = []
        for index in range(request.runs):
            runs.append(await _run(model, request, index, signal, on_progress))
            on_progress(Progress("bench", index + 1, request.runs, "runs"))
        together = await _together(model, request, signal) if request.parallel > 1 else None
        profiled = {"profile": await profile(model.session)} if request.profile else {}
    plan = model.session.plan
    return {
        "id": request.id,
        "variant": plan.variant,
        "device": device_name(model.device),
        "dispatches_per_token": dispatches_per_token(plan, model.session.decode_entry),
        "choices": choice_facts(plan, model.verdict),
        "weight_bytes": plan.memory.weights,
        "load_ms": round(load_ms, 1),
        "runs": runs,
        **({} if together is None else {"parallel": together}),
        **profiled,
    }


async def _together(
    model: LoadedModel, request: BenchRequest, signal: AbortSignal
) -> dict[str, Any]:
    """Tokens a second of `parallel` sequences while all of them are being decoded."""
    session = model.session
    params = dataclasses.replace(request.params(), seed=None)

    async def one(index: int) -> list[float]:
        prompt = _prompt(request, session.plan.vocab_size, request.runs + index)
        generation = Generation(prompt, params, max_tokens=request.new)
        return await _token_times(
            session.generate(generation, signal=signal), request.new, ignore_progress
        )

    times = await asyncio.gather(*(one(index) for index in range(request.parallel)))
    begin, end = max(t[0] for t in times), min(t[-1] for t in times)
    tokens = sum(begin < time <= end for each in times for time in each)
    return {
        "sequences": request.parallel,
        "tokens": tokens,
        "decode_tok_s": round(tokens / (end - begin), 2) if end > begin else 0.0,
    }


def _prompt(request: BenchRequest, vocab_size: int, index: int) -> tuple[int, ...]:
    """A prompt that begins like no other, so that none finds another in the cache."""
    return tuple((index + 1 + 7919 * i) % vocab_size for i in range(request.prompt))


def _check_fits(model: LoadedModel, request: BenchRequest) -> None:
    needed = (request.prompt + request.new) * request.parallel
    if needed > model.session.context:
        raise context_exceeded(needed, model.session.context)


async def _run(
    model: LoadedModel,
    request: BenchRequest,
    index: int,
    signal: AbortSignal,
    on_progress: OnProgress,
) -> dict[str, Any]:
    prompt = _prompt(request, model.session.plan.vocab_size, index)
    generation = Generation(prompt, request.params(), max_tokens=request.new)
    on_progress(Progress("prefill", 0, request.prompt, "tokens"))
    started = time.perf_counter()
    tokens = model.session.generate(generation, signal=signal)
    busy = BusyTime()
    times = await busy.of(_token_times(tokens, request.new, on_progress))
    gpu_s = await time_steps(model.session, min(QUEUED_STEPS, request.new))
    return {
        "prompt_tokens": request.prompt,
        "new_tokens": len(times),
        "ttft_ms": round((times[0] - started) * 1000, 2),
        "prefill_tok_s": round(request.prompt / (times[0] - started), 2),
        "decode_tok_s": round((len(times) - 1) / (times[-1] - times[0]), 2),
        "gpu_ms_per_token": round(gpu_s * 1000, 3),
        "cpu_ms_per_token": round(busy.seconds * 1000 / len(times), 3),
    }


async def _token_times(
    tokens: AsyncGenerator[int], total: int, on_progress: OnProgress
) -> list[float]:
    times: list[float] = []
    async with aclosing(tokens):
        async for _ in tokens:
            times.append(time.perf_counter())
            on_progress(Progress("decode", len(times), total, "tokens"))
    return times
