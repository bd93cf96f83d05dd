"""A hub folder on disk with real documents and models that no device can run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from runtime.manifest import (
    MANIFEST_FORMAT,
    REGISTRY_FORMAT,
    Architecture,
    Embedding,
    File,
    Licence,
    Manifest,
    ModelEntry,
    Quantization,
    Registry,
    Sampling,
    SchemeEntry,
    Source,
    Variant,
)
from runtime.processor import SIMD, WEBASSEMBLY
from runtime.weights import WEIGHTS_FORMAT, Chunk, Tensor, WeightIndex, blob_path

LICENCE_TEXT = "Apache License\n<b>Version 2.0</b>, January 2004\n"


@dataclass(frozen=True, slots=True)
class FakeModel:
    """What a test chooses of a model; everything else is made up."""

    id: str = "press-guide"
    name: str = "Press guide"
    description: str = "A tiny model that knows this project and says so when it knows no more."
    parameters: int = 14_200_000
    context: int = 2048
    weights_nbytes: int = 8_900_000
    features: tuple[str, ...] = ()
    licence: str = "Apache-2.0"
    suggestions: tuple[str, ...] = (
        "What is modelpress?",
        "How do I put a model on my own web host?",
        "Write a short story about a printing press.",
        "What is 17 times 23?",
    )
    synthetic: bool = False
    embedding: Embedding | None = None
    chunk: bytes = b"weights of a model that never runs\n\0"
    for_processors: bool = False
    """Whether there is a variant for the processor."""


LARGE = FakeModel(
    id="llama-3.2-1b-instruct",
    name="Llama 3.2 1B Instruct",
    description="A small instruction-following model by Meta for eight languages.",
    parameters=1_235_814_400,
    context=8192,
    weights_nbytes=695_000_000,
    features=("shader-f16",),
    licence="LicenseRef-Llama-3.2",
    suggestions=("Explain tides to a child.", "Plan three days in Lisbon."),
    chunk=b"weights of another model\n",
)
SMALL = FakeModel(
    id="smollm2-135m-instruct",
    name="SmolLM2 135M Instruct",
    description="One of the smallest models that hold a conversation.",
    parameters=134_515_008,
    weights_nbytes=76_000_000,
    suggestions=("Tell me a joke.",),
    chunk=b"weights of a third\n",
    for_processors=True,
)
SHOWCASE = (FakeModel(), SMALL, LARGE)
VECTORS = FakeModel(
    id="all-minilm-l6-v2",
    name="MiniLM L6",
    description="Makes vectors of sentences.",
    context=256,
    suggestions=(),
    embedding=Embedding(384, 256, "mean", True, {"query": "query: "}),
    chunk=b"weights of an encoder\n",
)


def write_hub(root: Path, models: tuple[FakeModel, ...] = (FakeModel(),)) -> Path:
    """Write a complete hub offering `models` under `root`."""
    entries = tuple(_write_model(root, model) for model in models)
    write_registry(root, entries)
    return root


def write_registry(root: Path, entries: tuple[ModelEntry, ...]) -> None:
    """(Re)write registry.json."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "registry.json").write_text(Registry(REGISTRY_FORMAT, entries).dumps())


def read_registry(root: Path) -> Registry:
    """The registry of a hub written by `write_hub`."""
    return Registry.loads((root / "registry.json").read_text())


def _write_model(root: Path, model: FakeModel) -> ModelEntry:
    folder = f"models/{model.id}/q4"
    manifest = _manifest(root, model, folder)
    file = _put(root, f"{folder}/manifest.json", manifest.dumps().encode())
    return ModelEntry(
        id=model.id,
        name=model.name,
        description=model.description,
        family="llama",
        parameters=model.parameters,
        context=model.context,
        licence=model.licence,
        synthetic=model.synthetic,
        task="embedding" if model.embedding else "chat",
        schemes=(SchemeEntry("q4", file, model.weights_nbytes + 400_000),),
    )


def _manifest(root: Path, model: FakeModel, folder: str) -> Manifest:
    base = _variant(root, model, folder, "base", model.features)
    half = _variant(root, model, folder, "f16", (*model.features, "shader-f16"))
    software = _variant(root, model, folder, "software", model.features)
    variants = [half, base, software]
    if model.for_processors:
        variants.append(_variant(root, model, folder, "cpu", (WEBASSEMBLY, SIMD)))
    files = {
        "chat_template.jinja": b"{{ messages }}",
        "tokenizer.json": b'{"version":"1.0"}',
    }
    text = _put(root, f"{folder}/LICENSE", LICENCE_TEXT.encode())
    return Manifest(
        format=MANIFEST_FORMAT,
        id=model.id,
        name=model.name,
        description=model.description,
        synthetic=model.synthetic,
        languages=("en",),
        source=Source("somebody/" + model.id, "0123456789abcdef", {}),
        licence=Licence(model.licence, model.licence, "https://example.org/licence", text),
        architecture=Architecture("llama", model.parameters, 6, 384, 6, 2, 64, 6000, model.context),
        quantization=Quantization("q4", 4.5, 0.0712),
        variants=tuple(variants),
        weights=_put(root, f"{folder}/weights.json", _index(root, model).dumps().encode()),
        weights_nbytes=model.weights_nbytes,
        files={name: _put(root, f"{folder}/{name}", data) for name, data in files.items()},
        bos_token_id=1,
        stop_token_ids=(2,),
        system_prompt=None,
        suggestions=model.suggestions,
        sampling=Sampling(),
        golden=None,
        tools={"modelpress": "0.1.0"},
        task="embedding" if model.embedding else "chat",
        embedding=model.embedding,
    )


def _variant(
    root: Path, model: FakeModel, folder: str, name: str, features: tuple[str, ...]
) -> Variant:
    plan = f'{{"model":"{model.id.replace(chr(34), "")}","variant":"{name}"}}'.encode()
    return Variant(
        name=name,
        plan=_put(root, f"{folder}/plan.{name}.json", plan),
        features=tuple(dict.fromkeys(features)),
        limits={"maxStorageBufferBindingSize": 134_217_728},
        weights_nbytes=model.weights_nbytes,
        kv_nbytes_per_token=3072,
        scratch_nbytes=4_000_000,
        dispatches_per_token=74,
    )


def _index(root: Path, model: FakeModel) -> WeightIndex:
    data = model.chunk + bytes(-len(model.chunk) % 4)
    digest = hashlib.sha256(data).hexdigest()
    _put(root, blob_path(digest), data)
    tensor = Tensor("weight", "u32", (len(data) // 4,), 0, len(data))
    return WeightIndex(WEIGHTS_FORMAT, len(data), (tensor,), (Chunk(digest, 0, len(data)),))


def _put(root: Path, path: str, data: bytes) -> File:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    return File(path, len(data), hashlib.sha256(data).hexdigest())


def rename_first(root: Path, id: str) -> None:
    """Give the registry's first model another id, leaving everything else as it is."""
    registry = read_registry(root)
    first, *rest = registry.models
    write_registry(root, (replace(first, id=id), *rest))
