"""The Executor over the TypeScript object: plans go as text, weights never come here."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Collection, Mapping, Sequence
from typing import Any

from js import AbortController
from pyodide.ffi import create_proxy, to_js

from ..executor import DeviceInfo, require_timestamps
from ..plan import Plan
from ..progress import OnProgress, Progress
from ..storage import Storage
from ..weights import WeightIndex
from .errors import Answer, Translator
from .storage import BrowserStorage


class BrowserExecutor:
    """`host` is a HostExecutor of host.ts; calls carry texts, numbers and bytes, one call a deed.

    A step's result does not come by a promise of its own, which would cost more than the call: it
    is pushed, and whoever awaits a result that is there already does not wait a turn of the loop.
    """

    def __init__(self, host: Any, translator: Translator) -> None:
        self._host = host
        self._translator = translator
        self._answers: dict[int, Answer] = {}
        self._steps = 0
        # Lives as long as this object does, which is as long as the worker.
        host.onAnswer(create_proxy(self._deliver))

    def _deliver(self, step: int, word: int, error: str) -> None:
        answer = self._answers.pop(step)
        answer.arrive(word, self._translator.record(error) if error else None)

    async def device(self) -> DeviceInfo:
        with self._translator:
            facts = json.loads(await self._host.device())
        return DeviceInfo(**{**facts, "features": frozenset(facts["features"])})

    async def prepare(
        self,
        plan: Plan,
        text: str,
        *,
        pages: int,
        on_progress: OnProgress,
        entries: Sequence[str] | None = None,
        spare: Collection[str] = (),
    ) -> frozenset[str]:
        names = " ".join(plan.entries if entries is None else entries)
        report = create_proxy(_reporter(on_progress))
        controller = AbortController.new()
        try:
            with self._translator:
                failed = await self._host.prepare(
                    text, pages, names, " ".join(spare), controller.signal, report
                )
                return frozenset(failed.split())
        finally:
            controller.abort()
            report.destroy()

    async def upload(
        self, index: WeightIndex, text: str, storage: Storage, *, on_progress: OnProgress
    ) -> None:
        # Bytes go from the TypeScript storage straight to the device.
        assert isinstance(storage, BrowserStorage)
        report = create_proxy(_reporter(on_progress))
        controller = AbortController.new()
        try:
            with self._translator:
                await self._host.upload(text, controller.signal, report)
        finally:
            controller.abort()
            report.destroy()

    def write(self, buffer: str, data: bytes, *, offset: int = 0) -> None:
        with self._translator:
            self._host.write(buffer, to_js(data), offset)

    def submit(self, entries: Sequence[str], symbols: Mapping[str, int]) -> None:
        with self._translator:
            self._host.submit(" ".join(entries), *_flat(symbols))

    def step(self, entries: Sequence[str], symbols: Mapping[str, int], read: str) -> Awaitable[int]:
        self._steps += 1
        with self._translator:
            self._host.step(self._steps, " ".join(entries), read, *_flat(symbols))
        answer = self._answers[self._steps] = Answer()
        return answer

    async def profile(
        self, entries: Sequence[str], symbols: Mapping[str, int]
    ) -> list[tuple[str, float]]:
        require_timestamps(await self.device())
        with self._translator:
            text = await self._host.profile(" ".join(entries), *_flat(symbols))
        return [(kernel, microseconds) for kernel, microseconds in json.loads(text)]

    async def read(self, buffer: str, nbytes: int, *, offset: int = 0) -> bytes:
        with self._translator:
            array = await self._host.read(buffer, nbytes, offset)
        data: bytes = array.to_bytes()
        return data

    async def synchronize(self) -> None:
        with self._translator:
            await self._host.synchronize()

    async def release(self) -> None:
        with self._translator:
            await self._host.release()

    async def close(self) -> None:
        with self._translator:
            await self._host.close()


def _flat(symbols: Mapping[str, int]) -> list[str | int]:
    """Names and values in turn: plain arguments cross to JavaScript faster than anything else."""
    flat: list[str | int] = []
    for pair in symbols.items():
        flat += pair
    return flat


def _reporter(on_progress: OnProgress) -> Any:
    def report(stage: str, done: int, total: int, unit: str) -> None:
        on_progress(Progress(stage, done, total, unit))

    return report
