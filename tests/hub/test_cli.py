"""The command line: exit codes, JSON, and errors of one line with their remedy."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import hub.cli
import hub.files
import hub.order
import hub.shards
from hub.audit import read_registry
from hub.errors import CheckpointError, HubError, OutputError, UnsupportedError
from hub.files import read_file
from hub.registry import gather
from tests.hub.fake_toolchain import FAKE_TOOLCHAIN
from tests.reference.tiny import TINY


@pytest.fixture(autouse=True)
def fake_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub.order, "tvm_toolchain", lambda: FAKE_TOOLCHAIN)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield TINY[0].write(tmp_path / "checkpoint")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(hub.cli.app, [str(argument) for argument in arguments])


def run_json(*arguments: object) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_list_names_every_model_and_what_is_built(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "hub"
    run_json("build", "mine", "--checkpoint", folder, "--out", out)
    listed = {row["id"]: row for row in run_json("list", "--hub", out)}
    assert listed["press-guide"]["built"] == []
    assert listed["mine"]["built"] == ["q4"]
    assert listed["llama-3.2-1b-instruct"]["requires_acceptance"] is True
    table = run("list", "--hub", out).output
    assert "llama-3.2-1b-instruct" in table
    assert "accept the licence" in table


def test_a_checkpoint_is_built_under_the_given_name(folder: Path, tmp_path: Path) -> None:
    (built,) = run_json(
        "build", "my-model", "--checkpoint", folder, "--scheme", "q8", "--context", 100,
        "--out", tmp_path / "hub",
    )  # fmt: skip
    assert (built["id"], built["scheme"]) == ("my-model", "q8")
    manifest = json.loads(Path(built["manifest"]).read_text())
    assert manifest["architecture"]["context"] == 100
    assert manifest["source"]["repo"] == "checkpoint"
    assert manifest["licence"]["spdx"] == "NOASSERTION"


def test_several_schemes_share_one_registry_entry(folder: Path, tmp_path: Path) -> None:
    run_json(
        "build", "m", "--checkpoint", folder, "--scheme", "f16", "--scheme", "q4",
        "--out", tmp_path / "hub",
    )  # fmt: skip
    (model,) = gather(tmp_path / "hub", [], {}).models
    assert [item.scheme for item in model.schemes] == ["q4", "f16"]


def test_a_synthetic_build_needs_no_checkpoint(tmp_path: Path) -> None:
    (built,) = run_json("build", "llama-3.1-8b-instruct", "--synthetic", "--out", tmp_path / "hub")
    assert built["weights_nbytes"] == 0
    assert built["quantization"]["relative_error"] is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("build", "gpt-9"), "no model 'gpt-9'"),
        (("build", "press-guide", "--scheme", "q5"), "f32, f16, q8, q4"),
        (("build", "UPPER", "--checkpoint", "x"), "not a model id"),
        (("build", "--checkpoint", "x"), "exactly one ID"),
        (("build", "a", "b", "--repo", "x/y"), "exactly one ID"),
        (("build", "a", "--repo", "x/y", "--synthetic"), "exclude each other"),
        (("build", "a", "--context", "0"), "--context"),
        (("build", "a", "--file", "m.gguf"), "--file names a GGUF file of the --repo"),
        (("build", "a", "--repo", "x/y", "--file", "m.bin"), "names a GGUF file"),
        (("build", "--no-such-option"), "No such option"),
        (("verify",), "Missing argument"),
    ],
)
def test_wrong_usage_exits_with_2(arguments: tuple[str, ...], words: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("build", "m", "--checkpoint", "nowhere"), CheckpointError, "no such folder"),
        (("verify", "m", "--hub", "nowhere"), OutputError, "run `modelpress build` first"),
    ],
)
def test_failures_are_hub_errors_for_main_to_print(
    arguments: tuple[str, ...], error: type[HubError], words: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert isinstance(result.exception, error)
    assert words in str(result.exception)
    assert "\n" not in str(result.exception)


def test_an_unsupported_option_of_config_json_is_named(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_act": "gelu"}))
    result = run("build", "m", "--checkpoint", folder, "--out", tmp_path / "hub")
    assert isinstance(result.exception, UnsupportedError)
    assert "hidden_act" in str(result.exception)
    assert not (tmp_path / "hub").exists()


def test_the_error_of_one_model_keeps_those_built_before(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "hub"
    run_json("build", "good", "--checkpoint", folder, "--out", out)
    (folder / "model.safetensors").write_bytes(b"damaged")
    assert run("build", "good", "--checkpoint", folder, "--out", out).exit_code == 1
    rows = run_json("list", "--hub", out)
    assert [row["built"] for row in rows if row["id"] == "good"] == [["q4"]]


def test_a_scheme_that_fails_leaves_the_registry_true(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registry was written after the last model only, so a failure in the second left the
    first, already swapped in, with a manifest that no longer matched the registry."""
    out = tmp_path / "hub"
    run_json("build", "good", "--checkpoint", folder, "--out", out)
    write_chunk = hub.files.write_blob

    def f32_fills_the_disk(root: Path, data: bytes) -> tuple[str, bool]:
        if len(data) > 500_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write_chunk(root, data)

    monkeypatch.setattr(hub.shards, "write_blob", f32_fills_the_disk)
    result = run(
        "build", "good", "--checkpoint", folder, "--out", out, "--context", 32,
        "--scheme", "q4", "--scheme", "f32",
    )  # fmt: skip
    assert isinstance(result.exception, OutputError), result.output
    (entry,) = read_registry(out).models
    assert [item.scheme for item in entry.schemes] == ["q4"]
    assert b'"context":32' in read_file(out, entry.schemes[0].manifest)


def test_a_neighbour_of_another_format_stops_the_build_before_it_starts(
    folder: Path, tmp_path: Path
) -> None:
    """It stopped the build at its end, between the new folder and the registry, which then named
    a manifest that was gone."""
    out = tmp_path / "hub"
    for name in ("good", "older"):
        run_json("build", name, "--checkpoint", folder, "--out", out)
    older = out / "models/older/q4/manifest.json"
    older.write_text(older.read_text().replace('"format":1', '"format":0'))
    again = ("build", "good", "--checkpoint", folder, "--out", out, "--context", 32)
    assert "remove the folder" in str(run(*again).exception)
    read_file(out, read_registry(out).find("good").schemes[0].manifest)
    run_json("build", "older", "--checkpoint", folder, "--out", out)
    run_json(*again)
