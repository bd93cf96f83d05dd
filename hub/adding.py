"""`modelpress add`: a repository of the Hub to the TOML file of a model.

Fetches documents and never weights: the config tells the family and the shape, the card the
licence and the languages. What cannot be told is refused with what to say instead.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_configs.config import (
    RANGES,
    EmbeddingSettings,
    Licence,
    ModelConfig,
    Sampling,
    Source,
    read,
)
from model_configs.licences import LICENCES
from model_configs.write import dumps

from .card import Card, read_card
from .checkpoint import read_json
from .embedding_files import DOCUMENTS, MODULES, read_recipe, refuse_vectors
from .errors import OutputError, SourceError, UnsupportedError
from .gguf_remote import read_remote
from .mlc_checkpoint import CHAT_CONFIG
from .mlc_config import read_config as read_mlc_config
from .order import recognise
from .request import DEFAULT_CONTEXT
from .source import download

if TYPE_CHECKING:
    from .families import FamilyConfig
    from .order import Toolchain

SMALL_PARAMETERS = 2_000_000_000
"""Models below are offered in more schemes than the smallest."""
SUGGESTIONS = (
    "Explain how a rainbow forms.",
    "Write a haiku about the sea.",
    "List three uses for baking soda.",
)
UNTOLD = frozenset(
    """_name_or_path architectures dtype torch_dtype transformers_version use_cache auto_map
    initializer_range transformers.js_config""".split()
)
"""Keys of config.json that say nothing of a model's shape."""
WORDS = {"code": "code", "coder": "code", "math": "math", "reasoning": "reasoning"}


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user says: the rest is told by the repository."""

    repo: str
    revision: str = "main"
    id: str | None = None
    file: str | None = None
    licence: str | None = None
    licence_url: str | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    """What the documents of a repository tell: `chat` is whether there is a chat template."""

    config: Mapping[str, Any]
    schemes: tuple[str, ...]
    chat: bool
    generation: Mapping[str, Any]
    folder: Path | None = None
    """Where the documents lie, of a repository that has them."""


def add(wish: Wish, folder: Path, toolchain: Toolchain) -> Path:
    """Write `<id>.toml` into `folder`; SourceError, UnsupportedError or OutputError when the
    repository cannot be read, its family or licence is unknown, or the file is there already."""
    config = describe(wish, read_card(wish.repo, wish.revision), toolchain)
    path = folder / f"{config.id}.toml"
    if path.exists():
        raise OutputError(f"{path} is there already; remove it, or give another --id")
    if not folder.is_dir():
        raise OutputError(f"{folder}: no such folder; create it, or give another --out")
    try:
        path.write_text(dumps(config), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error}); give another --out") from error
    assert read(path) == config, "the file decodes to what was written"
    return path


def describe(wish: Wish, card: Card, toolchain: Toolchain) -> ModelConfig:
    """The config of the model behind `card`."""
    found = _documents(wish, card)
    family = recognise(found.config, toolchain)
    shape = toolchain.families[family].read(found.config)
    name, file = wish.repo.partition("/")[2], _gguf(wish, card)
    embedding = None
    if toolchain.families[family].task == "embedding":
        embedding = _embedding(card, found, shape)
    else:
        refuse_vectors(found.folder, family)
    return ModelConfig(
        id=wish.id or _id(name, file),
        name=name.replace("-", " ").replace("_", " "),
        description=f"Published as {wish.repo}.",
        family=family,
        parameters=shape.parameters,
        context=embedding.max_tokens if embedding else min(DEFAULT_CONTEXT, shape.context),
        languages=card.languages,
        schemes=found.schemes if shape.parameters >= SMALL_PARAMETERS else _more(found.schemes),
        source=Source(repo=wish.repo, revision=card.commit, file=file),
        licence=_licence(wish, card),
        suggestions=() if embedding else SUGGESTIONS,
        architecture=architecture(found.config, toolchain.families[family].read),
        sampling=_sampling(found.generation),
        tasks=("embedding",) if embedding else _tasks(card, found.chat),
        embedding=embedding,
    )


def _embedding(card: Card, found: _Found, shape: FamilyConfig) -> EmbeddingSettings:
    """How texts become vectors, from the files that sentence-transformers writes."""
    recipe = read_recipe(found.folder, shape) if found.folder else None
    if recipe is None:
        raise UnsupportedError(
            f"{card.repo} makes vectors of texts and does not say how: it has no {MODULES}; write "
            "the model's file yourself, with its [embedding]"
        )
    return EmbeddingSettings(
        recipe.pooling, recipe.normalized, recipe.max_tokens, dict(recipe.prompts)
    )


def _documents(wish: Wish, card: Card) -> _Found:
    if (file := _gguf(wish, card)) is not None:
        return _of_gguf(card, file)
    if not {"config.json", CHAT_CONFIG} & set(card.files):
        raise SourceError(
            f"{card.repo} holds neither config.json nor {CHAT_CONFIG} nor a GGUF file; is it the "
            "repository of a model?"
        )
    if "tokenizer.json" not in card.files:
        raise UnsupportedError(
            f"{card.repo} has no tokenizer.json; save the model with its fast tokenizer first"
        )
    if CHAT_CONFIG in card.files:
        return _of_mlc(card)
    names = ["config.json", "generation_config.json", "tokenizer_config.json"]
    names += ["chat_template.jinja", *DOCUMENTS]
    folder = download(card.repo, card.commit, names).folder
    return _Found(
        read_json(folder / "config.json"),
        ("q4",),
        _has_template(folder),
        _generation(folder),
        folder,
    )


def _of_mlc(card: Card) -> _Found:
    names = [CHAT_CONFIG, "tokenizer_config.json", "generation_config.json"]
    folder = download(card.repo, card.commit, names).folder
    chat = read_json(folder / CHAT_CONFIG)
    config = read_mlc_config(folder / CHAT_CONFIG, chat)
    quantization = str(chat.get("quantization"))
    schemes = {"q0f16": ("f16",), "q0f32": ("f16",)}.get(quantization, ("q4",))
    template = isinstance(chat.get("conv_template"), dict) or _has_template(folder)
    return _Found(config, schemes, template, {key: chat.get(key) for key in RANGES})


def _of_gguf(card: Card, file: str) -> _Found:
    header, config = read_remote(card.repo, card.commit, file)
    kinds: Counter[str] = Counter()
    for tensor in header.tensors.values():
        if len(tensor.shape) > 1:
            # Of all experts in one tensor, each has a matrix.
            kinds[tensor.dtype] += math.prod(tensor.shape[:-2])
    most = max(sorted(kinds), key=kinds.__getitem__, default="")
    schemes = {"Q8_0": ("q8",), "F16": ("f16",)}.get(most, ("q4",))
    return _Found(config, schemes, "tokenizer.chat_template" in header.metadata, {})


def _gguf(wish: Wish, card: Card) -> str | None:
    """The GGUF file that is meant; SourceError listing them when that is not clear."""
    files = [name for name in card.files if name.endswith(".gguf")]
    if wish.file is not None and wish.file not in files:
        raise SourceError(f"{card.repo} has no file {wish.file!r}; it has: {', '.join(files)}")
    if wish.file is not None or not files or {"config.json", CHAT_CONFIG} & set(card.files):
        return wish.file
    if len(files) > 1:
        raise SourceError(f"{card.repo} holds GGUF files; name one with --file: {', '.join(files)}")
    return files[0]


def architecture(config: Mapping[str, Any], shape_of: Any) -> dict[str, Any]:
    """The keys of config.json that decide the shape, as TOML can hold them.

    TOML knows no null. Left out, a key has the family's default; where that is another shape, 0
    stands for null.
    """
    wanted = shape_of(config)
    told = {key: value for key, value in config.items() if key not in UNTOLD}
    kept = {key: _without_nulls(value) for key, value in told.items() if value is not None}
    if _has_shape(shape_of, kept, wanted):
        return kept
    for key in (key for key, value in told.items() if value is None):
        if _has_shape(shape_of, zeroed := {**kept, key: 0}, wanted):
            return zeroed
    raise UnsupportedError(
        "config.json: its nulls cannot be written as TOML; write the file yourself"
    )


def _has_shape(shape_of: Any, config: Mapping[str, Any], wanted: Any) -> bool:
    try:
        return bool(shape_of(config) == wanted)
    except UnsupportedError:
        return False


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return value


def _licence(wish: Wish, card: Card) -> Licence:
    if wish.licence is not None:
        url = wish.licence_url or f"https://huggingface.co/{card.repo}"
        return Licence(wish.licence, wish.licence, url, card.gated)
    known = LICENCES.get(card.licence or "")
    if known is None:
        said = "names no licence" if card.licence is None else f"names {card.licence!r}"
        raise SourceError(
            f"{card.repo}: its card {said}, which is not among {', '.join(LICENCES)}; read its "
            "licence and say which with --licence SPDX and --licence-url URL"
        )
    return replace(known, requires_acceptance=known.requires_acceptance or card.gated)


def _id(name: str, file: str | None) -> str:
    stem = file.removesuffix(".gguf") if file else name
    return re.sub(r"[^a-z0-9.]+", "-", stem.lower()).strip("-.")


def _more(schemes: tuple[str, ...]) -> tuple[str, ...]:
    return ("q4", "q8", "f16") if schemes == ("q4",) else schemes


def _tasks(card: Card, chat: bool) -> tuple[str, ...]:
    words = re.split(r"[^a-z]+", card.repo.lower()) + [tag.lower() for tag in card.tags]
    found = dict.fromkeys(WORDS[word] for word in words if word in WORDS)
    return ("chat" if chat else "completion", *found)


def _has_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file():
        return True
    settings = folder / "tokenizer_config.json"
    return settings.is_file() and bool(read_json(settings).get("chat_template"))


def _generation(folder: Path) -> Mapping[str, Any]:
    file = folder / "generation_config.json"
    return read_json(file) if file.is_file() else {}


def _sampling(generation: Mapping[str, Any]) -> Sampling:
    """The card's own defaults, where they are within what the engine takes."""
    found: dict[str, Any] = {}
    for field in fields(Sampling):
        value, (low, high) = generation.get(field.name), RANGES[field.name]
        if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
            found[field.name] = int(value) if field.name == "top_k" else float(value)
    return Sampling(**found)


def as_json(config: ModelConfig, path: Path) -> str:
    """A line for programs."""
    facts = {"id": config.id, "family": config.family, "parameters": config.parameters}
    return json.dumps({**facts, "file": str(path), "licence": config.licence.spdx})
