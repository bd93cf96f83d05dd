"""`modelpress embed` without a device: what it refuses, and how it shows what it got."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from runtime.native.cli import app
from runtime.native.embed import print_similarities, write_vectors

ANSWER = {"data": [{"embedding": [3.0, 0.0]}, {"embedding": [0.0, 2.0]}, {"embedding": [1.0, 1.0]}]}


def test_texts_must_be_given() -> None:
    result = CliRunner().invoke(app, ["embed", "vectors"])
    assert result.exit_code == 2
    assert "give texts" in result.output


def test_similarities_are_cosines_whatever_the_lengths(capsys: pytest.CaptureFixture[str]) -> None:
    print_similarities(["one", "two", "x" * 80], ANSWER)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["1", "one", "1.000", "0.000", "0.707"]
    assert "x" * 39 + "…" in lines[3] and "x" * 40 not in lines[3]


def test_vectors_are_written_as_float32(tmp_path: Path) -> None:
    assert write_vectors(ANSWER, tmp_path / "v.npy") == (3, 2)
    found = np.load(tmp_path / "v.npy")
    assert found.dtype == np.float32 and found[0].tolist() == [3.0, 0.0]
