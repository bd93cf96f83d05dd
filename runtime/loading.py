"""Loading: from a model id to a session, fetching, compiling and uploading at the same time.

registry -> manifest -> variant for this device -> plan, weight index, tokenizer, template; then
the executor compiles while it downloads. Every document is checked before the device is touched,
so a load that fails early leaves the model before it usable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from .chat import ChatTemplate
from .errors import FormatError, ModelpressError
from .executor import DeviceInfo
from .fit import choose_context
from .host import Host
from .manifest import (
    Manifest,
    ModelEntry,
    Registry,
    SchemeEntry,
    Variant,
    check_manifest,
    choose_variant,
    named_variant,
)
from .options import EngineOptions
from .plan import Plan
from .progress import OnProgress, Progress
from .session import DEPTHS, Session, num_pages
from .tokenizer import Tokenizer
from .weights import WeightIndex

SYNTHETIC_SEED = 20_261_122


@dataclass(frozen=True, slots=True)
class Documents:
    """Everything about a model but its weights, fetched and checked."""

    entry: ModelEntry
    scheme: SchemeEntry
    manifest: Manifest
    variant: Variant
    plan: Plan
    plan_text: str
    index: WeightIndex
    index_text: str
    tokenizer: Tokenizer | None
    template: ChatTemplate | None


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model ready to answer."""

    documents: Documents
    device: DeviceInfo
    session: Session
    synthetic: bool


async def read_registry(host: Host) -> Registry:
    """The hub's registry."""
    return Registry.loads(await host.storage.registry())


async def fetch_documents(
    host: Host, model: str, options: EngineOptions, on_progress: OnProgress
) -> Documents:
    """Fetch and check a model's documents; "model_not_found", "unsupported_device", ..."""
    on_progress(Progress("registry", 0, 1, "files"))
    entry = (await read_registry(host)).find(model)
    scheme = choose_scheme(entry, options.scheme)
    manifest = Manifest.loads(await host.storage.text(scheme.manifest))
    check_manifest(manifest, entry)
    on_progress(Progress("registry", 1, 1, "files"))
    variant = _variant(manifest, await host.executor.device(), options.variant)
    on_progress(Progress("plan", 0, 2, "files"))
    files = manifest.files
    names = [n for n in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")]
    wanted = [variant.plan, manifest.weights, *(files[n] for n in names if n in files)]
    texts = await together(*(host.storage.text(file) for file in wanted))
    on_progress(Progress("plan", 2, 2, "files"))
    by_name = dict(zip([n for n in names if n in files], texts[2:], strict=True))
    return Documents(
        entry=entry,
        scheme=scheme,
        manifest=manifest,
        variant=variant,
        plan=Plan.loads(texts[0], variant.plan.path),
        plan_text=texts[0],
        index=WeightIndex.loads(texts[1], manifest.weights.path),
        index_text=texts[1],
        tokenizer=_tokenizer(host, by_name),
        template=_template(by_name),
    )


async def load_model(
    host: Host, documents: Documents, options: EngineOptions, on_progress: OnProgress
) -> LoadedModel:
    """Compile and upload at once; leaves nothing on the device when it fails."""
    device = await host.executor.device()
    plan = documents.plan
    context = choose_context(plan, device, options.context)
    synthetic = documents.manifest.synthetic or options.weights == "synthetic"
    prepare = host.executor.prepare(
        plan, documents.plan_text, pages=num_pages(plan, context), on_progress=on_progress
    )
    try:
        if synthetic:
            await prepare
            host.executor.submit(("synthesize",), {"seed": SYNTHETIC_SEED})
            await host.executor.synchronize()
        else:
            upload = host.executor.upload(
                documents.index, documents.index_text, host.storage, on_progress=on_progress
            )
            await together(prepare, upload)
    except BaseException:
        await host.executor.release()
        raise
    depth = options.depth or DEPTHS.get(device.kind, 2)
    session = Session(plan, host.executor, context=context, depth=depth)
    on_progress(Progress("ready", 1, 1, "models"))
    return LoadedModel(documents, device, session, synthetic)


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


def _variant(manifest: Manifest, device: DeviceInfo, name: str) -> Variant:
    if name == "auto":
        return choose_variant(manifest.variants, device.features, device.limits, device.kind)
    return named_variant(manifest.variants, name, device.features, device.limits)


def _tokenizer(host: Host, texts: dict[str, str]) -> Tokenizer | None:
    if "tokenizer.json" not in texts:
        return None
    return host.tokenizer(texts["tokenizer.json"], texts.get("tokenizer_config.json"))


def _template(texts: dict[str, str]) -> ChatTemplate | None:
    if "chat_template.jinja" not in texts:
        return None
    return ChatTemplate.compile(texts["chat_template.jinja"], texts.get("tokenizer_config.json"))


def no_chat(documents: Documents, what: str) -> FormatError:
    """A model that cannot chat, because a file is missing from its manifest."""
    return FormatError(
        f"manifest.json of {documents.entry.id}",
        f"has no {what}, so the model cannot chat; build it again from a checkpoint that has one",
    )
