"""The registry and the model manifest: what a hub offers, and what each model needs.

`registry.json` lists models; each scheme of a model names its `manifest.json` by path and sha256;
the manifest names every other file of the model the same way. So one trusted document, the
registry, vouches for all the rest. Paths are relative to the hub's root, with forward slashes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from . import codec
from .errors import FormatError, ModelpressError
from .processor import is_for_processors

REGISTRY_FORMAT = 1
MANIFEST_FORMAT = 1
REMEDY = "build the hub again with `modelpress build`"


@dataclass(frozen=True, slots=True)
class File:
    """A file of the hub: path relative to the hub's root, size in bytes, sha256."""

    path: str
    nbytes: int
    sha256: str

    def __post_init__(self) -> None:
        parts = self.path.split("/")
        if self.path.startswith("/") or "\\" in self.path or {"", ".", ".."} & set(parts):
            raise ValueError(f"path {self.path!r} leaves the hub")
        if len(self.sha256) != 64 or not set(self.sha256) <= set("0123456789abcdef"):
            raise ValueError(f"{self.sha256!r} is not a sha256 in hexadecimal")


@dataclass(frozen=True, slots=True)
class Source:
    """Where the weights came from. `files` maps names to sha256."""

    repo: str
    revision: str
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Licence:
    """`spdx` is an SPDX identifier or LicenseRef-...; `text` the licence file, when shipped."""

    spdx: str
    name: str
    url: str
    text: File | None


@dataclass(frozen=True, slots=True)
class Architecture:
    """Facts shown to people; sizes in elements."""

    family: str
    parameters: int
    layers: int
    hidden_size: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab_size: int
    context: int


@dataclass(frozen=True, slots=True)
class Loss:
    """What the stored weights lose against the same weights in float32, measured on texts.

    `kl_divergence` is the mean of KL(float32 || stored) of the next token, in nats a token;
    `top1_agreement` the share of tokens after which both find the same one most likely.
    """

    kl_divergence: float
    top1_agreement: float
    tokens: int
    """How many were read."""
    text: str
    """"own" for the model's questions and answers, "questions" for those alone, else the name of
    the file they are from."""


@dataclass(frozen=True, slots=True)
class Quantization:
    """The scheme, its real size, and its measured error.

    `relative_error` is ||W - Q(W)|| / ||W|| (Frobenius) over all quantized weights; None when
    built from synthetic weights.
    """

    scheme: str
    bits_per_weight: float
    relative_error: float | None
    base: str = ""
    """The scheme of every matrix that `matrices` does not name; empty for `scheme` itself."""
    matrices: Mapping[str, str] = field(default_factory=dict)
    """Matrices stored by a scheme of their own: its name by the matrix's."""
    loss: Loss | None = None
    """None where nobody measured it."""
    calibration: str = ""
    """The text that rounding was chosen by, if there was one."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One plan of the model and what it asks of a device. Bytes by role as in the plan."""

    name: str
    plan: File
    features: tuple[str, ...]
    limits: Mapping[str, int]
    weights_nbytes: int
    kv_nbytes_per_token: int
    scratch_nbytes: int
    dispatches_per_token: int
    modules: tuple[File, ...] = ()
    """The code of a plan for the processor."""
    loss: Loss | None = field(default=None, metadata=codec.ABSENT_IF_NONE)
    """Of a plan that rounds activations: what that loses against its own exact entries, with the
    same stored weights. None where nothing is rounded or nobody measured it."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Defaults a request may override; field names and ranges are OpenAI's where they exist."""

    temperature: float = 0.7
    top_p: float = 0.95
    top_k: int = 0
    min_p: float = 0.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repetition_penalty: float = 1.0


@dataclass(frozen=True, slots=True)
class Golden:
    """Greedy continuation of `prompt` computed at build time on the reference host."""

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]


Task = Literal["chat", "embedding"]
"""What a model is asked for: answers, or a vector for each text."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """How a model makes a vector of a text."""

    width: int
    """Numbers of a vector."""
    max_tokens: int
    """The longest text, special tokens included."""
    pooling: str
    """"cls", "mean", "max", "mean_sqrt_len" or "last": how the rows of a text become one."""
    normalized: bool
    """Whether vectors have length 1."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """What the model was trained to read before a text, by what the text is ("query")."""
    default_prompt: str | None = None
    """The prompt of a request that names none."""


@dataclass(frozen=True, slots=True)
class GoldenVector:
    """The vector of one text, computed at build time on the reference host."""

    tokens: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A model in one scheme, ready to run. `files` holds tokenizer.json, chat_template.jinja..."""

    format: int
    id: str
    name: str
    description: str
    synthetic: bool
    languages: tuple[str, ...]
    source: Source
    licence: Licence
    architecture: Architecture
    quantization: Quantization
    variants: tuple[Variant, ...]
    weights: File
    weights_nbytes: int
    """Bytes to download: the sum of the chunks."""
    files: Mapping[str, File]
    bos_token_id: int | None
    stop_token_ids: tuple[int, ...]
    system_prompt: str | None
    suggestions: tuple[str, ...]
    sampling: Sampling
    golden: Golden | None
    tools: Mapping[str, str]
    """Versions of the tools that built it."""
    task: Task = "chat"
    embedding: Embedding | None = None
    """Of a model whose task is "embedding"."""
    golden_vector: GoldenVector | None = None

    @classmethod
    def loads(cls, text: str | bytes, where: str = "manifest.json") -> Manifest:
        data = codec.loads(dict, text, where)
        codec.check_format(data, MANIFEST_FORMAT, where, REMEDY)
        manifest: Manifest = codec.decode(cls, data, where)
        return manifest

    def dumps(self) -> str:
        return codec.dumps(self)


@dataclass(frozen=True, slots=True)
class SchemeEntry:
    """One scheme of a model in the registry."""

    scheme: str
    manifest: File
    download_nbytes: int
    """Weights, tokenizer and the largest plan together."""
    loss: Loss | None = None


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model in the registry; `schemes[0]` is the default."""

    id: str
    name: str
    description: str
    family: str
    parameters: int
    context: int
    licence: str
    """SPDX identifier."""
    synthetic: bool
    schemes: tuple[SchemeEntry, ...]
    task: Task = "chat"


@dataclass(frozen=True, slots=True)
class Registry:
    """What a hub offers; `models[0]` is the one a visitor meets first."""

    format: int
    models: tuple[ModelEntry, ...]

    @classmethod
    def loads(cls, text: str | bytes, where: str = "registry.json") -> Registry:
        data = codec.loads(dict, text, where)
        codec.check_format(data, REGISTRY_FORMAT, where, REMEDY)
        registry: Registry = codec.decode(cls, data, where)
        return registry

    def dumps(self) -> str:
        return codec.dumps(self)

    def find(self, id: str) -> ModelEntry:
        """The model named `id`, or an error that lists what there is."""
        for model in self.models:
            if model.id == id:
                return model
        known = ", ".join(m.id for m in self.models) or "none"
        raise ModelpressError(
            "model_not_found",
            f"model {id!r} is not in this hub; it offers: {known}",
            details={"model": id, "models": [m.id for m in self.models]},
        )


def choose_variant(
    variants: tuple[Variant, ...], features: frozenset[str], limits: Mapping[str, int], kind: str
) -> Variant:
    """The best variant a device can run. `variants` are ordered from most to least demanding.

    `kind` is "gpu" or "cpu": a software adapter takes the variant written for processors when
    there is one. Raises ModelpressError "unsupported_device" saying what is lacking.
    """
    fitting = [v for v in variants if not lacking(v, features, limits)]
    if not fitting:
        missing = {v.name: lacking(v, features, limits) for v in variants}
        raise ModelpressError(
            "unsupported_device",
            f"this device cannot run the model: it lacks {missing}. "
            "Try a smaller model, or another browser or device.",
            details={"lacking": missing},
        )
    wanted = [v for v in fitting if (v.name == "software") == (kind == "cpu")]
    return (wanted or fitting)[0]


def named_variant(
    variants: tuple[Variant, ...], name: str, features: frozenset[str], limits: Mapping[str, int]
) -> Variant:
    """The variant a user asked for by name; an error, never another variant, when it cannot be."""
    for variant in variants:
        if variant.name == name:
            missing = lacking(variant, features, limits)
            if missing:
                raise ModelpressError(
                    "unsupported_device",
                    f"variant {name!r} cannot run here: the device lacks {', '.join(missing)}",
                    details={"variant": name, "lacking": missing},
                )
            return variant
    known = ", ".join(v.name for v in variants)
    raise ModelpressError("bad_request", f"variant {name!r} does not exist; there are: {known}")


def lacking(variant: Variant, features: frozenset[str], limits: Mapping[str, int]) -> list[str]:
    """What the device misses for `variant`, in words."""
    if is_for_processors(features) and not is_for_processors(variant.features):
        return ["WebGPU"]
    missing = [f"the feature {f}" for f in variant.features if f not in features]
    for name, value in variant.limits.items():
        if limits.get(name, 0) < value:
            missing.append(f"{name} {value} (it has {limits.get(name, 0)})")
    return missing


def check_manifest(manifest: Manifest, entry: ModelEntry) -> None:
    """The manifest is the one the registry means."""
    if manifest.id != entry.id:
        raise FormatError("manifest.json.id", f"{manifest.id!r} where {entry.id!r} was expected")


def as_json(value: Any) -> Any:
    """Plain JSON data of a document, for templates and listings."""
    return codec.encode(value)
