"""Progress as a value: each host renders it its own way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` `unit`s ("bytes", "kernels", "tokens", "tensors") in a named stage."""

    stage: str
    done: int
    total: int
    unit: str


OnProgress = Callable[[Progress], None]


def ignore_progress(progress: Progress) -> None:
    """The callback of whoever does not care."""
