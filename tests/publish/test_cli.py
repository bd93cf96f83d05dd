"""The commands as a user meets them: exit codes, tables, plain data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from publish.cli import app
from publish.documents import CHANNEL_PATH
from publish.errors import ReleaseError, TargetError
from tests.publish.fake_site import write_site
from tests.publish.store import Bucket


def run(*arguments: str) -> str:
    """Output of a command that succeeds."""
    result = CliRunner().invoke(app, [*arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def run_json(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


def test_a_dry_run_lists_what_would_happen_and_writes_nothing(site: Path, tmp_path: Path) -> None:
    shown = run("publish", str(tmp_path / "www"), "--site", str(site), "--dry-run")
    assert "Nothing was written" in shown
    assert "index.html" in shown
    assert not (tmp_path / "www").exists()


def test_a_dry_run_names_every_path_for_programs(site: Path, bucket: Bucket) -> None:
    planned = run_json("publish", bucket.target, "--site", str(site), "--dry-run")
    assert bucket.keys() == {}
    done = run_json("publish", bucket.target, "--site", str(site))
    assert done == planned
    assert set(planned["send"]) | set(planned["place"]) < set(bucket.keys())
    assert planned["place"][-1] == "registry.json"


def test_publish_releases_rollback_gc_in_one_sitting(site: Path, bucket: Bucket) -> None:
    first = run_json("publish", bucket.target, "--site", str(site))["release"]
    write_site(site, title="second")
    said = run("publish", bucket.target, "--site", str(site))
    assert "sent 1 blob (" in said
    assert f"{bucket.url}index.html" in said
    listed = run_json("releases", bucket.target)["releases"]
    assert [r["state"] for r in listed] == ["served", "1 back"]
    assert listed[1]["release"] == first
    run("rollback", bucket.target, first[:8])
    assert b"<title>first</title>" in bucket.get("index.html")
    planned = run_json("gc", bucket.target, "--keep", "1", "--dry-run")
    before = bucket.keys()
    done = run_json("gc", bucket.target, "--keep", "1")
    assert done == planned
    assert set(before) - set(bucket.keys()) == set(done["delete"])
    assert "already being served" in run("publish", bucket.target, "--site", str(write_site(site)))


def test_an_unread_target_is_wrong_usage(site: Path) -> None:
    for target in (
        "gs://bucket/site",
        "s3://",
        "s3://bucket/../x",
        "hf://spaces/name",
        "hf://x/a/b",
    ):
        result = CliRunner().invoke(app, ["publish", target, "--site", str(site)])
        assert result.exit_code == 2, target
        assert "is not a target" in result.output


def test_keeping_no_release_is_wrong_usage(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["gc", str(tmp_path), "--keep", "0"]).exit_code == 2


def test_cors_is_only_for_buckets(site: Path, tmp_path: Path) -> None:
    arguments = ["publish", str(tmp_path / "www"), "--site", str(site), "--configure-cors"]
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_nothing_published_yet_is_said(tmp_path: Path) -> None:
    assert "Nothing has been published" in run("releases", str(tmp_path / "www"))
    with pytest.raises(ReleaseError, match="nothing has been published"):
        run("gc", str(tmp_path / "www"))
    assert not (tmp_path / "www").exists()


def test_force_publishes_into_a_folder_in_use(site: Path, tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "mine.txt").write_text("mine")
    with pytest.raises(TargetError, match="--force"):
        run("publish", str(tmp_path / "www"), "--site", str(site))
    run("publish", str(tmp_path / "www"), "--site", str(site), "--force")
    assert (tmp_path / "www" / CHANNEL_PATH).exists()
