"""Writes a planned site: into a sibling folder first, then swapped in one step.

Hub files are hard links where the disk allows it, copies elsewhere. Until the swap the old site
serves untouched; a failure leaves it so and removes what was begun.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from runtime.manifest import File
from runtime.progress import OnProgress, Progress, ignore_progress

from .errors import OutputError
from .plan import Asset
from .shell import SHELL

_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES}


def check_target(out: Path, hub: Path) -> None:
    """Refuse folders that hold something else than a site, or that contain the hub."""
    ours, theirs = out.resolve(), hub.resolve()
    if ours == theirs or ours in theirs.parents or theirs in ours.parents:
        raise OutputError(f"{out} and the hub {hub} lie in each other; choose another --out")
    if not out.exists():
        return
    if not out.is_dir() or (any(out.iterdir()) and not (out / SHELL).is_file()):
        raise OutputError(f"{out} exists and is not a site; choose another --out or remove it")


def begin(out: Path) -> Path:
    """A fresh folder beside `out` to build in."""
    building = out.parent / f".{out.name}.building-{os.getpid()}"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir()
    except OSError as error:
        raise translate(error, out) from error
    return building


def write_assets(folder: Path, assets: Iterable[Asset]) -> None:
    """Write files by path under `folder`."""
    for asset in assets:
        path = folder / asset.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(asset.data)


def place_hub_files(
    folder: Path, hub: Path, files: tuple[File, ...], on_progress: OnProgress = ignore_progress
) -> None:
    """Link or copy hub files under `folder`, reporting bytes."""
    total, done = sum(file.nbytes for file in files), 0
    for file in files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        _link_or_copy(hub / file.path, path)
        done += file.nbytes
        on_progress(Progress("placing model files", done, total, "bytes"))


def swap(building: Path, out: Path) -> None:
    """Put the finished folder in place of the old one; on failure the old one is put back."""
    old = out.parent / f".{out.name}.old-{os.getpid()}"
    try:
        if out.exists():
            out.rename(old)
        try:
            building.rename(out)
        except OSError:
            if old.exists():
                old.rename(out)
            raise
    except OSError as error:
        raise translate(error, out) from error
    shutil.rmtree(old, ignore_errors=True)


def abandon(building: Path) -> None:
    """Remove what was begun."""
    shutil.rmtree(building, ignore_errors=True)


def translate(error: OSError, out: Path) -> OutputError:
    """An operating system error in words, with the remedy."""
    code = error.errno if error.errno is not None else _gathered_errno(error)
    if code in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(f"the disk of {out} is full; free some space. The old site still serves")
    if code in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(f"{out} may not be written; choose another --out or change its rights")
    return OutputError(f"{out} cannot be written: {error}")


def _gathered_errno(error: OSError) -> int | None:
    """The number of the first error that `shutil.copytree` gathered, which keeps only text."""
    found = re.search(r"\[Errno (\d+)\]", str(error))
    return int(found[1]) if found else None


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        shutil.copyfile(source, target)
