"""The last line of `make test` counts what all runs of pytest counted."""

from __future__ import annotations

from pathlib import Path

from tests.closing_line import closing_line

RUN = (
    '<testsuites><testsuite tests="{}" failures="{}" errors="0" skipped="1" time="1.5"/>'
    "</testsuites>"
)


def test_runs_are_added_up(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(RUN.format(5, 0))
    (tmp_path / "b.xml").write_text(RUN.format(7, 2))
    assert closing_line(tmp_path).strip("= ") == "2 failed, 8 passed, 2 skipped in 3.00s"


def test_nothing_run_is_said_so(tmp_path: Path) -> None:
    assert "no tests ran" in closing_line(tmp_path)
