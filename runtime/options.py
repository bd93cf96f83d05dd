"""What whoever starts an engine may choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from . import codec
from .errors import FormatError, ModelpressError
from .pace import MAX_DEPTH


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """`scheme` None is each model's default; `context` None the largest that fits; `depth` None
    the right number of queued steps for the device. `choices` forces an entry of the plan where it
    has several, as {"decode": "decode_dot"}; `retune` tests and measures again what an earlier load
    has found out. A choice that cannot be honoured is an error at load, never a silent fallback."""

    scheme: str | None = None
    variant: str = "auto"
    weights: Literal["real", "synthetic"] = "real"
    context: int | None = None
    depth: int | None = None
    choices: Mapping[str, str] = field(default_factory=dict)
    retune: bool = False

    def __post_init__(self) -> None:
        if self.depth is not None and not 1 <= self.depth <= MAX_DEPTH:
            raise ValueError(f"depth must lie between 1 and {MAX_DEPTH}")

    @classmethod
    def loads(cls, text: str) -> EngineOptions:
        """From JSON text; ModelpressError "bad_request" when it is no such thing."""
        try:
            return codec.loads(cls, text, "options")
        except FormatError as error:
            raise ModelpressError("bad_request", str(error)) from error
