"""Storage over a folder: nothing unverified leaves it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from runtime.errors import ModelpressError
from runtime.manifest import File
from runtime.native.storage import FolderStorage
from runtime.weights import Chunk


def put(folder: Path, path: str, data: bytes) -> str:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(data)
    return hashlib.sha256(data).hexdigest()


async def test_files_and_chunks_are_read_and_checked(tmp_path: Path) -> None:
    digest = put(tmp_path, "a/b.txt", "grün".encode())
    storage = FolderStorage(tmp_path)
    assert await storage.text(File("a/b.txt", 5, digest)) == "grün"
    chunk = Chunk(hashlib.sha256(b"1234").hexdigest(), 0, 4)
    put(tmp_path, chunk.path, b"1234")
    assert await storage.chunk(chunk) == b"1234"


@pytest.mark.parametrize("data", [b"1235", b"123", b""])
async def test_a_corrupted_chunk_is_an_integrity_error_that_names_it(
    tmp_path: Path, data: bytes
) -> None:
    chunk = Chunk(hashlib.sha256(b"1234").hexdigest(), 0, 4)
    put(tmp_path, chunk.path, data)
    with pytest.raises(ModelpressError, match="corrupted") as caught:
        await FolderStorage(tmp_path).chunk(chunk)
    assert (caught.value.code, caught.value.details["path"]) == ("integrity", chunk.path)


async def test_a_missing_hub_says_how_to_build_one(tmp_path: Path) -> None:
    with pytest.raises(ModelpressError, match="modelpress build") as caught:
        await FolderStorage(tmp_path).registry()
    assert (caught.value.code, caught.value.details["status"]) == ("network", 404)


async def test_a_folder_where_a_file_should_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "registry.json").mkdir()
    with pytest.raises(ModelpressError, match="cannot be read"):
        await FolderStorage(tmp_path).registry()


async def test_bytes_that_are_no_text_are_an_integrity_error(tmp_path: Path) -> None:
    digest = put(tmp_path, "x.json", b"\xff\xfe")
    with pytest.raises(ModelpressError, match="not UTF-8") as caught:
        await FolderStorage(tmp_path).text(File("x.json", 2, digest))
    assert caught.value.code == "integrity"
