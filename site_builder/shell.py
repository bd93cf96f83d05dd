"""`shell.json`: the files that make the site work offline, with their digests.

The service worker keeps exactly these; `version` changes when any of them does. Models are not in
it: the engine keeps those itself, once a visitor has asked for them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from runtime import codec
from runtime.manifest import File

SHELL = "shell.json"
SHELL_FORMAT = 1
_UNSEEN = frozenset({"_headers", ".nojekyll", "robots.txt", "sitemap.xml", "404.html", "sw.js"})


@dataclass(frozen=True, slots=True)
class Shell:
    """The app shell: every file in it, by path from the site's root."""

    format: int
    version: str
    files: tuple[File, ...]


def make_shell(files: Iterable[File]) -> Shell:
    """The shell of a site whose own files (not its models) are `files`."""
    kept = tuple(sorted((f for f in files if f.path not in _UNSEEN), key=lambda f: f.path))
    digest = hashlib.sha256(codec.dumps([codec.encode(f) for f in kept]).encode())
    return Shell(SHELL_FORMAT, digest.hexdigest(), kept)


def describe(path: str, data: bytes) -> File:
    """A file of the site as the shell lists it."""
    return File(path, len(data), hashlib.sha256(data).hexdigest())
