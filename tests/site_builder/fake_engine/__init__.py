"""A stand-in for the engine's build: the same files, with canned answers in them."""

from __future__ import annotations

import shutil
from pathlib import Path

HERE = Path(__file__).parent


def build_fake_engine(out: Path) -> None:
    """Leave `client.js` and `service_worker.js` in `out`, as the real build does."""
    out.mkdir(parents=True)
    for name in ("client.js", "service_worker.js"):
        shutil.copyfile(HERE / name, out / name)
