"""Chunks: the stream comes back byte for byte, blobs are shared, and failures leave nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from hub import shards
from hub.errors import HubError, OutputError
from hub.shards import ChunkWriter, read_buffers, write_chunks
from hub.stream import PressedBuffer
from runtime.weights import TENSOR_ALIGNMENT, WeightIndex


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(shards, "CHUNK_NBYTES", 1000)
    return 1000


def buffers() -> list[PressedBuffer]:
    random = np.random.default_rng(0)
    words = random.integers(0, 2**32, (40, 30), dtype=np.uint32)
    floats = random.standard_normal(77).astype(np.float32)
    return [
        PressedBuffer("a.q", "u32", words),
        PressedBuffer("a.s", "u32", words[0, :13].copy()),
        PressedBuffer("norm", "f32", floats),
    ]


def blobs(root: Path) -> list[Path]:
    return sorted(path for path in (root / "blobs").rglob("*") if path.is_file())


def test_what_is_written_is_read_back(tmp_path: Path, small_chunks: int) -> None:
    index = write_chunks(buffers(), tmp_path)
    assert len(index.chunks) > 4
    assert max(chunk.nbytes for chunk in index.chunks) == small_chunks
    for wanted, (tensor, data) in zip(buffers(), read_buffers(tmp_path, index), strict=True):
        assert (tensor.name, tensor.dtype, tensor.shape) == (
            wanted.name,
            wanted.dtype,
            wanted.data.shape,
        )
        assert np.array_equal(data, wanted.data)


def test_tensors_are_aligned_and_padded_with_zeros(tmp_path: Path) -> None:
    index = write_chunks(buffers(), tmp_path)
    stream = b"".join((tmp_path / chunk.path).read_bytes() for chunk in index.chunks)
    end = 0
    for tensor in index.tensors:
        assert tensor.offset % TENSOR_ALIGNMENT == 0
        assert set(stream[end : tensor.offset]) <= {0}
        end = tensor.offset + tensor.nbytes
    assert end == len(stream) == index.nbytes


def test_the_index_survives_its_document(tmp_path: Path) -> None:
    index = write_chunks(buffers(), tmp_path)
    assert WeightIndex.loads(index.dumps()) == index


def test_blobs_are_named_by_their_content(tmp_path: Path, small_chunks: int) -> None:
    write_chunks(buffers(), tmp_path)
    for path in blobs(tmp_path):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
        assert path.parent.name == path.name[:2]


def test_blobs_that_are_there_are_not_written_again(tmp_path: Path, small_chunks: int) -> None:
    first = write_chunks(buffers(), tmp_path)
    stamps = [path.stat().st_mtime_ns for path in blobs(tmp_path)]
    assert write_chunks(buffers(), tmp_path) == first
    assert [path.stat().st_mtime_ns for path in blobs(tmp_path)] == stamps


def test_a_failing_writer_takes_its_own_blobs_away(tmp_path: Path, small_chunks: int) -> None:
    write_chunks(buffers()[:1], tmp_path)
    before = blobs(tmp_path)
    with pytest.raises(KeyboardInterrupt), ChunkWriter(tmp_path) as writer:
        for buffer in buffers():
            writer.append(buffer)
        writer.finish()
        assert len(blobs(tmp_path)) > len(before)
        raise KeyboardInterrupt
    assert blobs(tmp_path) == before


def test_a_damaged_chunk_is_named(tmp_path: Path, small_chunks: int) -> None:
    index = write_chunks(buffers(), tmp_path)
    path = tmp_path / index.chunks[1].path
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(HubError, match=rf"{path.name}: chunk is damaged; build"):
        list(read_buffers(tmp_path, index))


def test_a_missing_chunk_is_named(tmp_path: Path, small_chunks: int) -> None:
    index = write_chunks(buffers(), tmp_path)
    path = tmp_path / index.chunks[2].path
    path.unlink()
    with pytest.raises(HubError, match=rf"{path.name}: chunk is missing"):
        list(read_buffers(tmp_path, index))


def test_a_place_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("a file where a folder should be")
    with pytest.raises(OutputError, match="what was built before still serves"):
        write_chunks(buffers(), tmp_path)


def test_a_damaged_blob_is_replaced_and_kept(tmp_path: Path) -> None:
    """A blob of the right size was taken as whole, so building again, the remedy that errors
    name, did not repair a damaged chunk."""
    index = write_chunks(buffers(), tmp_path)
    path = tmp_path / index.chunks[0].path
    whole = path.read_bytes()
    path.write_bytes(bytes(len(whole)))
    with pytest.raises(ZeroDivisionError), ChunkWriter(tmp_path) as writer:
        for buffer in buffers():
            writer.append(buffer)
        writer.finish()
        raise ZeroDivisionError
    assert path.read_bytes() == whole, "others need it, although this build failed"
