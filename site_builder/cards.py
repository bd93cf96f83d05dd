"""What a page says about a model: numbers from its manifests, in words, computed once.

`ModelCard` feeds the templates; `facts` is the same as plain data for the page scripts, which
compare it with the visitor's device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runtime.manifest import Loss, Variant
from runtime.processor import is_for_processors

from .hub import Model, Pressed

NOT_MEASURED = "not measured"
TEXTS = {"own": "the model's own answers", "questions": "the questions it is suggested"}
"""What a loss may have been measured on, beside files."""
_FEATURES = {
    "shader-f16": "16-bit floats in shaders",
    "subgroups": "subgroups",
    "subgroup-size-control": "subgroup size control",
    "chromium-experimental-subgroup-matrix": "subgroup matrices",
    "subgroup-matrix-f16-f32-16x16x16": "16 by 16 squares of 16-bit floats",
    "subgroup-size-32": "subgroups of 32",
    "wasm": "the processor instead",
    "wasm-simd128": "SIMD in WebAssembly",
    "wasm-relaxed-simd": "relaxed SIMD",
}


@dataclass(frozen=True, slots=True)
class SchemeCard:
    """One scheme in words. Sizes are decimal, as browsers and disks count them."""

    name: str
    download: str
    memory: str
    bits_per_weight: str
    error: str
    divergence: str
    """KL divergence from 32-bit floats, in nats a token."""
    agreement: str
    measured_on: str
    """The rest of a sentence about what these two were measured on."""
    variants: tuple[Variant, ...]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model in words; `page` is its page's path from the site's root."""

    id: str
    name: str
    description: str
    page: str
    family: str
    parameters: str
    context: str
    languages: str
    licence_spdx: str
    licence_name: str
    licence_url: str
    licence_text: str | None
    source_repo: str
    source_url: str | None
    source_revision: str
    synthetic: bool
    task: str
    features: str
    schemes: tuple[SchemeCard, ...]
    suggestions: tuple[str, ...]
    architecture: tuple[tuple[str, str], ...]
    facts: dict[str, Any]

    @property
    def default(self) -> SchemeCard:
        return self.schemes[0]


def model_card(model: Model) -> ModelCard:
    """Everything the pages say about `model`."""
    manifest, entry = model.default.manifest, model.entry
    return ModelCard(
        id=entry.id,
        name=entry.name,
        description=entry.description,
        page=f"m/{entry.id}/index.html",
        family=entry.family,
        parameters=count(entry.parameters),
        context=f"{entry.context:,} tokens",
        languages=", ".join(manifest.languages) or "not stated",
        licence_spdx=manifest.licence.spdx,
        licence_name=manifest.licence.name,
        licence_url=web_address(manifest.licence.url) or "",
        licence_text=model.default.licence_text,
        source_repo=manifest.source.repo,
        source_url=_source_url(manifest.source.repo),
        source_revision=manifest.source.revision,
        synthetic=entry.synthetic,
        task=entry.task,
        features=_features(manifest.variants),
        schemes=tuple(_scheme_card(pressed) for pressed in model.schemes),
        suggestions=manifest.suggestions,
        architecture=_architecture(model.default),
        facts=_facts(model),
    )


def nbytes(number: int) -> str:
    """A size in bytes in words: 999 B, 12.3 MB, 4.50 GB."""
    if number < 1000:
        return f"{number} B"
    value = float(number)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.5 or unit == "GB":
            break
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f} {unit}"


def count(number: int) -> str:
    """A number of parameters in words: 14.2 M, 8.03 B."""
    for unit, size in (("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if number >= size:
            value = number / size
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"
    return str(number)


def memory_nbytes(variant: Variant, context: int) -> int:
    """Device memory of a variant with `context` tokens in its cache, in bytes."""
    return variant.weights_nbytes + variant.scratch_nbytes + context * variant.kv_nbytes_per_token


def web_address(url: str) -> str | None:
    """`url` when it is an ordinary web address, else None: it may stand in a link."""
    return url if url.startswith(("https://", "http://")) else None


def _scheme_card(pressed: Pressed) -> SchemeCard:
    manifest = pressed.manifest
    error, loss = manifest.quantization.relative_error, manifest.quantization.loss
    context = manifest.architecture.context
    return SchemeCard(
        name=pressed.scheme.scheme,
        download=nbytes(pressed.scheme.download_nbytes),
        memory=nbytes(max(memory_nbytes(v, context) for v in manifest.variants)),
        bits_per_weight=f"{manifest.quantization.bits_per_weight:.2f}",
        error=NOT_MEASURED if error is None else f"{100 * error:.2f} %",
        divergence=NOT_MEASURED if loss is None else _divergence(loss),
        agreement=NOT_MEASURED if loss is None else f"{100 * loss.top1_agreement:.1f} %",
        measured_on="" if loss is None else _measured_on(loss),
        variants=manifest.variants,
    )


def _measured_on(loss: Loss) -> str:
    """The rest of a sentence about where the numbers are from."""
    text = TEXTS.get(loss.text, loss.text)
    return f", over {loss.tokens:,} tokens of {text}"


def _divergence(loss: Loss) -> str:
    """Nats a token; what is smaller than anybody could notice is not written out."""
    return f"{loss.kl_divergence:.2g}" if loss.kl_divergence >= 1e-4 else "under 0.0001"


def _features(variants: tuple[Variant, ...]) -> str:
    """What the least demanding variant on WebGPU needs beyond that."""
    graphics = [v.features for v in variants if not is_for_processors(v.features)]
    needed = min(graphics, key=len, default=())
    words = ", ".join(feature_name(f) for f in needed) or "WebGPU, nothing optional"
    return f"{words}; or the processor" if len(graphics) < len(variants) else words


def feature_name(feature: str) -> str:
    """A WebGPU feature in words where it has them."""
    return _FEATURES.get(feature, feature)


def _source_url(repo: str) -> str | None:
    parts = repo.split("/")
    plain = all(part.replace("-", "").replace("_", "").replace(".", "").isalnum() for part in parts)
    return f"https://huggingface.co/{repo}" if len(parts) == 2 and plain else None


def _architecture(pressed: Pressed) -> tuple[tuple[str, str], ...]:
    shape, embedding = pressed.manifest.architecture, pressed.manifest.embedding
    vector = (("Vector", f"{embedding.width:,} numbers"),) if embedding else ()
    return (
        ("Family", shape.family),
        ("Parameters", f"{shape.parameters:,}"),
        ("Layers", str(shape.layers)),
        ("Hidden size", f"{shape.hidden_size:,}"),
        ("Heads", f"{shape.heads}, of which {shape.kv_heads} with keys and values"),
        ("Vocabulary", f"{shape.vocab_size:,} tokens"),
        ("Context", f"{shape.context:,} tokens"),
        *vector,
    )


def _facts(model: Model) -> dict[str, Any]:
    """Plain data for the page scripts; names as in the manifest."""
    manifest = model.default.manifest
    return {
        "id": model.entry.id,
        "name": model.entry.name,
        "task": model.entry.task,
        "prompts": list(manifest.embedding.prompts) if manifest.embedding else [],
        "description": model.entry.description,
        "context": model.entry.context,
        "licence": model.entry.licence,
        "synthetic": model.entry.synthetic,
        "system_prompt": manifest.system_prompt,
        "suggestions": list(manifest.suggestions),
        "sampling": {
            "temperature": manifest.sampling.temperature,
            "top_p": manifest.sampling.top_p,
        },
        "scheme": model.default.scheme.scheme,
        "manifest_sha256": model.default.scheme.manifest.sha256,
        "download_nbytes": model.default.scheme.download_nbytes,
        "variants": [
            {
                "name": v.name,
                "features": list(v.features),
                "limits": dict(v.limits),
                "memory_nbytes": memory_nbytes(v, manifest.architecture.context),
            }
            for v in manifest.variants
        ],
    }
