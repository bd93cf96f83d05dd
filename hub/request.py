"""From what a user asks to build, to an Order with its material in hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_configs.config import Licence, ModelConfig, Source, all_configs
from runtime.manifest import Embedding
from runtime.progress import OnProgress

from .embedding_files import complete_recipe, read_recipe, refuse_vectors
from .errors import SourceError, UnsupportedError
from .material import Material, from_folder, from_shapes
from .mixing import MIXED
from .order import Order, Toolchain, recognise
from .schemes import SCHEMES, Schemes
from .source import fetch

if TYPE_CHECKING:
    from .families import FamilyConfig

DEFAULT_CONTEXT = 4096
"""Tokens a sequence may hold when nobody says; the checkpoint's own limit when that is less."""
UNKNOWN_LICENCE = Licence("NOASSERTION", "Not stated: see where the model was published", "", False)


@dataclass(frozen=True, slots=True)
class Request:
    """One model as asked for on the command line; at most one of the three origins is set.

    `model` is None for a checkpoint or repository that no config describes.
    """

    id: str
    model: ModelConfig | None
    checkpoint: Path | None = None
    repo: str | None = None
    file: str | None = None
    """The GGUF file of `repo`."""
    synthetic: bool = False
    context: int | None = None
    calibration: Path | None = None
    measure: bool = False
    processor: bool | None = None


def find_scheme(name: str) -> Schemes:
    """The scheme users know as `name`; UnsupportedError lists them."""
    known: dict[str, Schemes] = {**SCHEMES, **MIXED}
    if name not in known:
        raise UnsupportedError(f"scheme {name!r} is unknown; there are: {', '.join(known)}")
    return known[name]


def default_scheme(request: Request) -> str:
    """The first scheme the model offers, q4 when no config says."""
    return request.model.schemes[0] if request.model else "q4"


def gather(request: Request, on_progress: OnProgress) -> Material:
    """Open, or first download, what the request names; SourceError, CheckpointError."""
    if request.checkpoint is not None:
        return from_folder(request.checkpoint, request.checkpoint.resolve().name, None, on_progress)
    if request.repo is not None:
        repo, _, revision = request.repo.partition("@")
        return _download(repo, revision or "main", request.file, on_progress)
    if request.model is None:
        known = ", ".join(config.id for config in all_configs())
        raise SourceError(
            f"no config describes {request.id!r}; give --checkpoint or --repo, or one of {known}"
        )
    if request.synthetic:
        return from_shapes(request.model)
    source = request.model.source
    if source.folder is not None:
        assert source.path is not None
        return from_folder(source.folder, f"model_configs/{source.path}", None, on_progress)
    assert source.repo is not None and source.revision is not None
    return _download(source.repo, source.revision, source.file, on_progress)


def _download(repo: str, revision: str, file: str | None, on_progress: OnProgress) -> Material:
    fetched = fetch(repo, revision, on_progress, file=file)
    return from_folder(fetched.folder, repo, fetched.commit, on_progress, file=file)


def order(request: Request, material: Material, scheme: Schemes, toolchain: Toolchain) -> Order:
    """The order for `material` in `scheme`; UnsupportedError when no family reads its shape."""
    family = recognise(material.config, toolchain)
    shape = toolchain.families[family].read(material.config)
    model = request.model or describe(request.id, material, family, shape.parameters)
    if request.model is not None:
        _check_same_shape(request.model, material.config, toolchain)
    wanted = model.context if request.model else DEFAULT_CONTEXT
    context = request.context or min(wanted, shape.context)
    if toolchain.families[family].task == "embedding":
        embedding = _embedding(request, material, shape)
        context = embedding.max_tokens
    else:
        embedding = None
        refuse_vectors(material.folder, family)
    return Order(
        replace(model, context=context),
        material,
        scheme,
        context,
        embedding,
        calibration=request.calibration,
        measure=request.measure,
        processor=request.processor,
    )


def _embedding(request: Request, material: Material, shape: FamilyConfig) -> Embedding:
    """How the model makes vectors, of texts no longer than `request` asks for."""
    found = read_recipe(material.folder, shape) if material.folder else None
    recipe = complete_recipe(found, request.model.embedding if request.model else None, shape)
    if request.context is None:
        return recipe
    if not 0 < request.context <= shape.context:
        raise UnsupportedError(
            f"texts of {request.context} tokens are not possible: this model reads 1 to "
            f"{shape.context}; choose another --context"
        )
    return replace(recipe, max_tokens=request.context)


def _check_same_shape(model: ModelConfig, config: Mapping[str, Any], toolchain: Toolchain) -> None:
    """A known id promises a known model: another shape may not be published under its name."""
    family = toolchain.families.get(model.family)
    if family is None:
        known = ", ".join(toolchain.families)
        raise UnsupportedError(f"family {model.family!r} is unknown; there are: {known}")
    if family.read(model.architecture) != family.read(config):
        raise UnsupportedError(
            f"this checkpoint does not have the shape of {model.id}; build it under another id, "
            "or correct [architecture] in the model's config"
        )


def describe(id: str, material: Material, family: str, parameters: int) -> ModelConfig:
    """A config for a model nobody wrote one for."""
    return ModelConfig(
        id=id,
        name=id,
        description=f"Built from {material.source.repo}.",
        family=family,
        parameters=parameters,
        context=DEFAULT_CONTEXT,
        languages=(),
        schemes=(*SCHEMES, *MIXED),
        source=Source(repo=material.source.repo, revision=material.source.revision),
        licence=UNKNOWN_LICENCE,
        suggestions=(),
        architecture=material.config,
    )
