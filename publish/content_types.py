"""How a store should label what it serves: content type and cache lifetime by path.

The table is ours, not the operating system's, so every machine publishes the same labels.
"""

from __future__ import annotations

import re

from runtime.weights import blob_path

IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"
BINARY = "application/octet-stream"

CONTENT_TYPES = {
    "avif": "image/avif",
    "css": "text/css; charset=utf-8",
    "gif": "image/gif",
    "gz": "application/gzip",
    "htm": "text/html; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "ico": "image/x-icon",
    "jinja": "text/plain; charset=utf-8",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "map": "application/json",
    "md": "text/markdown; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "pdf": "application/pdf",
    "png": "image/png",
    "py": "text/x-python; charset=utf-8",
    "svg": "image/svg+xml",
    "tar": "application/x-tar",
    "ts": "text/plain; charset=utf-8",
    "ttf": "font/ttf",
    "txt": "text/plain; charset=utf-8",
    "wasm": "application/wasm",
    "webmanifest": "application/manifest+json",
    "webp": "image/webp",
    "whl": "application/zip",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "xml": "application/xml",
    "zip": "application/zip",
}

_DIGEST = re.compile(r"[0-9a-f]{64}")
_HASH_IN_NAME = re.compile(r"[.-]([0-9a-f]{8,64})(?=[.-]|$)")


def content_type(path: str) -> str:
    """The media type of a path, by its ending; blobs and unknown endings are plain bytes."""
    name = path.rsplit("/", 1)[-1]
    return CONTENT_TYPES.get(name.rpartition(".")[2].lower(), BINARY) if "." in name else BINARY


def cache_control(path: str, sha256: str) -> str:
    """A year for what can never change at its path; everything else is checked on every use.

    Only a name that carries the digest of its own bytes (`app.0123abcd.js`, a blob) is certain
    never to change; a hash of anything else in a name is not trusted.
    """
    if is_blob(path) or path.startswith("releases/"):
        return IMMUTABLE
    hashes = _HASH_IN_NAME.findall(path.rsplit("/", 1)[-1])
    return IMMUTABLE if any(sha256.startswith(found) for found in hashes) else REVALIDATE


def is_blob(path: str) -> bool:
    """Whether the path is in the content-addressed part of a site."""
    return path.startswith("blobs/sha256/")


def blob_digest(path: str) -> str | None:
    """The sha256 in the path of a well-formed blob; None for any other path."""
    name = path.rsplit("/", 1)[-1]
    return name if _DIGEST.fullmatch(name) and path == blob_path(name) else None
