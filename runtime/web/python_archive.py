"""runtime.zip: the engine's Python for the page, with the two packages that chat templates need.

The same sources give the same bytes: names sorted, times fixed.
"""

from __future__ import annotations

import importlib.util
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

RUNTIME = Path(__file__).resolve().parents[1]
HOST_ROOMS = frozenset({"native", "web"})
"""Rooms of the runtime that belong to other hosts."""
PACKAGES = ("jinja2", "markupsafe")
TIME = (1980, 1, 1, 0, 0, 0)


def python_archive() -> bytes:
    """A zip with `runtime`, `jinja2` and `markupsafe`, Python sources and licences only."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, path in sorted(python_files()):
            entry = zipfile.ZipInfo(name, TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def python_files() -> Iterator[tuple[str, Path]]:
    """Name in the archive and source of every file."""
    for path in RUNTIME.rglob("*.py"):
        parts = path.relative_to(RUNTIME).parts
        if parts[0] not in HOST_ROOMS:
            yield "/".join(("runtime", *parts)), path
    for package in PACKAGES:
        folder = _package_folder(package)
        for path in folder.glob("*.py"):
            yield f"{package}/{path.name}", path
        yield from _licences(package, folder)


def _package_folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"the package {package} is not installed: `pip install {package}`")
    return Path(spec.origin).parent


def _licences(package: str, folder: Path) -> Iterator[tuple[str, Path]]:
    for info in folder.parent.glob(f"{package}-*.dist-info"):
        for path in info.rglob("LICENSE*"):
            yield f"{package}/{path.name}", path
