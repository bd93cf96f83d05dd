"""The TypeScript side of the formats is what the Python side says."""

from __future__ import annotations

from runtime.web.generate_types import TARGET, generated


def test_formats_ts_is_generated_from_the_dataclasses_as_they_are() -> None:
    assert TARGET.read_text(encoding="utf-8") == generated(), (
        "run `python -m runtime.web.generate_types`"
    )
