"""The engine: models loaded on one host, and answers from them.

Knows how a request becomes a prompt, how tokens become text and when an answer ends; not the
shape of OpenAI's JSON (`chat_completions.py`), nor what a device or a file is. One model is loaded
at a time, and several answers of it may be in the making at once; who asks for another model waits
for those before. An answer that is stopped or abandoned leaves the others nothing to repair. A
device that is lost is prepared again and the answers go on from their tokens; one that is lost
again and again leaves the model to the processor.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass

from .abort import AbortSignal, abortable
from .access import Access
from .answer import Ask, Measure, Piece, pieces
from .assessment import Refusal, UntrustedVariant
from .errors import ModelpressError
from .executor import DeviceInfo
from .host import Host
from .loading import (
    Documents,
    LoadedModel,
    fetch_documents,
    load_model,
    read_registry,
    wrong_task,
)
from .manifest import Registry, Task
from .options import EngineOptions
from .overflow import is_full, plan_within, slide
from .placement import find_seats
from .processor import is_for_processors
from .progress import OnProgress, Progress, ignore_progress
from .sampling import bad_param
from .sequence import Generation, go_on
from .session import Session

MOST_ANSWERS = 8
"""Answers in the making at once; more wait."""
MOST_LOSSES = 2
"""Times that a device may be lost before it has given an answer, until it is left alone."""
GONE = frozenset({"device_lost", "no_webgpu"})
"""Errors of a graphics device that does not come back."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer in the making: who gives it, its measure, and its pieces, to be read once."""

    model: LoadedModel
    measure: Measure
    pieces: AsyncGenerator[Piece]


class Engine:
    """Everything a host can ask for. Close it when done."""

    def __init__(
        self, host: Host, options: EngineOptions, *, on_progress: OnProgress = ignore_progress
    ) -> None:
        self._host = host
        self._options = options
        self._on_progress = on_progress
        self._access = Access(MOST_ANSWERS)
        self._reloading = asyncio.Lock()
        self._loaded: LoadedModel | None = None
        self._lost = False
        self._losses = 0

    async def models(self) -> Registry:
        """What the hub offers."""
        return await read_registry(self._host)

    async def load(
        self,
        model: str,
        *,
        on_progress: OnProgress | None = None,
        signal: AbortSignal | None = None,
    ) -> LoadedModel:
        """Make `model` ready, replacing the one before; nothing to do when it already is."""
        signal = signal or AbortSignal()
        async with self._access.alone(signal):
            return await self._ready(model, signal, on_progress or self._on_progress)

    async def unload(self, model: str) -> None:
        """Free `model`'s memory on the device; "bad_request" when it is not the loaded one."""
        async with self._access.alone(AbortSignal()):
            # Asked in turn: a load that waited longer may have put another model in its place.
            if self._loaded is None or self._loaded.documents.entry.id != model:
                raise bad_param("model", f"{model!r} is not loaded")
            await self._loaded.runner.executor.release()
            self._loaded = None

    async def close(self) -> None:
        """Free everything, the device included."""
        async with self._access.alone(AbortSignal()):
            self._loaded = None
            for executor in self._host.executors:
                await executor.close()

    @property
    def on_progress(self) -> OnProgress:
        """Where requests report what they do."""
        return self._on_progress

    @property
    def loaded(self) -> LoadedModel | None:
        """The model that answers now."""
        return self._loaded

    async def device(self) -> DeviceInfo:
        """The facts of the loaded model's device, or of the one that is taken first."""
        if self._loaded is not None:
            return self._loaded.device
        return (await find_seats(self._host))[0].device

    @asynccontextmanager
    async def answer(self, ask: Ask, signal: AbortSignal | None = None) -> AsyncIterator[Answer]:
        """Hold the model, with others who ask it, while one answer is read.

        Loading and a request that makes no prompt fail on entry; "context_length_exceeded",
        "aborted" and "device_lost" come while reading.
        """
        signal = signal or AbortSignal()
        async with self._shared(ask.model, signal) as model:
            plan = plan_within(ask, model.documents, model.session.context)
            prompt = plan.generation.prompt
            measure = Measure(len(prompt), model.session.num_cached(prompt))
            tokens = self._tokens(model, plan.generation, measure, signal)
            async with aclosing(pieces(tokens, plan.reader, measure)) as text:
                yield Answer(model, measure, text)

    @asynccontextmanager
    async def _shared(self, model: str | None, signal: AbortSignal) -> AsyncIterator[LoadedModel]:
        """The chat model of that name, or the loaded one, ready and for others too."""
        async with self._access.shared(signal):
            current = self._loaded
            if current is not None and model in (None, current.documents.entry.id):
                _check_task(current.documents, "chat")
                # While others are answered, they would notice a loss.
                if not self._lost and (self._access.sharing > 1 or await self._settled(current)):
                    yield current
                    return
        async with self._access.alone(signal):
            loaded = await self._ready(model, signal, self._on_progress, "chat")
            self._access.share()
            yield loaded

    async def _tokens(
        self,
        model: LoadedModel,
        generation: Generation,
        measure: Measure,
        signal: AbortSignal,
    ) -> AsyncGenerator[int]:
        """The tokens of an answer; where the device is lost, it goes on from those it has given."""
        given: list[int] = []
        since = 0
        held: int | None = None

        def on_cached(count: int) -> None:
            if not given:
                measure.cached_tokens = count

        while True:
            rest = go_on(generation, given[since:])
            tokens = model.session.generate(
                rest, signal=signal, on_progress=self._on_progress, on_cached=on_cached
            )
            try:
                async with aclosing(tokens):
                    async for token in tokens:
                        given.append(token)
                        yield token
            except ModelpressError as error:
                # Once more without a token in between would be for ever.
                if error.code != "device_lost" or held == len(given):
                    self._notice(error, model)
                    raise
                held = len(given)
                self._notice(error, model)
                model = await self._recovered(model, signal)
            else:
                self._losses = 0
                context = model.session.context
                if not generation.slides or not is_full(generation, given[since:], context):
                    return
                generation, since = slide(generation, given[since:], context), len(given)

    async def _recovered(self, model: LoadedModel, signal: AbortSignal) -> LoadedModel:
        """What `model` became after its device was lost: made ready by whoever notices first."""
        async with self._reloading:
            if self._loaded is model:
                await abortable(self._load_again(model, self._on_progress), signal)
            assert self._loaded is not None
            return self._loaded

    @asynccontextmanager
    async def session(
        self, model: str, signal: AbortSignal, on_progress: OnProgress
    ) -> AsyncIterator[LoadedModel]:
        """Hold the engine with `model` ready, for work on raw tokens."""
        async with self._access.alone(signal):
            loaded = await self._ready(model, signal, on_progress, "chat")
            with self._noticing(loaded):
                yield loaded

    @asynccontextmanager
    async def encoder(self, model: str | None, signal: AbortSignal) -> AsyncIterator[LoadedModel]:
        """Hold the engine with `model`, or the loaded one, ready to make vectors of texts."""
        async with self._access.alone(signal):
            loaded = await self._ready(model, signal, self._on_progress, "embedding")
            with self._noticing(loaded):
                yield loaded

    async def _ready(
        self,
        model: str | None,
        signal: AbortSignal,
        on_progress: OnProgress,
        task: Task | None = None,
    ) -> LoadedModel:
        """The loaded model, loaded or loaded again when need be.

        A model whose task is another than `task` is refused before anything of it is downloaded.
        """
        current = self._loaded
        if current is not None and model in (None, current.documents.entry.id):
            _check_task(current.documents, task)
            if not self._lost and await self._settled(current):
                return current
            return await abortable(self._load_again(current, on_progress), signal)
        if model is None:
            raise ModelpressError(
                "bad_request", "no model is loaded; name one", details={"param": "model"}
            )
        return await abortable(self._load(model, on_progress, task), signal)

    async def _settled(self, model: LoadedModel) -> bool:
        """Whether what an earlier answer left queued has run and the device is still there.

        A device is lost while nobody looks, too: when the computer sleeps, or the tab is hidden.
        """
        try:
            await model.runner.settle()
            await model.runner.executor.synchronize()
        except ModelpressError:
            return False
        return True

    async def _load(
        self,
        model: str,
        on_progress: OnProgress,
        task: Task | None = None,
        *,
        losses: bool = False,
    ) -> LoadedModel:
        refused: tuple[Refusal, ...] = ()
        while True:
            documents = await fetch_documents(
                self._host, model, self._options, on_progress, refused, losses=losses
            )
            _check_task(documents, task)
            self._loaded = None
            try:
                self._loaded = await load_model(self._host, documents, self._options, on_progress)
            except UntrustedVariant as error:
                if self._options.variant != "auto":
                    raise
                refused = (*documents.refused, error.refusal)
                on_progress(Progress("fallback", len(refused), len(refused), "variants"))
                continue
            self._lost = False
            return self._loaded

    async def _load_again(self, model: LoadedModel, on_progress: OnProgress) -> LoadedModel:
        self._lost = True
        if isinstance(model.runner, Session):
            model.runner.retire()
        if self._losses >= MOST_LOSSES and self._may_move(model):
            return await self._move(model, on_progress)
        # What was found out about the device still holds.
        options = dataclasses.replace(self._options, retune=False)
        try:
            self._loaded = await load_model(self._host, model.documents, options, on_progress)
        except ModelpressError as error:
            if error.code not in GONE or not self._may_move(model):
                raise
            return await self._move(model, on_progress)
        self._lost = False
        return self._loaded

    def _may_move(self, model: LoadedModel) -> bool:
        """Whether the processor may take over what the graphics device does not hold."""
        processors = [is_for_processors(v.features) for v in model.documents.manifest.variants]
        free = self._options.variant == "auto" and self._host.processor is not None
        return free and any(processors) and not is_for_processors(model.device.features)

    async def _move(self, model: LoadedModel, on_progress: OnProgress) -> LoadedModel:
        on_progress(Progress("fallback", 1, 1, "devices"))
        return await self._load(model.documents.entry.id, on_progress, losses=True)

    @contextmanager
    def _noticing(self, model: LoadedModel) -> Iterator[None]:
        """Remember a lost device, so that the next request prepares it again."""
        try:
            yield
        except ModelpressError as error:
            self._notice(error, model)
            raise
        else:
            self._losses = 0

    def _notice(self, error: ModelpressError, model: LoadedModel) -> None:
        """Count a loss once, whoever it is told to."""
        if error.code == "device_lost" and self._loaded is model and not self._lost:
            self._lost, self._losses = True, self._losses + 1


def _check_task(documents: Documents, task: Task | None) -> None:
    if task is not None and documents.manifest.task != task:
        raise wrong_task(documents.entry.id, documents.manifest.task)
