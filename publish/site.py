"""A built site on disk, read into a value: every file with its digest, and nothing missing.

What the registry promises is followed down to the last chunk, so that a site which lacks a part is
refused here and not found out by a visitor.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import FormatError
from runtime.manifest import File, Manifest, Registry
from runtime.progress import OnProgress, Progress
from runtime.weights import WeightIndex

from .content_types import is_blob
from .documents import LOCK_PATH, REGISTRY_PATH, RESERVED, Content
from .errors import SiteError

MAX_FILE_NBYTES = 128 * 1024 * 1024
"""Weights come in chunks of 16 MiB; a larger file than this is a mistake on every free host."""
LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})


@dataclass(frozen=True, slots=True)
class Site:
    """A folder and the content of each path in it, relative and with forward slashes."""

    root: Path
    files: Mapping[str, Content]


def read_site(root: Path, on_progress: OnProgress) -> Site:
    """Hash every file under `root`. Raises SiteError when the folder is no complete site."""
    paths = sorted(_walk(root))
    _check_names(root, paths)
    total = sum(_size(root / path) for path in paths)
    files: dict[str, Content] = {}
    done = 0
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for path, content in zip(paths, pool.map(lambda p: _hash(root / p), paths), strict=True):
            files[path] = content
            done += content.nbytes
            on_progress(Progress("read the site", done, total, "bytes"))
    site = Site(root, files)
    check_complete(site)
    return site


def check_complete(site: Site) -> None:
    """Blobs carry their names' digests, and all that the registry promises is there."""
    for path, content in site.files.items():
        if is_blob(path) and path.rsplit("/", 1)[-1] != content.sha256:
            raise SiteError(
                f"{site.root / path} does not hold the bytes of its name (they hash to "
                f"{content.sha256}); build the model and the site again with `modelpress build` "
                "and `modelpress site`"
            )
    try:
        registry = Registry.loads(_read(site, REGISTRY_PATH))
        for model in registry.models:
            for scheme in model.schemes:
                _check_model(site, scheme.manifest)
    except FormatError as error:
        raise SiteError(f"in {site.root}: {error}") from error


def read_verified(path: Path, sha256: str) -> bytes:
    """The bytes of a file, certain to be those that were hashed. Raises SiteError if not."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SiteError(f"cannot read {path}: {error.strerror}; build the site again") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise SiteError(
            f"{path} changed while it was being published; "
            "wait until the build has finished and publish again"
        )
    return data


def _walk(root: Path) -> Iterator[str]:
    if not (root / REGISTRY_PATH).is_file():
        raise SiteError(
            f"{root} is not a built site: it has no {REGISTRY_PATH}; run `modelpress site` first"
        )
    seen: set[Path] = set()
    for folder, folders, names in os.walk(root, followlinks=True, onerror=_unreadable):
        real = Path(folder).resolve()
        if real in seen:
            raise SiteError(f"{folder} is reached twice through links; remove one")
        seen.add(real)
        folders.sort()
        for name in names:
            if name not in LITTER:
                yield (Path(folder) / name).relative_to(root).as_posix()


def _unreadable(error: OSError) -> None:
    raise SiteError(f"cannot read {error.filename}: {error.strerror}") from error


def _check_names(root: Path, paths: list[str]) -> None:
    for path in paths:
        if path.startswith(RESERVED) or path == LOCK_PATH:
            raise SiteError(
                f"{root / path}: the names {' and '.join(RESERVED)} belong to publishing; "
                "publish a folder that `modelpress site` built, not an already published one"
            )
        if _size(root / path) > MAX_FILE_NBYTES:
            raise SiteError(
                f"{root / path} is larger than {MAX_FILE_NBYTES >> 20} MiB; "
                "models are cut into chunks by `modelpress build`, other files must be smaller"
            )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise SiteError(f"cannot read {path}: {error.strerror}; build the site again") from error


def _hash(path: Path) -> Content:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return Content(digest, file.tell())
    except OSError as error:
        raise SiteError(f"cannot read {path}: {error.strerror}") from error


def _check_model(site: Site, entry: File) -> None:
    _check_file(site, entry)
    manifest = Manifest.loads(_read(site, entry.path), entry.path)
    for file in _promised(manifest):
        _check_file(site, file)
    weights = WeightIndex.loads(_read(site, manifest.weights.path), manifest.weights.path)
    for chunk in weights.chunks:
        _check_file(site, File(chunk.path, chunk.nbytes, chunk.sha256))


def _read(site: Site, path: str) -> bytes:
    return read_verified(site.root / path, site.files[path].sha256)


def _promised(manifest: Manifest) -> Iterator[File]:
    yield manifest.weights
    yield from manifest.files.values()
    for variant in manifest.variants:
        yield from (variant.plan, *variant.modules)
    if manifest.licence.text is not None:
        yield manifest.licence.text


def _check_file(site: Site, file: File) -> None:
    found = site.files.get(file.path)
    if found != Content(file.sha256, file.nbytes):
        state = "is missing from" if found is None else "is not the one promised in"
        raise SiteError(
            f"{file.path} {state} {site.root}; build the model and the site again "
            "with `modelpress build` and `modelpress site`"
        )
