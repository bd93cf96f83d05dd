"""From the target a user types to a Store. Clients are imported when their kind is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .errors import TargetSyntaxError
from .store import Store

KNOWN = "s3://BUCKET/PREFIX, hf://spaces/OWNER/NAME, hf://models/…, hf://datasets/…, or a directory"

Opener = Callable[[str, str | None, bool], Store]


def open_store(target: str, *, endpoint_url: str | None = None, adopt: bool = False) -> Store:
    """The Store of a target as typed; `adopt` lets a directory hold other files already.

    Raises TargetSyntaxError when the target is not understood, TargetError when a directory holds
    something that is not a modelpress site.
    """
    scheme, separator, rest = target.partition("://")
    if not separator:
        return _open_directory(target, endpoint_url, adopt)
    if scheme not in TARGETS:
        raise TargetSyntaxError(f"{target!r} is not a target; known are {KNOWN}")
    return TARGETS[scheme](rest.strip("/"), endpoint_url, adopt)


def _open_s3(rest: str, endpoint_url: str | None, _adopt: bool) -> Store:
    from .s3 import S3Store

    bucket, _, prefix = rest.partition("/")
    if not bucket or not all(part not in {"", ".", ".."} for part in prefix.split("/") if prefix):
        raise TargetSyntaxError(f"'s3://{rest}' is not a target; write s3://BUCKET/PREFIX")
    return S3Store(bucket, prefix, endpoint_url=endpoint_url)


def _open_hub(rest: str, endpoint_url: str | None, _adopt: bool) -> Store:
    from .hub import KINDS, HubStore

    kind, _, repo = rest.partition("/")
    if kind not in KINDS or repo.count("/") != 1:
        kinds = ", ".join(f"hf://{name}/OWNER/NAME" for name in KINDS)
        raise TargetSyntaxError(f"'hf://{rest}' is not a target; write one of {kinds}")
    return HubStore(kind, repo, endpoint_url=endpoint_url)


def _open_directory(path: str, _endpoint_url: str | None, adopt: bool) -> Store:
    from .directory import DirectoryStore

    return DirectoryStore(Path(path.removeprefix("file://")).expanduser(), adopt=adopt)


TARGETS: dict[str, Opener] = {"s3": _open_s3, "hf": _open_hub, "file": _open_directory}
