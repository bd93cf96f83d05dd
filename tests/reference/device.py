"""Runs reference models on one Vulkan driver and writes what they say.

    VK_ICD_FILENAMES=... python -m tests.reference.device OUT.npz JOBS.json

A process of its own, because a driver is chosen when the process first looks for one, and because
a driver that crashes must not take the tests along. The device runs the plans as the compiler wrote
them; only the page table is chosen to be awkward.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hub.checkpoint import Checkpoint
from hub.compile import compile_plans
from hub.families import FAMILIES
from hub.schemes import SCHEMES
from hub.shards import write_chunks
from hub.stream import press
from runtime import codec
from runtime.native.executor import WgpuExecutor
from runtime.native.storage import FolderStorage
from runtime.plan import STATE_RING, Kernel, Plan
from runtime.progress import ignore_progress
from runtime.weights import WeightIndex
from tests.hub.kernels.matrix_emulation import emulated

from .answers import NEW_TOKENS, Answers, read_answers, ways_to_cut
from .checkpoints import CONTEXT, PRESS_GUIDE, family_of, press_guide_folder
from .tiny import TINY
from .tiny_families import TINY_FAMILIES

Array = NDArray[np.float32]
STEPS_IN_FLIGHT = 4


@dataclass(frozen=True, slots=True)
class Job:
    """One model, scheme and plan variant; `mutation` is (kernel, text, its replacement)."""

    model: str
    scheme: str
    variant: str
    rivals: bool = False
    """Whether the plan's other ways to decode are asked too."""
    mutation: tuple[str, str, str] | None = None

    @property
    def key(self) -> str:
        broken = f"|{self.mutation[0]}" if self.mutation else ""
        return f"{self.model}|{self.scheme}|{self.variant}{broken}"


async def main(out: Path, jobs: Path) -> None:
    todo: tuple[Job, ...] = codec.decode(tuple[Job, ...], json.loads(jobs.read_text()), str(jobs))
    executor = WgpuExecutor()
    results: dict[str, Any] = {"device": np.array((await executor.device()).description)}
    with tempfile.TemporaryDirectory() as scratch:
        for job in todo:
            started = time.perf_counter()
            found = await run(job, executor, Path(scratch))
            results |= {f"{job.key}|{name}": array for name, array in found.items()}
            print(f"{job.key}: {time.perf_counter() - started:.1f} s", flush=True)
    await executor.close()
    np.savez(out, **results)


async def run(job: Job, executor: WgpuExecutor, scratch: Path) -> dict[str, Any]:
    """`logits` f32[prompt, vocab] decoded one by one, `chunked` f32[ways, vocab], `tokens`; for
    every other way to decode, `logits@ENTRY` and `tokens@ENTRY`; for a model with a state,
    `taken_up` f32[vocab]. Tokens follow a prefill, as in a
    conversation, whose last token is decoded once more for the logits of the entry."""
    answers = read_answers(job.model, job.scheme)
    plan, index, root = press_job(job, scratch)
    names = {e: "" if e == "decode" else f"@{e}" for e in decode_entries(plan, job)}
    moves = ("save", "restore") if plan.recurrent else ()
    device = await load(executor, plan, index, root, ("prefill", "greedy", *moves, *names))
    found = {}
    for entry, name in names.items():
        logits = [await device.decode(t, pos, entry) for pos, t in enumerate(answers.prompt)]
        found[f"logits{name}"] = np.stack(logits)
    if plan.recurrent:
        found["taken_up"] = await device.take_up_again(answers.prompt)
    ways = ways_to_cut(len(answers.prompt))
    found["chunked"] = np.stack([await device.prefill(answers.prompt, sizes) for sizes in ways])
    for entry, name in names.items():
        # Again, because what remembers has gone on since.
        await device.prefill(answers.prompt[:-1], [len(answers.prompt) - 1])
        await device.decode(answers.prompt[-1], len(answers.prompt) - 1, entry)
        found[f"tokens{name}"] = np.array(await device.greedy(answers, entry), np.int32)
    return found


def decode_entries(plan: Plan, job: Job) -> tuple[str, ...]:
    """The entries of a plan that a job decodes with."""
    return ("decode", *(plan.alternatives.get("decode", ()) if job.rivals else ()))


def press_job(job: Job, scratch: Path) -> tuple[Plan, WeightIndex, Path]:
    """The plan and the stored weights of a job, and the hub folder that holds them."""
    folder = checkpoint_folder(job.model, scratch)
    checkpoint, scheme = Checkpoint.open(folder), SCHEMES[job.scheme]
    name = family_of(checkpoint.config)
    specs = FAMILIES[name].weights(FAMILIES[name].read(checkpoint.config), CONTEXT)
    (plan,) = compile_plans(
        model_id=job.model,
        family=name,
        config=checkpoint.config,
        scheme=scheme,
        context=CONTEXT,
        variants=(job.variant,),
    )
    root = scratch / "hub"
    root.mkdir(exist_ok=True)
    index = write_chunks(press(specs, scheme, checkpoint), root)
    return mutate(without_matrices(plan), job), index, root


def checkpoint_folder(model: str, scratch: Path) -> Path:
    """Where the checkpoint of a reference model lies, made on first use."""
    if model == PRESS_GUIDE:
        return press_guide_folder()
    folder = scratch / model
    if not folder.is_dir():
        next(t for t in (*TINY, *TINY_FAMILIES) if t.name == model).write(folder)
    return folder


def without_matrices(plan: Plan) -> Plan:
    """The plan with subgroup matrices in emulation: no software driver has them."""
    kernels = tuple(Kernel(k.name, emulated(k.wgsl), k.entry_point) for k in plan.kernels)
    features = tuple(name for name in plan.features if name in ("shader-f16", "subgroups"))
    return dataclasses.replace(plan, kernels=kernels, features=features)


def mutate(plan: Plan, job: Job) -> Plan:
    """The plan with the job's mutation wherever a kernel of that name holds its text."""
    if job.mutation is None:
        return plan
    name, text, replacement = job.mutation
    broken = [k for k in plan.kernels if k.name.startswith(name) and text in k.wgsl]
    assert broken, f"no kernel {name} holds {text!r}: write another mutation"
    kernels = tuple(
        Kernel(k.name, k.wgsl.replace(text, replacement), k.entry_point) if k in broken else k
        for k in plan.kernels
    )
    return dataclasses.replace(plan, kernels=kernels)


async def load(
    executor: WgpuExecutor, plan: Plan, index: WeightIndex, root: Path, entries: Sequence[str]
) -> Device:
    """Prepare, upload, and set a page table that runs backwards."""
    pages = CONTEXT // plan.page_size
    await executor.prepare(
        plan, plan.dumps(), pages=pages, on_progress=ignore_progress, entries=entries
    )
    storage = FolderStorage(root)
    await executor.upload(index, index.dumps(), storage, on_progress=ignore_progress)
    executor.write("page_table", _words(range(pages - 1, -1, -1)))
    return Device(executor, plan)


class Device:
    """A loaded plan, entry point by entry point."""

    def __init__(self, executor: WgpuExecutor, plan: Plan) -> None:
        self._executor = executor
        self._plan = plan

    async def decode(self, token: int, pos: int, entry: str) -> Array:
        """Logits after one more token."""
        self._executor.write("token", _words([token]))
        self._executor.submit((entry,), {"pos": pos})
        return await self._logits()

    async def prefill(self, prompt: Sequence[int], sizes: Sequence[int]) -> Array:
        """Logits of the last token of `prompt`, computed in chunks of `sizes`."""
        start = 0
        for size in sizes:
            self._prefill(prompt[start : start + size], start)
            start += size
        assert start == len(prompt)
        return await self._logits()

    async def take_up_again(self, prompt: Sequence[int]) -> Array:
        """Logits of the last token of `prompt`, whose first half was read, then other tokens in the
        place of its second, and then that half from what was kept."""
        half = len(prompt) // 2
        kept = {"pos": half, "slot": 1}
        await self.prefill(prompt[:half], [half])
        self._executor.submit(("save",), kept)
        # So many that they leave their state where the one wanted was.
        self._prefill(prompt[:STATE_RING], half)
        self._executor.submit(("restore",), kept)
        self._prefill(prompt[half:], half)
        return await self._logits()

    def _prefill(self, tokens: Sequence[int], pos: int) -> None:
        self._executor.write("tokens", _words(tokens))
        self._executor.submit(("prefill",), {"n": len(tokens), "pos": pos})

    async def greedy(self, answers: Answers, entry: str) -> list[int]:
        """64 tokens that follow the logits there are, drawn on the device, several in flight."""
        flying = [self._executor.step(("greedy",), {}, "token")]
        tokens: list[int] = []
        queued = 1
        while flying:
            while queued < NEW_TOKENS and len(flying) < STEPS_IN_FLIGHT:
                symbols = {"pos": len(answers.prompt) + queued - 1}
                flying.append(self._executor.step((entry, "greedy"), symbols, "token"))
                queued += 1
            tokens.append(await flying.pop(0))
        return tokens

    async def _logits(self) -> Array:
        data = await self._executor.read("logits", 4 * self._plan.vocab_size)
        return np.frombuffer(data, np.float32).copy()


def _words(values: Sequence[int] | range) -> bytes:
    return np.array(values, np.int32).tobytes()


def job_to_json(job: Job) -> Mapping[str, Any]:
    """What `main` reads."""
    return dataclasses.asdict(job)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
