"""The Hugging Face Hub as a target: a static Space, or a model or data set repository.

A release is one commit on `main` made over the commit that was read, so a visitor sees all of it
or nothing; contents are uploaded before it, and an interrupted publish finds them there. The Hub
keeps deleted files in the repository's history.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils.tqdm import disable_progress_bars

from runtime.progress import OnProgress, Progress
from runtime.weights import blob_path

from .content_types import blob_digest
from .documents import CHANNEL_PATH, Channel, Content, Release, release_path
from .errors import ConflictError, IntegrityError, ReleaseError, SiteError, TargetError
from .hub_errors import is_transient, translating
from .plan import Inventory, Upload
from .retry import retrying
from .site import read_verified
from .store import Pointer

T = TypeVar("T")

KINDS = {"spaces": "space", "models": "model", "datasets": "dataset"}
BATCH = 64
"""Contents uploaded per request: few enough that progress moves, enough to spare the rate limit."""
ATTRIBUTES = "blobs/** filter=lfs diff=lfs merge=lfs -text\n"
README = """---
title: {title}
sdk: static
pinned: false
---

A static site of language models that run in the visitor's browser, published by modelpress.
"""


class HubStore:
    """A Store over a repository; `kind` is a key of KINDS, `repo` is OWNER/NAME."""

    atomic = True

    def __init__(self, kind: str, repo: str, *, endpoint_url: str | None) -> None:
        """`endpoint_url` None: the public Hub, or what HF_ENDPOINT says."""
        disable_progress_bars()
        self.kind = kind
        self.repo = repo
        self.api = HfApi(endpoint=endpoint_url, library_name="modelpress")
        self._head: str | None = None
        self._files: dict[str, RepoFile] = {}
        self._additions: dict[str, CommitOperationAdd] = {}
        self._git_digests: dict[str, str] = {}

    @property
    def target(self) -> str:
        return f"hf://{self.kind}/{self.repo}"

    @property
    def url(self) -> str:
        if self.kind == "spaces":
            return f"https://{self.repo.replace('/', '-').lower()}.static.hf.space"
        folder = "" if self.kind == "models" else f"{self.kind}/"
        return f"{self.api.endpoint}/{folder}{self.repo}"

    def read_pointer(self) -> Pointer | None:
        self._open()
        data = self._read(CHANNEL_PATH)
        if data is None:
            return None
        channel = Channel.loads(data, f"{self.target}/{CHANNEL_PATH}")
        return Pointer(channel, hashlib.sha256(data).hexdigest())

    def read_release(self, id: str) -> Release:
        self._open()
        data = self._read(release_path(id))
        if data is None:
            raise ReleaseError(f"release {id} is not at {self.target}")
        return Release.loads(data, f"{self.target}/{release_path(id)}")

    def release_ids(self) -> tuple[str, ...]:
        self._open()
        return tuple(sorted(path[9:-5] for path in self._files if path.startswith("releases/")))

    def inventory(self, documents: Sequence[Upload]) -> Inventory:
        self._open()
        blobs = {d: f.size for path, f in self._files.items() if (d := blob_digest(path))}
        current = (document.path for document in documents if self._is_current(document))
        return Inventory(blobs, frozenset(current))

    def put_blobs(self, blobs: Sequence[Upload], on_progress: OnProgress) -> None:
        self._prepare_repo()
        total = sum(blob.content.nbytes for blob in blobs)
        done = 0
        for start in range(0, len(blobs), BATCH):
            batch = blobs[start : start + BATCH]
            self._upload(batch)
            done += sum(blob.content.nbytes for blob in batch)
            on_progress(Progress("send blobs", done, total, "bytes"))

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """No lock: the Hub takes a commit only over the parent it names. A moved repository is
        noticed here early."""
        self._open()
        now = self._ask(lambda: self.api.repo_info(self.repo, repo_type=self._type).sha)
        if now != self._head:
            raise ConflictError(f"{self.target} changed meanwhile; publish again")
        yield

    def put_release(self, release: Release) -> None:
        self._add(release.path, release.dumps())

    def place(self, documents: Sequence[Upload], on_progress: OnProgress) -> None:
        for i, document in enumerate(documents, 1):
            self._add(document.path, self._content(document))
            on_progress(Progress("place documents", i, len(documents), "documents"))

    def flip(self, channel: Channel, expected: Pointer | None) -> None:
        """`expected` is the channel of the commit that was read, which becomes the parent."""
        self._add(CHANNEL_PATH, channel.dumps())
        operations = [*self._additions.values()]
        self._commit(operations, f"Serve release {channel.release}")
        self._additions.clear()

    def delete(self, paths: Iterable[str]) -> None:
        self._open()
        gone = [CommitOperationDelete(path) for path in paths if path in self._files]
        if gone:
            self._commit(gone, "Delete what no kept release uses")

    def verify(self, uploads: Sequence[Upload]) -> None:
        self._open()
        for upload in uploads:
            if not self._matches(upload):
                raise IntegrityError(
                    f"{self.target}/{upload.path} is not what was sent; delete it on the Hub "
                    "and publish again"
                )

    @property
    def _type(self) -> str:
        return KINDS[self.kind]

    def _open(self) -> None:
        """Read the newest commit once; all that this store reads afterwards is of that commit."""
        if self._head is not None:
            return
        info = self._ask(lambda: self.api.repo_info(self.repo, repo_type=self._type))
        sdk = getattr(info, "sdk", None)
        if self.kind == "spaces" and sdk not in (None, "static"):
            raise TargetError(
                f"{self.target} is a {sdk} Space, a site needs a static one; "
                f"create one with `{self._create_command}`"
            )
        self._list(str(info.sha))

    def _list(self, head: str) -> None:
        def tree() -> dict[str, RepoFile]:
            entries = self.api.list_repo_tree(
                self.repo, recursive=True, revision=head, repo_type=self._type
            )
            return {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}

        self._files = self._ask(tree)
        self._head = head

    def _prepare_repo(self) -> None:
        """See that blobs are stored as large files and that a Space says it is static."""
        additions = []
        attributes = self._read(".gitattributes") or b""
        if ATTRIBUTES.encode() not in attributes:
            data = attributes + ATTRIBUTES.encode()
            additions.append(CommitOperationAdd(".gitattributes", data))
        if self.kind == "spaces" and "README.md" not in self._files:
            readme = README.format(title=self.repo.rsplit("/", 1)[-1]).encode()
            additions.append(CommitOperationAdd("README.md", readme))
        if additions:
            self._commit(additions, "Prepare for publishing")

    def _upload(self, blobs: Sequence[Upload]) -> None:
        additions = {b.path: CommitOperationAdd(b.path, str(b.source)) for b in blobs}
        with self._translating():
            self.api.preupload_lfs_files(
                self.repo, additions=additions.values(), repo_type=self._type, free_memory=False
            )
        for blob in blobs:
            if additions[blob.path].upload_info.sha256.hex() != blob.content.sha256:
                raise SiteError(f"{blob.source} changed while it was being published")
        self._additions |= additions

    def _add(self, path: str, data: bytes) -> None:
        self._additions[path] = CommitOperationAdd(path, data)
        self._git_digests[path] = git_digest(data)

    def _content(self, document: Upload) -> bytes:
        if document.source is not None:
            return read_verified(document.source, document.content.sha256)
        data = self._read(blob_path(document.content.sha256))
        if data is None or hashlib.sha256(data).hexdigest() != document.content.sha256:
            raise IntegrityError(
                f"{self.target}/{blob_path(document.content.sha256)} is damaged or gone; "
                "build that version again and publish it"
            )
        return data

    def _commit(
        self, operations: Sequence[CommitOperationAdd | CommitOperationDelete], message: str
    ) -> None:
        with self._translating():
            info = self.api.create_commit(
                self.repo,
                operations,
                commit_message=message,
                repo_type=self._type,
                parent_commit=self._head,
            )
        self._list(info.oid)

    def _read(self, path: str) -> bytes | None:
        if path not in self._files:
            return None

        def download() -> bytes:
            with tempfile.TemporaryDirectory() as folder:
                file = self.api.hf_hub_download(
                    self.repo, path, repo_type=self._type, revision=self._head, cache_dir=folder
                )
                return Path(file).read_bytes()

        return self._ask(download)

    def _is_current(self, document: Upload) -> bool:
        if document.source is not None and document.path in self._files:
            data = read_verified(document.source, document.content.sha256)
            self._git_digests[document.path] = git_digest(data)
        return document.path in self._git_digests and self._matches(document)

    def _matches(self, upload: Upload) -> bool:
        file = self._files.get(upload.path)
        if file is None:
            return False
        if file.lfs is not None:
            return Content(file.lfs.sha256, file.lfs.size) == upload.content
        expected = self._git_digests.get(upload.path, file.blob_id)
        return file.size == upload.content.nbytes and file.blob_id == expected

    def _ask(self, request: Callable[[], T]) -> T:
        with self._translating():
            return retrying(request, is_transient)

    def _translating(self) -> AbstractContextManager[None]:
        return translating(self.target, self._create_command)

    @property
    def _create_command(self) -> str:
        static = " --space-sdk static" if self.kind == "spaces" else ""
        return f"hf repos create {self.repo} --repo-type {self._type}{static}"


def git_digest(data: bytes) -> str:
    """The name git gives these bytes: sha1 over a header and the content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
