"""Loading: from a model id to a session, fetching, compiling and uploading at the same time.

registry -> manifest -> variant for this device -> plan, weight index, tokenizer, template; then
the executor compiles while it downloads. Every document is checked before the device is touched,
so a load that fails early leaves the model before it usable.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from .assessment import Assessment, Refusal, Verdict, begin
from .chat import ChatTemplate
from .encoder import Encoder
from .errors import FormatError, ModelpressError
from .executor import DeviceInfo
from .fit import choose_context
from .grammar.matcher import Vocabulary
from .host import Host
from .manifest import (
    Manifest,
    ModelEntry,
    Registry,
    SchemeEntry,
    Task,
    Variant,
    check_manifest,
)
from .options import EngineOptions
from .placement import Placement, place
from .plan import Plan
from .processor import is_for_processors
from .progress import OnProgress, Progress
from .session import DEPTHS, Session, num_pages
from .structured import Structured, written_marks
from .token_text import special_names
from .tokenizer import Tokenizer
from .weights import WeightIndex

SYNTHETIC_SEED = 20_261_122


@dataclass(frozen=True, slots=True)
class Documents:
    """Everything about a model but its weights, fetched and checked."""

    entry: ModelEntry
    scheme: SchemeEntry
    manifest: Manifest
    plan: Plan
    plan_text: str
    index: WeightIndex
    index_text: str
    tokenizer: Tokenizer | None
    template: ChatTemplate | None
    placement: Placement
    """Where it runs, and what computed it wrongly."""
    structured: Structured | None = None
    """What its answers are held to a grammar with; None without a tokenizer."""

    @property
    def variant(self) -> Variant:
        """What is loaded of it."""
        return self.placement.variant

    @property
    def refused(self) -> tuple[Refusal, ...]:
        """Better variants that this device computes wrongly."""
        return self.placement.refused


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model ready to answer."""

    documents: Documents
    device: DeviceInfo
    runner: Session | Encoder
    synthetic: bool
    verdict: Verdict
    kernels: int
    """Kernels compiled for it."""

    @property
    def session(self) -> Session:
        """What answers; "bad_request" for a model of embeddings."""
        if not isinstance(self.runner, Session):
            raise wrong_task(self.documents.entry.id, "embedding")
        return self.runner

    @property
    def encoder(self) -> Encoder:
        """What makes vectors of texts; "bad_request" for a model that chats."""
        if not isinstance(self.runner, Encoder):
            raise wrong_task(self.documents.entry.id, "chat")
        return self.runner


async def read_registry(host: Host) -> Registry:
    """The hub's registry."""
    return Registry.loads(await host.storage.registry())


async def fetch_documents(
    host: Host,
    model: str,
    options: EngineOptions,
    on_progress: OnProgress,
    refused: tuple[Refusal, ...] = (),
    *,
    losses: bool = False,
) -> Documents:
    """Fetch and check a model's documents; "model_not_found", "unsupported_device", ...

    The variant "auto" is the best but for those `refused`, now or by an earlier load, and one for
    the processor after `losses` of the graphics device.
    """
    on_progress(Progress("registry", 0, 1, "files"))
    entry = (await read_registry(host)).find(model)
    scheme = choose_scheme(entry, options.scheme)
    manifest = Manifest.loads(await host.storage.text(scheme.manifest))
    check_manifest(manifest, entry)
    on_progress(Progress("registry", 1, 1, "files"))
    placement = await place(host, manifest, options, refused, losses=losses)
    variant = placement.variant
    on_progress(Progress("plan", 0, 2, "files"))
    files = manifest.files
    names = [n for n in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")]
    wanted = [variant.plan, manifest.weights, *(files[n] for n in names if n in files)]
    texts = await together(*(host.storage.text(file) for file in wanted))
    on_progress(Progress("plan", 2, 2, "files"))
    by_name = dict(zip([n for n in names if n in files], texts[2:], strict=True))
    plan = Plan.loads(texts[0], variant.plan.path)
    tokenizer, template = _tokenizer(host, by_name), _template(by_name)
    return Documents(
        entry=entry,
        scheme=scheme,
        manifest=manifest,
        plan=plan,
        plan_text=texts[0],
        index=WeightIndex.loads(texts[1], manifest.weights.path),
        index_text=texts[1],
        tokenizer=tokenizer,
        template=template,
        placement=placement,
        structured=_structured(host, manifest, plan, tokenizer, template),
    )


async def load_model(
    host: Host, documents: Documents, options: EngineOptions, on_progress: OnProgress
) -> LoadedModel:
    """Compile and upload at once, then trust what passes the self-test.

    Leaves nothing on the device when it fails. Raises UntrustedVariant when the documents' variant
    is not for this device.
    """
    host = await _seated(host, documents.placement)
    device = await host.executor.device()
    plan = documents.plan
    context = choose_context(plan, device, options.context)
    pages = num_pages(plan, context)
    synthetic = documents.manifest.synthetic or options.weights == "synthetic"
    golden = None if synthetic else documents.manifest.golden_vector
    sha256 = documents.variant.plan.sha256
    assessment = await begin(host, device, plan, sha256, options, golden)
    try:
        failed = await _fill(host, documents, assessment, pages, synthetic, on_progress)
        verdict = await assessment.finish(host, failed=failed, pages=pages, on_progress=on_progress)
    except BaseException:
        await host.executor.release()
        raise
    runner = _runner(host, documents, device, verdict, options, context)
    kernels = len({s.kernel for e in assessment.entries for s in plan.entries[e].steps})
    on_progress(Progress("ready", 1, 1, "models"))
    return LoadedModel(documents, device, runner, synthetic, verdict, kernels)


async def _seated(host: Host, placement: Placement) -> Host:
    """The host with the model's device, the others' memory freed."""
    executor = placement.seat.executor
    for other in host.executors:
        if other is not executor:
            await other.release()
    return dataclasses.replace(host, executor=executor, processor=None)


def _runner(
    host: Host,
    documents: Documents,
    device: DeviceInfo,
    verdict: Verdict,
    options: EngineOptions,
    context: int,
) -> Session | Encoder:
    """What the model is asked through."""
    plan, embedding = documents.plan, documents.manifest.embedding
    if embedding is not None:
        return Encoder(plan, host.executor, embedding, context=context)
    depth = options.depth or _depth(device)
    return Session(
        plan,
        host.executor,
        context=context,
        depth=depth,
        choices=verdict.choices,
        clock=host.clock,
    )


def _depth(device: DeviceInfo) -> int | None:
    # Steps of a processor run in the thread that queues them: ahead of what they wait for.
    return 1 if is_for_processors(device.features) else DEPTHS.get(device.kind, 2)


async def _fill(
    host: Host,
    documents: Documents,
    assessment: Assessment,
    pages: int,
    synthetic: bool,
    on_progress: OnProgress,
) -> frozenset[str]:
    """Prepare the plan and have its weights on the device; the spare entries that failed."""
    prepare = _prepare(host, documents, assessment, pages, on_progress)
    if synthetic:
        failed = await prepare
        host.executor.submit(("synthesize",), {"seed": SYNTHETIC_SEED})
        await host.executor.synchronize()
        return failed
    upload = host.executor.upload(
        documents.index, documents.index_text, host.storage, on_progress=on_progress
    )
    prepared: frozenset[str] = (await together(prepare, upload))[0]
    return prepared


async def _prepare(
    host: Host,
    documents: Documents,
    assessment: Assessment,
    pages: int,
    on_progress: OnProgress,
) -> frozenset[str]:
    """Compile; a kernel that does not compile here speaks against the whole variant."""
    try:
        return await host.executor.prepare(
            documents.plan,
            documents.plan_text,
            pages=pages,
            on_progress=on_progress,
            entries=assessment.entries,
            spare=assessment.spare,
        )
    except ModelpressError as error:
        if error.code != "unsupported_device":
            raise
        raise await assessment.give_up(host, error) from error


def choose_scheme(entry: ModelEntry, name: str | None) -> SchemeEntry:
    """The scheme asked for, or the model's default; "bad_request" listing what there is."""
    for scheme in entry.schemes:
        if name is None or scheme.scheme == name:
            return scheme
    known = ", ".join(s.scheme for s in entry.schemes) or "none"
    raise ModelpressError(
        "bad_request",
        f"{entry.id} has no scheme {name!r}; it was built in: {known}",
        details={"param": "scheme", "known": [s.scheme for s in entry.schemes]},
    )


async def together(*work: Coroutine[Any, Any, Any]) -> list[Any]:
    """Await all; when one fails, cancel the others, wait for them, and raise the first error."""
    tasks = [asyncio.ensure_future(item) for item in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _tokenizer(host: Host, texts: dict[str, str]) -> Tokenizer | None:
    if "tokenizer.json" not in texts:
        return None
    return host.tokenizer(texts["tokenizer.json"], texts.get("tokenizer_config.json"))


def _structured(
    host: Host,
    manifest: Manifest,
    plan: Plan,
    tokenizer: Tokenizer | None,
    template: ChatTemplate | None,
) -> Structured | None:
    if tokenizer is None:
        return None
    marks = written_marks(template.source) if template else ()
    stops = frozenset(manifest.stop_token_ids)
    vocabulary = Vocabulary(plan.vocab_size, stops, special_names(tokenizer, marks))
    return Structured(host.grammars, tokenizer, vocabulary)


def _template(texts: dict[str, str]) -> ChatTemplate | None:
    if "chat_template.jinja" not in texts:
        return None
    return ChatTemplate.compile(texts["chat_template.jinja"], texts.get("tokenizer_config.json"))


def wrong_task(model: str, task: Task) -> ModelpressError:
    """`model`, whose task is `task`, was asked for the other one."""
    words = {
        "chat": "is a chat model and makes no embeddings: ask it for a chat completion",
        "embedding": "is a model of embeddings and cannot chat: ask it for embeddings",
    }
    return ModelpressError(
        "bad_request",
        f"{model} {words[task]}, or name another model",
        details={"param": "model", "task": task},
    )


def no_chat(documents: Documents, what: str) -> FormatError:
    """A model that cannot chat, because a file is missing from its manifest."""
    return FormatError(
        f"manifest.json of {documents.entry.id}",
        f"has no {what}, so the model cannot chat; build it again from a checkpoint that has one",
    )
