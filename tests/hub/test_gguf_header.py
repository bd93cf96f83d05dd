"""Damaged and hostile heads of GGUF files are refused, and nothing else happens."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from gguf import GGMLQuantizationType as Kind
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.errors import CheckpointError, HubError
from hub.gguf_header import MAX_ITEMS, parse_header
from hub.gguf_types import BLOCKS
from tests.hub.gguf_files import write_gguf
from tests.reference.tiny import TINY


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    tiny = TINY[0]
    file = tmp_path_factory.mktemp("small") / "m.gguf"
    return write_gguf(file, tiny.config(), tiny.weights(), Kind.Q4_0).read_bytes()


HEAD_NBYTES = 9000
"""Of the file in `small`, without its tensors' data."""


@settings(max_examples=120, deadline=None)
@given(st.integers(0, HEAD_NBYTES), st.binary(min_size=1, max_size=8))
def test_a_damaged_head_is_refused_or_read_and_nothing_else(
    small: bytes, at: int, noise: bytes
) -> None:
    damaged = small[:at] + noise + small[at + len(noise) :]
    _open_bytes(damaged)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, HEAD_NBYTES))
def test_a_head_that_is_cut_short_is_refused(small: bytes, length: int) -> None:
    with pytest.raises(CheckpointError):
        parse_header(_stream(small[:length]), length, "m.gguf")


def _open_bytes(data: bytes) -> None:
    try:
        header = parse_header(_stream(data), len(data), "m.gguf")
    except HubError:
        return
    for tensor in header.tensors.values():
        assert tensor.offset >= 0
        if tensor.dtype in BLOCKS:
            assert tensor.offset + tensor.nbytes <= len(data)


def _stream(data: bytes) -> Any:
    return io.BytesIO(data)


def _heads() -> Iterator[tuple[bytes, str]]:
    start = b"GGUF" + struct.pack("<I", 3)
    yield b"GGML" + bytes(20), "not a GGUF file"
    yield b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "GGUF version 1"
    yield b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "GGUF version 50331648"
    yield start + struct.pack("<QQ", 1 << 60, 0), f"announces {1 << 60} items"
    yield start + struct.pack("<QQ", 0, MAX_ITEMS), f"announces {MAX_ITEMS} items"
    key = struct.pack("<QQ", 0, 1) + struct.pack("<Q", 1) + b"k"
    yield start + key + struct.pack("<IIQ", 9, 9, 1) + bytes(8), "an array of type 9"
    yield start + key + struct.pack("<IQ", 8, 1 << 62), f"announces {1 << 62} items"
    yield start + key + struct.pack("<IQ", 8, 1) + b"\xff", "no UTF-8"
    yield start + key + struct.pack("<I", 77), "unknown type 77"


@pytest.mark.parametrize(("head", "words"), list(_heads()))
def test_counts_and_types_are_checked_before_they_are_used(head: bytes, words: str) -> None:
    padded = head + bytes(16)
    with pytest.raises(CheckpointError) as caught:
        parse_header(_stream(padded), len(padded), "m.gguf")
    assert words in str(caught.value)
