"""Files of a hub: whole or not at all, checked when read, OutputError for what the disk refuses."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.manifest import File
from runtime.weights import blob_path

from .errors import HubError, OutputError


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

    A blob that lost its bytes since it was written is replaced, but is not new: whoever shares it
    needs it, whatever becomes of this build.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    path = root / blob_path(sha256)
    present = path.is_file()
    if not present or path.read_bytes() != data:
        write_file(path, data)
    return sha256, not present


def read_file(root: Path, file: File) -> bytes:
    """The bytes of a hub file; HubError when it is missing or not what its entry says."""
    path = root / file.path
    if not path.is_file():
        raise HubError(f"{path}: missing; build the model again")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise HubError(f"{path}: does not match its sha256; build the model again")
    return data


def describe(root: Path, path: Path, data: bytes) -> File:
    """The manifest's entry for a file under the hub's root."""
    return File(path.relative_to(root).as_posix(), len(data), hashlib.sha256(data).hexdigest())
