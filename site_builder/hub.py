"""A hub folder, read and checked: what the site is generated from.

Knows the documents of `runtime.manifest` and `runtime.weights` and where they lie; knows nothing
of pages. Everything a page or the engine will ask for is proved to exist before a line is written.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import ModelpressError
from runtime.manifest import File, Manifest, ModelEntry, Registry, SchemeEntry, check_manifest
from runtime.weights import WeightIndex

from .errors import HubFolderError

REGISTRY = "registry.json"
REMEDY = "build it again with `modelpress build`"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Pressed:
    """One scheme of a model: its manifest and the licence text when the hub ships one."""

    scheme: SchemeEntry
    manifest: Manifest
    licence_text: str | None


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the registry with every scheme it is pressed in; `schemes[0]` is the default."""

    entry: ModelEntry
    schemes: tuple[Pressed, ...]

    @property
    def default(self) -> Pressed:
        return self.schemes[0]


@dataclass(frozen=True, slots=True)
class Hub:
    """A checked hub: its folder, its models, and every file the site must carry, by path."""

    root: Path
    models: tuple[Model, ...]
    documents: tuple[File, ...]
    """registry.json, manifests, plans, indexes, tokenizers, licences: digests checked."""
    blobs: tuple[File, ...]
    """Weight chunks and modules: sizes checked, digests only by `check_blobs`."""

    @property
    def nbytes(self) -> int:
        return sum(file.nbytes for file in (*self.documents, *self.blobs))


def read_hub(root: Path) -> Hub:
    """Read and check the hub in `root`; raises HubFolderError saying what is wrong where."""
    text = _read_registry(root)
    try:
        registry = Registry.loads(text, REGISTRY)
    except ModelpressError as error:
        raise HubFolderError(f"{root}: {error}") from error
    _check_registry(root, registry)
    own = File(REGISTRY, len(text), hashlib.sha256(text).hexdigest())
    documents, blobs = {own.path: own}, dict[str, File]()
    models = []
    for entry in registry.models:
        schemes = tuple(_read_scheme(root, entry, s, documents, blobs) for s in entry.schemes)
        models.append(Model(entry, schemes))
    return Hub(root, tuple(models), _sorted(documents), _sorted(blobs))


def check_blobs(hub: Hub, *, on_file: Callable[[File], None] = lambda file: None) -> None:
    """Hash every weight chunk; raises HubFolderError naming the first damaged one."""
    for file in hub.blobs:
        path = hub.root / file.path
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != file.sha256:
            raise HubFolderError(f"{path}: damaged, its sha256 is {found}; {REMEDY}")
        on_file(file)


def _read_registry(root: Path) -> bytes:
    try:
        return (root / REGISTRY).read_bytes()
    except FileNotFoundError as error:
        raise HubFolderError(
            f"{root} holds no {REGISTRY}; press a model first with `modelpress build press-guide`,"
            " or name the folder with --hub"
        ) from error
    except OSError as error:
        raise HubFolderError(f"{root / REGISTRY}: cannot be read ({error.strerror})") from error


def _check_registry(root: Path, registry: Registry) -> None:
    where = root / REGISTRY
    if not registry.models:
        raise HubFolderError(f"{where} lists no model; press one first with `modelpress build`")
    seen = set()
    for entry in registry.models:
        if not _ID.fullmatch(entry.id) or entry.id.lower() == "index.html":
            raise HubFolderError(
                f"{where}: {entry.id!r} cannot be a folder name; build it under an ID of letters,"
                " digits, dots, dashes and underscores"
            )
        if entry.id.lower() in seen:
            raise HubFolderError(f"{where}: model {entry.id!r} is listed twice; {REMEDY}")
        if not entry.schemes:
            raise HubFolderError(f"{where}: model {entry.id!r} has no scheme; {REMEDY}")
        seen.add(entry.id.lower())


def _read_scheme(
    root: Path,
    entry: ModelEntry,
    scheme: SchemeEntry,
    documents: dict[str, File],
    blobs: dict[str, File],
) -> Pressed:
    text = _read_document(root, scheme.manifest, documents)
    try:
        manifest = Manifest.loads(text, scheme.manifest.path)
        check_manifest(manifest, entry)
        index = WeightIndex.loads(
            _read_document(root, manifest.weights, documents), manifest.weights.path
        )
    except ModelpressError as error:
        raise HubFolderError(f"{root}: {error}") from error
    if not manifest.variants:
        raise HubFolderError(f"{scheme.manifest.path}: no plan in it; {REMEDY}")
    for file in _other_files(manifest):
        _read_document(root, file, documents)
    chunks = [File(chunk.path, chunk.nbytes, chunk.sha256) for chunk in index.chunks]
    for file in (*chunks, *(file for v in manifest.variants for file in v.modules)):
        _check_size(root, file)
        blobs[file.path] = file
    licence = manifest.licence.text
    text_of = _read_document(root, licence, documents) if licence else None
    return Pressed(scheme, manifest, text_of.decode(errors="replace") if text_of else None)


def _other_files(manifest: Manifest) -> Iterator[File]:
    yield from (variant.plan for variant in manifest.variants)
    yield from manifest.files.values()


def _read_document(root: Path, file: File, documents: dict[str, File]) -> bytes:
    _check_size(root, file)
    data = (root / file.path).read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != file.sha256:
        raise HubFolderError(f"{root / file.path}: damaged, its sha256 is {found}; {REMEDY}")
    documents[file.path] = file
    return data


def _check_size(root: Path, file: File) -> None:
    path = root / file.path
    try:
        nbytes = path.stat().st_size
    except OSError as error:
        raise HubFolderError(f"{path}: missing; {REMEDY}") from error
    if nbytes != file.nbytes:
        raise HubFolderError(f"{path}: {nbytes} bytes, {file.nbytes} expected; {REMEDY}")


def _sorted(files: dict[str, File]) -> tuple[File, ...]:
    return tuple(files[path] for path in sorted(files))
