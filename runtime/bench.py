"""Measuring a loaded model: prefill, decode and device time, on tokens that mean nothing.

Each run and each token is reported as progress (stages "prefill" and "decode", unit "tokens"), so
that a page can take the times where it stands, with nothing excluded.

Every number is wall clock as a caller sees it; `gpu_ms_per_token` is the time of a decode step
with the queue kept full and nothing read back, which on an idle device is the device's own time,
and `cpu_ms_per_token` the time that the engine itself runs, prompt included.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from .abort import AbortSignal
from .busy import BusyTime
from .device_time import profile, time_steps
from .engine import Engine
from .executor import require_timestamps
from .facts import choice_facts, device_name
from .fit import dispatches_per_token
from .loading import LoadedModel
from .progress import OnProgress, Progress
from .sampling import SamplingParams, bad_param
from .session import Generation, context_exceeded

QUEUED_STEPS = 16


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

    def __post_init__(self) -> None:
        for name, low, high in (("prompt", 1, 2**20), ("new", 2, 2**20), ("runs", 1, 100)):
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
        **profiled,
    }


def _check_fits(model: LoadedModel, request: BenchRequest) -> None:
    needed = request.prompt + request.new
    if needed > model.session.context:
        raise context_exceeded(needed, model.session.context)


async def _run(
    model: LoadedModel,
    request: BenchRequest,
    index: int,
    signal: AbortSignal,
    on_progress: OnProgress,
) -> dict[str, Any]:
    # A different prompt each run, so that no run finds the one before in the cache.
    vocab = model.session.plan.vocab_size
    prompt = tuple((index + 1 + 7919 * i) % vocab for i in range(request.prompt))
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
