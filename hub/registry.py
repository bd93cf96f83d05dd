"""registry.json: what a hub offers, gathered from the manifests it holds.

The registry is derived: any hub folder gives the same document, whatever was built first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from runtime.errors import FormatError
from runtime.manifest import REGISTRY_FORMAT, Manifest, ModelEntry, Registry, SchemeEntry

from .errors import OutputError
from .files import describe, write_file, writing
from .schemes import SCHEMES

REGISTRY = "registry.json"
MANIFEST = "manifest.json"


def model_folder(root: Path, id: str, scheme: str) -> Path:
    """Where a model in one scheme lies."""
    return root / "models" / id / scheme


def write_registry(
    root: Path, order: Sequence[str], schemes: Mapping[str, Sequence[str]]
) -> Registry:
    """Gather all manifests under `root` and replace registry.json; OutputError as `gather`."""
    registry = gather(root, order, schemes)
    with writing(root):
        write_file(root / REGISTRY, registry.dumps().encode())
    return registry


def check_others(root: Path, replaced: Collection[tuple[str, str]]) -> None:
    """Raise OutputError for a manifest that `gather` would refuse and that none of `replaced`,
    (id, scheme) about to be built, takes the place of."""
    folders = {model_folder(root, id, scheme) for id, scheme in replaced}
    for path in _manifests(root):
        if path.parent not in folders:
            _read(root, path)


def gather(root: Path, order: Sequence[str], schemes: Mapping[str, Sequence[str]]) -> Registry:
    """The registry of the manifests under `root`.

    Models come in `order`, unlisted ones after them by id; the schemes of a model in the order
    given for it, else as in `SCHEMES` from the smallest. OutputError names a manifest that does
    not decode.
    """
    found: dict[str, dict[str, tuple[Manifest, SchemeEntry]]] = {}
    for path in _manifests(root):
        manifest, entry = _read(root, path)
        found.setdefault(manifest.id, {})[entry.scheme] = (manifest, entry)
    ids = [id for id in order if id in found] + sorted(set(found) - set(order))
    default = [*reversed(SCHEMES)]
    return Registry(
        REGISTRY_FORMAT, tuple(_entry(found[id], schemes.get(id, default)) for id in ids)
    )


def _manifests(root: Path) -> list[Path]:
    return sorted((root / "models").glob(f"*/*/{MANIFEST}"))


def _read(root: Path, path: Path) -> tuple[Manifest, SchemeEntry]:
    data = path.read_bytes()
    try:
        manifest = Manifest.loads(data, str(path))
    except FormatError as error:
        raise OutputError(
            f"{error.message}; or remove the folder {path.parent} if the model is not needed"
        ) from error
    scheme = manifest.quantization.scheme
    if path.parent != model_folder(root, manifest.id, scheme):
        raise OutputError(f"{path}: is {manifest.id} in {scheme}, misplaced; remove the folder")
    nbytes = manifest.weights_nbytes + sum(file.nbytes for file in manifest.files.values())
    nbytes += max((variant.plan.nbytes for variant in manifest.variants), default=0)
    loss = manifest.quantization.loss
    return manifest, SchemeEntry(scheme, describe(root, path, data), nbytes, loss)


def _entry(built: dict[str, tuple[Manifest, SchemeEntry]], schemes: Sequence[str]) -> ModelEntry:
    names = [name for name in schemes if name in built] + sorted(set(built) - set(schemes))
    manifest = built[names[0]][0]
    return ModelEntry(
        id=manifest.id,
        name=manifest.name,
        description=manifest.description,
        family=manifest.architecture.family,
        parameters=manifest.architecture.parameters,
        context=manifest.architecture.context,
        licence=manifest.licence.spdx,
        synthetic=manifest.synthetic,
        schemes=tuple(built[name][1] for name in names),
        task=manifest.task,
    )
