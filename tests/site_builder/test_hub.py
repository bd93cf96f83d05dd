"""Reading a hub: everything a page or the engine will ask for is proved to be there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from site_builder.errors import HubFolderError
from site_builder.hub import check_blobs, read_hub
from tests.site_builder.fake_hub import (
    LICENCE_TEXT,
    SHOWCASE,
    read_registry,
    rename_first,
    write_hub,
    write_registry,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_hub(tmp_path / "hub")


def test_a_hub_is_read_with_every_file_it_names(tmp_path: Path) -> None:
    hub = read_hub(write_hub(tmp_path, SHOWCASE))
    on_disk = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert {file.path for file in (*hub.documents, *hub.blobs)} == on_disk
    assert [model.entry.id for model in hub.models] == [model.id for model in SHOWCASE]
    assert hub.models[0].default.licence_text == LICENCE_TEXT
    check_blobs(hub)


def first_blob(root: Path) -> Path:
    return next(path for path in (root / "blobs").rglob("*") if path.is_file())


def overwrite(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no registry": (lambda root: (root / "registry.json").unlink(), "modelpress build"),
    "registry is no JSON": (
        lambda root: (root / "registry.json").write_text("{"),
        "not valid JSON",
    ),
    "registry of another format": (
        lambda root: (root / "registry.json").write_text('{"format":2,"models":[]}'),
        "reads format 1",
    ),
    "no models": (lambda root: write_registry(root, ()), "lists no model"),
    "a model twice": (
        lambda root: write_registry(root, read_registry(root).models * 2),
        "listed twice",
    ),
    "an id that leaves its folder": (
        lambda root: rename_first(root, "../../outside"),
        "cannot be a folder name",
    ),
    "an id that is a page": (
        lambda root: rename_first(root, "index.html"),
        "cannot be a folder name",
    ),
    "an id that is not the manifest's": (
        lambda root: rename_first(root, "other"),
        "'other' was expected",
    ),
    "a manifest missing": (
        lambda root: (root / "models/press-guide/q4/manifest.json").unlink(),
        "manifest.json: missing",
    ),
    "a plan damaged": (
        lambda root: overwrite(root / "models/press-guide/q4/plan.base.json"),
        "plan.base.json: damaged",
    ),
    "a tokenizer cut": (
        lambda root: (root / "models/press-guide/q4/tokenizer.json").write_bytes(b"{"),
        "1 bytes, 17 expected",
    ),
    "a chunk missing": (lambda root: first_blob(root).unlink(), "missing"),
    "a chunk cut": (lambda root: first_blob(root).write_bytes(b""), "0 bytes"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_hub_is_refused_with_words(root: Path, name: str) -> None:
    damage, words = DAMAGE[name]
    damage(root)
    with pytest.raises(HubFolderError) as caught:
        read_hub(root)
    assert words in str(caught.value)


def test_a_chunk_of_the_right_size_and_wrong_bytes_is_found_by_hashing(root: Path) -> None:
    overwrite(first_blob(root))
    hub = read_hub(root)
    with pytest.raises(HubFolderError, match="damaged"):
        check_blobs(hub)
