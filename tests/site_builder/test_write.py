"""Building: the old site serves until the new one is whole."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from runtime import codec
from site_builder import write
from site_builder.build import build_site
from site_builder.errors import OutputError, SiteError
from site_builder.shell import Shell
from tests.site_builder.fake_engine import build_fake_engine
from tests.site_builder.fake_hub import write_hub


def build(folder: Path) -> Path:
    build_site(folder / "hub", folder / "site", build_engine=build_fake_engine)
    return folder / "site"


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_a_site_has_what_its_shell_lists_and_all_of_the_hub(tmp_path: Path) -> None:
    hub = write_hub(tmp_path / "hub")
    site = build(tmp_path)
    shell = codec.loads(Shell, (site / "shell.json").read_text(), "shell.json")
    for file in shell.files:
        assert (site / file.path).stat().st_size == file.nbytes
    assert {"index.html", "chat/index.html", "engine/client.js"} <= {f.path for f in shell.files}
    assert (site / "sw.js").is_file()
    for path in hub.rglob("*"):
        if path.is_file():
            assert (site / path.relative_to(hub)).read_bytes() == path.read_bytes()


def test_building_again_replaces_the_site_and_leaves_nothing_behind(tmp_path: Path) -> None:
    write_hub(tmp_path / "hub")
    first = {p: p.read_bytes() for p in build(tmp_path).rglob("*") if p.is_file()}
    (tmp_path / "site" / "stray.txt").write_text("from before")
    second = {p: p.read_bytes() for p in build(tmp_path).rglob("*") if p.is_file()}
    assert first == second
    assert not leftovers(tmp_path)


def test_a_failure_leaves_the_old_site_as_it_was(tmp_path: Path) -> None:
    write_hub(tmp_path / "hub")
    site = build(tmp_path)
    before = {p: p.read_bytes() for p in site.rglob("*") if p.is_file()}

    def full_disk(out: Path) -> None:
        out.mkdir()
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OutputError, match=r"is full.*old site still serves"):
        build_site(tmp_path / "hub", site, build_engine=full_disk)
    assert {p: p.read_bytes() for p in site.rglob("*") if p.is_file()} == before
    assert not leftovers(tmp_path)


def test_an_engine_without_its_parts_is_refused(tmp_path: Path) -> None:
    write_hub(tmp_path / "hub")
    with pytest.raises(SiteError, match=r"left no client\.js"):
        build_site(tmp_path / "hub", tmp_path / "site", build_engine=lambda out: out.mkdir())


def test_a_folder_that_is_no_site_is_not_replaced(tmp_path: Path) -> None:
    write_hub(tmp_path / "hub")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="is not a site"):
        build(tmp_path)
    assert (tmp_path / "site" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("out", ["hub", "hub/site", "."])
def test_a_site_and_its_hub_may_not_lie_in_each_other(tmp_path: Path, out: str) -> None:
    hub = write_hub(tmp_path / "hub")
    with pytest.raises(OutputError, match="lie in each other"):
        build_site(hub, tmp_path / out, build_engine=build_fake_engine)


def test_files_are_copied_where_the_disk_has_no_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_disk(source: object, target: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", other_disk)
    hub = write_hub(tmp_path / "hub")
    site = build(tmp_path)
    assert (site / "registry.json").read_bytes() == (hub / "registry.json").read_bytes()
    assert (site / "registry.json").stat().st_ino != (hub / "registry.json").stat().st_ino


def test_when_the_swap_fails_the_old_site_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "site", tmp_path / "new"
    old.mkdir()
    (old / "index.html").write_text("old")
    with pytest.raises(OutputError):
        write.swap(new, old)
    assert (old / "index.html").read_text() == "old"


def test_the_summary_is_data_for_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from site_builder import cli

    monkeypatch.setattr(cli, "_build_engine", build_fake_engine)
    hub, out = write_hub(tmp_path / "hub"), tmp_path / "site"
    arguments = ["site", "--hub", str(hub), "--out", str(out), "--strict", "--json"]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    files = [path for path in out.rglob("*") if path.is_file()]
    assert data["files"] == len(files)
    assert data["nbytes"] == sum(path.stat().st_size for path in files)


def test_a_disk_that_fills_while_the_engine_is_copied_says_so(tmp_path: Path) -> None:
    """copytree gathers its errors in one without a number: the message was a page of paths."""
    gathered = shutil.Error([("a", "b", f"[Errno {errno.ENOSPC}] No space left: 'a' -> 'b'")])
    assert "is full; free some space" in str(write.translate(gathered, tmp_path))
