"""The part of a build that is for the processor: its plans, and what rounding loses in them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from runtime.manifest import Loss
from runtime.plan import Plan
from runtime.progress import ignore_progress
from runtime.weights import WeightIndex

from ..errors import DoesNotFitError, ToolError
from ..loss import measure
from ..rounding import Floats
from ..texts import Texts
from .backend import EXACT, VARIANTS
from .link import require_linker

if TYPE_CHECKING:
    from runtime.native.wasm_executor import WasmExecutor

logger = logging.getLogger(__name__)


class Compile(Protocol):
    """Compiles `variants`, and hands the modules of their plans to `keep`."""

    def __call__(
        self, *, variants: tuple[str, ...], keep: Callable[[bytes], None]
    ) -> tuple[Plan, ...]: ...


def press_processor(
    id: str, wanted: bool | None, compile: Compile
) -> tuple[tuple[Plan, ...], tuple[bytes, ...]]:
    """The plans of a model for the processor, and their modules.

    `wanted` None leaves them out, and says so, where there is no linker and where the model passes
    what WebAssembly addresses; True raises ToolError and DoesNotFitError instead; False compiles
    none.
    """
    modules: list[bytes] = []
    if wanted is False:
        return (), ()
    try:
        require_linker()
        return compile(variants=VARIANTS, keep=modules.append), tuple(modules)
    except (ToolError, DoesNotFitError) as error:
        if wanted:
            raise
        logger.warning("%s: no plans for the processor: %s", id, error)
        return (), ()


def measure_losses(
    plans: Sequence[Plan], index: WeightIndex, root: Path, texts: Texts
) -> dict[str, Loss]:
    """By variant, what a plan's decoding loses against its exact entry on the texts.

    The weights and the modules lie under `root`. Plans that round nothing are left out.
    """
    return {plan.variant: _loss(plan, index, root, texts) for plan in plans if _rounds(plan)}


def _rounds(plan: Plan) -> bool:
    exact = plan.entries.get(f"decode{EXACT}")
    return exact is not None and exact.steps != plan.entries["decode"].steps


def _loss(plan: Plan, index: WeightIndex, root: Path, texts: Texts) -> Loss:
    from runtime.native.storage import FolderStorage
    from runtime.native.wasm_executor import WasmExecutor

    storage, pages = FolderStorage(root), -(-plan.context // plan.page_size)
    entries = (f"decode{EXACT}", "decode")
    with asyncio.Runner() as runner:
        executor = WasmExecutor(storage)

        async def load() -> None:
            await executor.prepare(
                plan, "", pages=2 * pages, on_progress=ignore_progress, entries=entries
            )
            await executor.upload(index, "", storage, on_progress=ignore_progress)

        runner.run(load())
        exact, rounded = (
            PlanReader(executor, plan, entry, runner, range(pages * i, pages * (i + 1)))
            for i, entry in enumerate(entries)
        )
        loss = measure(exact, rounded, texts.measured, texts.name)
        runner.run(executor.close())
        return loss


class PlanReader:
    """Reads texts token by token with one entry of a prepared plan, on pages of its own; see
    `loss.Reader`."""

    def __init__(
        self,
        executor: WasmExecutor,
        plan: Plan,
        entry: str,
        runner: asyncio.Runner,
        pages: Sequence[int],
    ) -> None:
        self._executor, self._plan, self._entry, self._runner = executor, plan, entry, runner
        self._table = np.array(pages, np.int32).tobytes()

    def restart(self) -> None:
        """A text begins at position 0, whatever the cache holds from there on."""

    def logits(self, tokens: Sequence[int], pos: int = 0) -> Floats:
        """f32[len(tokens), vocab]"""
        return self._runner.run(self._read(tokens, pos))

    async def _read(self, tokens: Sequence[int], pos: int) -> Floats:
        self._executor.write("page_table", self._table)
        rows = []
        for i, token in enumerate(tokens):
            self._executor.write("token", np.array([token], np.int32).tobytes())
            self._executor.submit((self._entry,), {"pos": pos + i})
            data = await self._executor.read("logits", 4 * self._plan.vocab_size)
            rows.append(np.frombuffer(data, np.float32))
        return np.stack(rows)
