"""S3 and compatible stores, through boto3.

Bytes travel once, as blobs created only where there are none, each with its sha256 for the store
to check; documents are then copied from blobs inside the store. A lock object keeps publishers
apart while documents change, and the channel is written only over the version that was read.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from runtime.progress import OnProgress, Progress
from runtime.weights import blob_path

from .content_types import blob_digest, cache_control, content_type
from .documents import CHANNEL_PATH, LOCK_PATH, Channel, Release, release_path
from .errors import ConflictError, IntegrityError, PublishError, ReleaseError, TargetError
from .parallel import WORKERS, send, transfer
from .plan import Inventory, Upload
from .retry import retrying
from .s3_client import age_s, confirms, open_client
from .s3_errors import is_missing, is_transient, lacks_conditions, translating
from .site import read_verified
from .store import Pointer

T = TypeVar("T")

LOCK_TIMEOUT_S = 900.0
DELETE_BATCH = 1000
CORS = {
    "CORSRules": [
        {
            "AllowedOrigins": ["*"],
            "AllowedMethods": ["GET", "HEAD"],
            "AllowedHeaders": ["Range", "If-None-Match", "If-Range"],
            "ExposeHeaders": ["Content-Length", "Content-Range", "Accept-Ranges", "ETag"],
            "MaxAgeSeconds": 86400,
        }
    ]
}


class S3Store:
    """A Store over a bucket and a prefix (empty for the whole bucket)."""

    atomic = False

    def __init__(self, bucket: str, prefix: str, *, endpoint_url: str | None) -> None:
        """`endpoint_url` None: AWS, or what AWS_ENDPOINT_URL says."""
        self.bucket = bucket
        self.prefix = f"{prefix}/" if prefix else ""
        with translating(self.target):
            self.client = open_client(endpoint_url)

    @property
    def target(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def url(self) -> str:
        return f"{self.client.meta.endpoint_url}/{self.bucket}/{self.prefix}index.html"

    def read_pointer(self) -> Pointer | None:
        found = self._read(CHANNEL_PATH)
        if found is None:
            return None
        data, etag, _ = found
        return Pointer(Channel.loads(data, f"{self.target}/{CHANNEL_PATH}"), etag)

    def read_release(self, id: str) -> Release:
        found = self._read(release_path(id))
        if found is None:
            raise ReleaseError(f"release {id} is not at {self.target}")
        return Release.loads(found[0], f"{self.target}/{release_path(id)}")

    def release_ids(self) -> tuple[str, ...]:
        return tuple(sorted(path[9:-5] for path in self._list("releases/")))

    def inventory(self, documents: Sequence[Upload]) -> Inventory:
        listed = self._list("")
        blobs = {digest: nbytes for path, nbytes in listed.items() if (digest := blob_digest(path))}
        candidates = [d for d in documents if listed.get(d.path) == d.content.nbytes]
        with ThreadPoolExecutor(WORKERS) as pool:
            same = list(pool.map(self._holds, candidates))
        current = (d.path for d, is_same in zip(candidates, same, strict=True) if is_same)
        return Inventory(blobs, frozenset(current))

    def put_blobs(self, blobs: Sequence[Upload], on_progress: OnProgress) -> None:
        send(blobs, self._put_blob, on_progress)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        self._lock()
        try:
            yield
        except BaseException:
            # What went wrong inside matters more than a lock that stays and ages out.
            with suppress(PublishError):
                self.delete([LOCK_PATH])
            raise
        self.delete([LOCK_PATH])

    def put_release(self, release: Release) -> None:
        self._put(release.path, release.dumps())

    def place(self, documents: Sequence[Upload], on_progress: OnProgress) -> None:
        for i, _ in enumerate(transfer(documents, self._copy), 1):
            on_progress(Progress("place documents", i, len(documents), "documents"))

    def flip(self, channel: Channel, expected: Pointer | None) -> None:
        condition = {"IfMatch": expected.version} if expected else {"IfNoneMatch": "*"}
        data = channel.dumps()
        try:
            self._put(CHANNEL_PATH, data, **condition)
        except ConflictError:
            # A repeated request finds its own first success, whose answer was lost.
            now = self._read(CHANNEL_PATH)
            if now is None or now[0] != data:
                raise
        except TargetError as error:
            if not lacks_conditions(error.__cause__):
                raise
            self._flip_by_lock(data, expected)

    def _flip_by_lock(self, data: bytes, expected: Pointer | None) -> None:
        """Write the channel at a store that cannot compare; the lock keeps others away."""
        if self.read_pointer() != expected:
            raise ConflictError(f"somebody else published to {self.target} meanwhile")
        self._put(CHANNEL_PATH, data)

    def delete(self, paths: Iterable[str]) -> None:
        keys = [{"Key": self.prefix + path} for path in paths]
        for start in range(0, len(keys), DELETE_BATCH):
            self._delete({"Objects": keys[start : start + DELETE_BATCH], "Quiet": True})

    def verify(self, uploads: Sequence[Upload]) -> None:
        with ThreadPoolExecutor(WORKERS) as pool:
            same = list(pool.map(self._holds, uploads))
        for upload, is_same in zip(uploads, same, strict=True):
            if not is_same:
                raise IntegrityError(
                    f"{self.target}/{upload.path} is not what was sent (size, sha256, content "
                    "type or cache lifetime differ); delete that object and publish again"
                )

    def configure_cors(self) -> None:
        """Let pages of any origin read the bucket: needed when site and models live apart."""
        self._call(lambda: self.client.put_bucket_cors(Bucket=self.bucket, CORSConfiguration=CORS))

    def _put_blob(self, blob: Upload) -> None:
        assert blob.source is not None
        data = read_verified(blob.source, blob.content.sha256)
        try:
            self._put(blob.path, data, IfNoneMatch="*")
        except ConflictError as error:
            if not self._holds(blob):
                raise IntegrityError(
                    f"{self.target}/{blob.path} holds other bytes than its name says; "
                    "delete that object and publish again"
                ) from error

    def _put(self, path: str, data: bytes, **condition: str) -> None:
        digest = hashlib.sha256(data)
        checksum = base64.b64encode(digest.digest()).decode()
        answer = self._call(
            lambda: self.client.put_object(
                Bucket=self.bucket,
                Key=self.prefix + path,
                Body=data,
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=checksum,
                ContentType=content_type(path),
                CacheControl=cache_control(path, digest.hexdigest()),
                Metadata={"sha256": digest.hexdigest()},
                **condition,
            )
        )
        if not confirms(answer, data, checksum):
            raise IntegrityError(
                f"{self.target}/{path} arrived damaged at the store; "
                "delete that object and publish again"
            )

    def _delete(self, batch: dict[str, Any]) -> None:
        def request() -> None:
            answer = self.client.delete_objects(Bucket=self.bucket, Delete=batch)
            for failed in answer.get("Errors", ()):
                raise ClientError({"Error": failed}, "DeleteObjects")

        self._call(request)

    def _copy(self, document: Upload) -> None:
        source = self.prefix + blob_path(document.content.sha256)
        self._call(
            lambda: self.client.copy_object(
                Bucket=self.bucket,
                Key=self.prefix + document.path,
                CopySource={"Bucket": self.bucket, "Key": source},
                MetadataDirective="REPLACE",
                ContentType=document.content_type,
                CacheControl=document.cache_control,
                Metadata={"sha256": document.content.sha256},
            )
        )

    def _holds(self, upload: Upload) -> bool:
        head = self._head(upload.path)
        if head is None:
            return False
        metadata = {name.lower(): value for name, value in head["Metadata"].items()}
        found = (head["ContentLength"], metadata.get("sha256"), head["ContentType"])
        wanted = (upload.content.nbytes, upload.content.sha256, upload.content_type)
        return found == wanted and head.get("CacheControl") == upload.cache_control

    def _head(self, path: str) -> dict[str, Any] | None:
        key = self.prefix + path
        return self._call_or_none(lambda: self.client.head_object(Bucket=self.bucket, Key=key))

    def _read(self, path: str) -> tuple[bytes, str, dict[str, Any]] | None:
        def get() -> tuple[bytes, str, dict[str, Any]]:
            answer = self.client.get_object(Bucket=self.bucket, Key=self.prefix + path)
            return answer["Body"].read(), answer["ETag"], answer

        return self._call_or_none(get)

    def _list(self, folder: str) -> dict[str, int]:
        def pages() -> dict[str, int]:
            paginator = self.client.get_paginator("list_objects_v2")
            found = paginator.paginate(Bucket=self.bucket, Prefix=self.prefix + folder)
            objects = (item for page in found for item in page.get("Contents", ()))
            return {item["Key"].removeprefix(self.prefix): item["Size"] for item in objects}

        return self._call(pages)

    def _lock(self) -> None:
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "token": uuid.uuid4().hex}
        data = json.dumps(owner).encode()
        held = self._read(LOCK_PATH)
        condition = {"IfNoneMatch": "*"}
        if held and age_s(held[2]) > LOCK_TIMEOUT_S:
            condition = {"IfMatch": held[1]}
        try:
            self._put(LOCK_PATH, data, **condition)
        except ConflictError as error:
            # The same as in `flip`: our own first attempt may have succeeded unheard.
            held = self._read(LOCK_PATH)
            if held is None or held[0] != data:
                raise self._locked(held[0] if held else b"") from error
        # Stores that ignore conditions let two publishers write: then the last one has the lock.
        held = self._read(LOCK_PATH)
        if held is None or held[0] != data:
            raise self._locked(held[0] if held else b"")

    def _locked(self, owner: bytes) -> ConflictError:
        return ConflictError(
            f"another publish to {self.target} is under way ({owner.decode(errors='replace')}); "
            f"wait for it; a dead one frees the target after {LOCK_TIMEOUT_S / 60:.0f} minutes, "
            f"or at once when you delete {self.target}/{LOCK_PATH}"
        )

    def _call(self, request: Callable[[], T]) -> T:
        with translating(self.target):
            return retrying(request, is_transient)

    def _call_or_none(self, request: Callable[[], T]) -> T | None:
        def attempt() -> T | None:
            try:
                return request()
            except ClientError as error:
                if is_missing(error):
                    return None
                raise

        return self._call(attempt)
