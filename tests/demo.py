"""The demo model's hub and site, built once for all tests of all processes.

python -m tests.demo     # builds both ahead of the tests, as `make test` does
"""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "tests"
BUILT_FROM = ("model_configs", "runtime", "hub", "site_builder", "package-lock.json")


def demo_hub() -> Path:
    """The hub of the demo model in all its schemes, built by the command line when it is stale."""
    with _building("hub") as (folder, is_fresh):
        if not is_fresh:
            _modelpress("build", "press-guide", "--out", str(folder))
    return folder


def demo_site() -> Path:
    """The site over that hub."""
    hub = demo_hub()
    with _building("site") as (folder, is_fresh):
        if not is_fresh:
            _modelpress("site", "--hub", str(hub), "--out", str(folder))
    return folder


@contextmanager
def _building(name: str) -> Iterator[tuple[Path, bool]]:
    """The folder `name` and whether it was built from the sources as they are; one at a time."""
    BUILD.mkdir(parents=True, exist_ok=True)
    stamp, digest = BUILD / f"{name}.stamp", _digest_of_sources()
    with (BUILD / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        is_fresh = stamp.is_file() and stamp.read_text() == digest
        yield BUILD / name, is_fresh
        stamp.write_text(digest)


def _digest_of_sources() -> str:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *BUILT_FROM]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    total = hashlib.sha256()
    for name in sorted(filter(None, names.split("\0"))):
        if (ROOT / name).is_file():
            total.update(
                name.encode() + b"\0" + hashlib.sha256((ROOT / name).read_bytes()).digest()
            )
    return total.hexdigest()


def _modelpress(*arguments: str) -> None:
    command = [sys.executable, "-m", "modelpress", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"


if __name__ == "__main__":
    demo_site()
