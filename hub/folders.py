"""A model's folder, written aside and swapped in whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from runtime.manifest import File

from .files import describe, write_file, writing
from .registry import model_folder


@dataclass(frozen=True, slots=True)
class NewFolder:
    """A model folder being written: `path` now, at `final` once complete."""

    root: Path
    path: Path
    final: Path

    def put(self, name: str, data: bytes) -> File:
        """Write a file; the entry names the place it will have."""
        with writing(self.final):
            write_file(self.path / name, data)
        return describe(self.root, self.final / name, data)


@contextmanager
def new_folder(root: Path, id: str, scheme: str) -> Iterator[NewFolder]:
    """A folder that replaces models/<id>/<scheme> when the block ends well, else vanishes."""
    final = model_folder(root, id, scheme)
    path = root / ".building" / f"{id}.{scheme}"
    aside = path.with_name(f"{path.name}.old")
    with writing(final):
        if aside.exists() and not final.exists():
            aside.rename(final)  # a build was killed between the two renames of the swap
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
    try:
        yield NewFolder(root, path, final)
        with writing(final):
            swap_folder(path, final, aside)
    finally:
        shutil.rmtree(path, ignore_errors=True)
        with suppress(OSError):  # another model is being built there
            path.parent.rmdir()


def swap_folder(new: Path, final: Path, aside: Path) -> None:
    """Put `new` in the place of `final`; when that fails, `final` is as before."""
    final.parent.mkdir(parents=True, exist_ok=True)
    if final.exists():
        final.rename(aside)
    try:
        new.rename(final)
    except BaseException:
        if aside.exists():
            aside.rename(final)
        raise
    if aside.exists():
        shutil.rmtree(aside)
