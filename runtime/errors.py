"""Errors of the engine, one class with a stable `code`.

    ModelpressError
    ├── FormatError          a document that does not decode (code "bad_format")
    └── (every other code is raised as ModelpressError itself)

The codes are promises to users: the JavaScript class of the same name carries them unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CODES = frozenset(
    {
        "aborted",
        "bad_format",
        "bad_request",
        "context_length_exceeded",
        "device_lost",
        "integrity",
        "internal",
        "model_not_found",
        "network",
        "no_engine",
        "no_webgpu",
        "out_of_memory",
        "quota_exceeded",
        "unsupported_device",
    }
)


class ModelpressError(Exception):
    """An error with a `code` from `CODES`, a message that says what to do, and JSON `details`."""

    def __init__(
        self, code: str, message: str, *, details: Mapping[str, Any] | None = None
    ) -> None:
        assert code in CODES, code
        super().__init__(message)
        self.code = code
        self.message = message
        self.details: dict[str, Any] = dict(details or {})


class FormatError(ModelpressError):
    """A document that is not what its format promises; `where` is the path inside it."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__("bad_format", f"{where}: {message}", details={"where": where})
