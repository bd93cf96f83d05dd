"""A folder is a site only when everything its registry promises is in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from publish.errors import SiteError
from publish.site import read_site
from runtime.progress import Progress, ignore_progress
from runtime.weights import blob_path


def test_every_file_is_read_with_its_size_and_digest(site: Path) -> None:
    seen: list[Progress] = []
    found = read_site(site, seen.append)
    files = {p.relative_to(site).as_posix() for p in site.rglob("*") if p.is_file()}
    assert set(found.files) == files
    assert seen[-1].done == seen[-1].total == sum(c.nbytes for c in found.files.values())


def test_what_a_desktop_leaves_behind_is_not_published(site: Path) -> None:
    (site / "engine" / ".DS_Store").write_bytes(b"litter")
    assert "engine/.DS_Store" not in read_site(site, ignore_progress).files


@pytest.mark.parametrize(
    "name", ["manifest.json", "weights.json", "plan.base.json", "tokenizer.json"]
)
def test_a_missing_part_of_a_model_is_named(site: Path, name: str) -> None:
    path = f"models/fake/q4/{name}"
    (site / path).unlink()
    with pytest.raises(SiteError, match=path):
        read_site(site, ignore_progress)


def test_a_missing_chunk_is_named(site: Path) -> None:
    chunk = next(p for p in site.glob("blobs/sha256/*/*"))
    chunk.unlink()
    with pytest.raises(SiteError, match=blob_path(chunk.name)):
        read_site(site, ignore_progress)


def test_a_chunk_with_other_bytes_than_its_name_is_refused(site: Path) -> None:
    chunk = next(p for p in site.glob("blobs/sha256/*/*"))
    chunk.write_bytes(b"other")
    with pytest.raises(SiteError, match="bytes of its name"):
        read_site(site, ignore_progress)


def test_a_manifest_the_registry_does_not_mean_is_refused(site: Path) -> None:
    manifest = site / "models/fake/q4/manifest.json"
    manifest.write_text(manifest.read_text().replace("random", "chosen"))
    with pytest.raises(SiteError, match="not the one promised"):
        read_site(site, ignore_progress)


def test_a_damaged_registry_says_where(site: Path) -> None:
    (site / "registry.json").write_text('{"format": 1}')
    with pytest.raises(SiteError, match="missing field 'models'"):
        read_site(site, ignore_progress)


def test_a_folder_without_a_registry_says_which_command_makes_one(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="modelpress site"):
        read_site(tmp_path, ignore_progress)


def test_an_already_published_folder_is_not_a_site(site: Path) -> None:
    (site / "releases").mkdir()
    (site / "releases" / "x.json").write_text("{}")
    with pytest.raises(SiteError, match="belong to publishing"):
        read_site(site, ignore_progress)


def test_a_file_too_large_for_any_host_is_refused(site: Path) -> None:
    with (site / "weights.bin").open("wb") as file:
        file.truncate(129 << 20)
    with pytest.raises(SiteError, match="larger than 128 MiB"):
        read_site(site, ignore_progress)


def test_a_link_to_a_shared_folder_is_followed_and_a_loop_is_refused(
    site: Path, tmp_path: Path
) -> None:
    (site / "blobs").rename(tmp_path / "shared")
    (site / "blobs").symlink_to(tmp_path / "shared")
    assert [p for p in read_site(site, ignore_progress).files if p.startswith("blobs/")]
    (site / "engine" / "loop").symlink_to(site)
    with pytest.raises(SiteError, match="reached twice"):
        read_site(site, ignore_progress)
