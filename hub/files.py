"""Writing a hub: whole files or nothing, and OutputError for what the disk refuses."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.manifest import File
from runtime.weights import blob_path

from .errors import OutputError


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Translate the operating system's refusals into OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{place}: {_reason(error)}; what was built before still serves") from (
            error
        )


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full: free some space, or choose another folder with --out"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "no permission to write: correct the folder's owner, or choose another with --out"
    return f"cannot be written ({error.strerror or error})"


def write_file(path: Path, data: bytes | bytearray) -> None:
    """Replace a file in one step: readers see the old bytes or all the new ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_blob(root: Path, data: bytes | bytearray) -> tuple[str, bool]:
    """Store bytes under their sha256; returns it, and whether the blob is new.

    A blob of the right size is taken as whole: blobs only ever appear by rename.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    path = root / blob_path(sha256)
    if path.is_file() and path.stat().st_size == len(data):
        return sha256, False
    write_file(path, data)
    return sha256, True


def describe(root: Path, path: Path, data: bytes) -> File:
    """The manifest's entry for a file under the hub's root."""
    return File(path.relative_to(root).as_posix(), len(data), hashlib.sha256(data).hexdigest())
