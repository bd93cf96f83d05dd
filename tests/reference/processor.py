"""Runs reference models on the processor, in WebAssembly, and says how far they are.

    python -m tests.reference.processor [SCHEME [MODEL]...]

Without models, every tiny one is compiled and compared: some minutes.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hub.checkpoint import Checkpoint
from hub.compile import compile_plans
from hub.families import FAMILIES
from hub.files import write_blob
from hub.schemes import SCHEMES
from hub.shards import write_chunks
from hub.stream import press
from runtime.native.storage import FolderStorage
from runtime.native.wasm_executor import WasmExecutor
from runtime.plan import Plan
from runtime.progress import ignore_progress
from runtime.weights import WeightIndex

from .answers import NEW_TOKENS, read_answers, relative_error, ways_to_cut
from .checkpoints import CONTEXT, family_of
from .device import checkpoint_folder
from .tiny import TINY
from .tiny_families import TINY_FAMILIES

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Found:
    """One way to compute: its distance from transformers, of prefills in chunks from decoding
    token by token, and its greedy tokens."""

    error: float
    chunked: float
    tokens: tuple[int, ...]


class Processed:
    """A model compiled for the processor, with its weights, in a hub folder of its own."""

    def __init__(self, model: str, scheme: str, root: Path, *, library: bool = True) -> None:
        self.answers, self.root = read_answers(model, scheme), root / "hub"
        self.root.mkdir(parents=True, exist_ok=True)
        checkpoint = Checkpoint.open(checkpoint_folder(model, root))
        family = family_of(checkpoint.config)
        modules: list[bytes] = []
        (self.plan,) = compile_plans(
            model_id=model,
            family=family,
            config=checkpoint.config,
            scheme=SCHEMES[scheme],
            context=CONTEXT,
            variants=("cpu",),
            library=library,
            keep=modules.append,
        )
        for module in modules:
            write_blob(self.root, module)
        specs = FAMILIES[family].weights(FAMILIES[family].read(checkpoint.config), CONTEXT)
        self.index = write_chunks(press(specs, SCHEMES[scheme], checkpoint), self.root)

    async def compare(self, suffixes: Sequence[str]) -> dict[str, Found]:
        """By what its entries end in, how the model computes."""
        storage = FolderStorage(self.root)
        executor = WasmExecutor(storage)
        reader = _Reader(executor, self.plan, storage)
        names = [f"{entry}{suffix}" for entry in ("prefill", "decode") for suffix in suffixes]
        await reader.load(self.index, (*names, "greedy"))
        found = {suffix: await self._compare(reader, suffix) for suffix in suffixes}
        await executor.close()
        return found

    async def _compare(self, reader: _Reader, suffix: str) -> Found:
        prompt = self.answers.prompt
        logits = [await reader.decode(t, pos, suffix) for pos, t in enumerate(prompt)]
        cut = [await reader.prefill(prompt, sizes, suffix) for sizes in ways_to_cut(len(prompt))]
        wanted = np.stack([logits[i] for i in self.answers.positions])
        await reader.decode(prompt[-1], len(prompt) - 1, suffix)
        return Found(
            relative_error(wanted, self.answers.logits),
            max(relative_error(chunked, logits[-1]) for chunked in cut),
            await reader.greedy(len(prompt), suffix),
        )


class _Reader:
    """A loaded plan, with a page table that runs backwards."""

    def __init__(self, executor: WasmExecutor, plan: Plan, storage: FolderStorage) -> None:
        self._executor, self._plan, self._storage = executor, plan, storage

    async def load(self, index: WeightIndex, entries: Sequence[str]) -> None:
        pages = CONTEXT // self._plan.page_size
        await self._executor.prepare(
            self._plan, "", pages=pages, on_progress=ignore_progress, entries=entries
        )
        await self._executor.upload(index, "", self._storage, on_progress=ignore_progress)
        self._executor.write("page_table", _words(range(pages - 1, -1, -1)))

    async def decode(self, token: int, pos: int, suffix: str) -> Array:
        self._executor.write("token", _words([token]))
        self._executor.submit((f"decode{suffix}",), {"pos": pos})
        return await self._logits()

    async def prefill(self, prompt: Sequence[int], sizes: Sequence[int], suffix: str) -> Array:
        start = 0
        for size in sizes:
            self._executor.write("tokens", _words(prompt[start : start + size]))
            self._executor.submit((f"prefill{suffix}",), {"n": size, "pos": start})
            start += size
        return await self._logits()

    async def greedy(self, start: int, suffix: str) -> tuple[int, ...]:
        tokens = [await self._executor.step(("greedy",), {}, "token")]
        for pos in range(start, start + NEW_TOKENS - 1):
            entries = (f"decode{suffix}", "greedy")
            tokens.append(await self._executor.step(entries, {"pos": pos}, "token"))
        return tuple(tokens)

    async def _logits(self) -> Array:
        data = await self._executor.read("logits", 4 * self._plan.vocab_size)
        return np.frombuffer(data, np.float32).copy()


def _words(values: Sequence[int] | range) -> bytes:
    return np.array(values, np.int32).tobytes()


def main(scheme: str = "q4", *models: str) -> None:
    """Print a line a model."""
    with tempfile.TemporaryDirectory() as scratch:
        for model in models or tuple(tiny.name for tiny in (*TINY, *TINY_FAMILIES)):
            processed = Processed(model, scheme, Path(scratch))
            module = processed.plan.module
            assert module is not None
            for suffix, found in asyncio.run(processed.compare(("_f32", ""))).items():
                same = found.tokens == processed.answers.tokens
                print(
                    f"{model} {scheme} {suffix or 'rounded':8} off {found.error:.1e}, "
                    f"chunks {found.chunked:.1e}, tokens {'the same' if same else 'differ'}, "
                    f"module {module.single.nbytes} bytes",
                    flush=True,
                )


if __name__ == "__main__":
    main(*sys.argv[1:])
