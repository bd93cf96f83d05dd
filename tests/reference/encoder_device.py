"""Computes the tiny encoders on one Vulkan driver and writes their vectors.

    VK_ICD_FILENAMES=... python -m tests.reference.encoder_device OUT.npz

A process of its own, because a driver is chosen when the process first looks for one.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import numpy as np

from hub.compile import compile_plans
from hub.schemes import SCHEMES
from runtime.abort import AbortSignal
from runtime.encoder import Encoder
from runtime.native.executor import WgpuExecutor
from runtime.progress import ignore_progress

from .tiny_encoders import LONGEST, TINY_ENCODERS, Array, TinyEncoder, press_encoder

JOBS = (
    ("tiny-bert", "f32", "base"),
    ("tiny-bert", "q4", "software"),
    ("tiny-bert-cls", "q4", "base"),
    ("tiny-bert-relu", "f32", "software"),
)
"""(model, scheme, variant): each in one of the two texts that there are of every kernel."""


async def main(out: Path) -> None:
    executor, results = WgpuExecutor(), {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, scheme, variant in JOBS:
            (tiny,) = (tiny for tiny in TINY_ENCODERS if tiny.name == name)
            vectors = await compute(executor, tiny, scheme, variant, Path(scratch))
            results[f"{name}|{scheme}|{variant}"] = vectors
    await executor.close()
    np.savez(out, **results)  # type: ignore[arg-type]


async def compute(
    executor: WgpuExecutor, tiny: TinyEncoder, scheme: str, variant: str, scratch: Path
) -> Array:
    """f32[texts, width], all texts in one run."""
    (plan,) = compile_plans(
        model_id=tiny.name,
        family="bert",
        config=tiny.config(),
        scheme=SCHEMES[scheme],
        context=LONGEST,
        variants=(variant,),
        embedding=tiny.embedding,
    )
    await executor.prepare(plan, plan.dumps(), pages=1, on_progress=ignore_progress)
    for name, data in press_encoder(tiny, scheme, scratch).buffers.items():
        executor.write(name, np.ascontiguousarray(data).tobytes())
    encoder = Encoder(plan, executor, tiny.embedding, context=LONGEST)
    return np.array(await encoder.embed(tiny.texts(), signal=AbortSignal()), np.float32)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
