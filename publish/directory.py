"""A directory as a target: for a web server's folder, a mounted share, a memory stick.

Every file appears whole (written beside its place, flushed, renamed). Documents are copies of
their blobs, not links, so editing a page in place cannot damage what a rollback would restore.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from runtime.progress import OnProgress, Progress
from runtime.weights import blob_path

from .content_types import blob_digest
from .documents import CHANNEL_PATH, LOCK_PATH, Channel, Content, Release, release_path
from .errors import (
    AccessError,
    ConflictError,
    FullError,
    IntegrityError,
    PublishError,
    ReleaseError,
    TargetError,
    UnavailableError,
)
from .parallel import send
from .plan import Inventory, Upload
from .site import read_verified
from .store import Pointer

LOCK_TIMEOUT_S = 900.0
OURS = frozenset({"blobs", "channels", "releases"})
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
MISPLACED = frozenset({errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP})


class DirectoryStore:
    """A Store over a folder. Raises TargetError for a folder that holds something else."""

    atomic = False

    def __init__(self, root: Path, *, adopt: bool) -> None:
        """`adopt`: publish into a folder that is not empty and not a target yet."""
        self.root = root
        with self._translating():
            if root.exists() and not adopt:
                _check_ours(root)

    @property
    def target(self) -> str:
        return str(self.root)

    @property
    def url(self) -> str:
        return f"serve {self.root} with any static web server"

    def read_pointer(self) -> Pointer | None:
        data = self._read(CHANNEL_PATH)
        if data is None:
            return None
        channel = Channel.loads(data, f"{self.root / CHANNEL_PATH}")
        return Pointer(channel, hashlib.sha256(data).hexdigest())

    def read_release(self, id: str) -> Release:
        data = self._read(release_path(id))
        if data is None:
            raise ReleaseError(f"release {id} is not in {self.root}")
        return Release.loads(data, f"{self.root / release_path(id)}")

    def release_ids(self) -> tuple[str, ...]:
        with self._translating():
            return tuple(sorted(p.stem for p in self.root.glob("releases/*.json")))

    def inventory(self, documents: Sequence[Upload]) -> Inventory:
        with self._translating():
            blobs = {
                digest: path.stat().st_size
                for path in self.root.glob("blobs/sha256/??/*")
                if (digest := blob_digest(path.relative_to(self.root).as_posix()))
            }
            current = frozenset(d.path for d in documents if self._digest(d.path) == d.content)
        return Inventory(blobs, current)

    def put_blobs(self, blobs: Sequence[Upload], on_progress: OnProgress) -> None:
        send(blobs, self._put_blob, on_progress)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        self._lock()
        try:
            yield
        finally:
            with self._translating():
                (self.root / LOCK_PATH).unlink(missing_ok=True)

    def put_release(self, release: Release) -> None:
        self._write(release.path, release.dumps())

    def place(self, documents: Sequence[Upload], on_progress: OnProgress) -> None:
        for i, document in enumerate(documents, 1):
            sha256 = document.content.sha256
            data = self._read(blob_path(sha256))
            if data is None or hashlib.sha256(data).hexdigest() != sha256:
                raise IntegrityError(
                    f"{self.root / blob_path(sha256)} is damaged or gone; "
                    "delete it if it is there, then publish again"
                )
            self._write(document.path, data)
            on_progress(Progress("place documents", i, len(documents), "documents"))

    def flip(self, channel: Channel, expected: Pointer | None) -> None:
        if self.read_pointer() != expected:
            raise ConflictError(f"somebody else published to {self.root} meanwhile; publish again")
        self._write(CHANNEL_PATH, channel.dumps())

    def delete(self, paths: Iterable[str]) -> None:
        with self._translating():
            for path in paths:
                file = self.root / path
                file.unlink(missing_ok=True)
                _remove_empty(file.parent, self.root)

    def verify(self, uploads: Sequence[Upload]) -> None:
        with self._translating():
            for upload in uploads:
                if self._digest(upload.path) != upload.content:
                    raise IntegrityError(
                        f"{self.root / upload.path} does not hold what was written; "
                        "check the disk, then publish again"
                    )

    def _put_blob(self, blob: Upload) -> None:
        assert blob.source is not None
        self._write(blob.path, read_verified(blob.source, blob.content.sha256))

    def _digest(self, path: str) -> Content | None:
        try:
            with (self.root / path).open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                return Content(sha256, file.tell())
        except FileNotFoundError:
            return None

    def _read(self, path: str) -> bytes | None:
        with self._translating():
            try:
                return (self.root / path).read_bytes()
            except FileNotFoundError:
                return None

    def _write(self, path: str, data: bytes) -> None:
        file = self.root / path
        part = file.with_name(f".{file.name}.{os.getpid()}.part")
        with self._translating():
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                with part.open("wb") as out:
                    out.write(data)
                    out.flush()
                    os.fsync(out.fileno())
                part.replace(file)
            finally:
                part.unlink(missing_ok=True)

    def _lock(self) -> None:
        lock = self.root / LOCK_PATH
        owner = json.dumps({"host": socket.gethostname(), "pid": os.getpid()})
        with self._translating():
            lock.parent.mkdir(parents=True, exist_ok=True)
            if _is_stale(lock):
                lock.unlink(missing_ok=True)
            try:
                with lock.open("x") as file:
                    file.write(owner)
            except FileExistsError as error:
                raise ConflictError(
                    f"another publish to {self.root} is under way ({lock.read_text()}); wait for "
                    f"it, or delete {lock} if that process is no longer running"
                ) from error

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _translated(error, self.root) from error


def _check_ours(root: Path) -> None:
    names = {path.name for path in root.iterdir()}
    if names and not (root / CHANNEL_PATH).is_file() and not names <= OURS:
        raise TargetError(
            f"{root} holds files but no modelpress site; choose an empty or new folder, "
            "or publish into it all the same with --force"
        )


def _is_stale(lock: Path) -> bool:
    """A lock is dead with its process, where that can be seen, or after LOCK_TIMEOUT_S."""
    try:
        if time.time() - lock.stat().st_mtime > LOCK_TIMEOUT_S:
            return True
        owner = json.loads(lock.read_text())
    except (FileNotFoundError, ValueError):
        return False
    return owner["host"] == socket.gethostname() and not _is_running(owner["pid"])


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _remove_empty(folder: Path, root: Path) -> None:
    while folder != root and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _translated(error: OSError, root: Path) -> PublishError:
    where = error.filename or root
    if error.errno in FULL:
        return FullError(
            f"no space left for {where} ({error.strerror}); free some or run `modelpress gc "
            f"{root}`, then publish again: it continues where it stopped"
        )
    if error.errno in DENIED:
        return AccessError(
            f"not allowed to write {where} ({error.strerror}); "
            "give your user write permission or choose another folder"
        )
    if error.errno in MISPLACED:
        return TargetError(
            f"{where}: {error.strerror}; choose a folder where the site's paths can be created"
        )
    return UnavailableError(f"{where}: {error.strerror}; check the disk, then publish again")
