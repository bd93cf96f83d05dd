"""The mark is drawn as valid pictures."""

from __future__ import annotations

import struct
import zlib
from xml.etree import ElementTree

from site_builder.icons import GROUND, PAPER, card, png, svg


def pixels(data: bytes) -> tuple[int, int, list[bytes]]:
    """Width, height and rows of RGBA of a PNG without row filters."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    place, body, size = 8, b"", (0, 0)
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        kind, content = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        (crc,) = struct.unpack(">I", data[place + 8 + length : place + 12 + length])
        assert crc == zlib.crc32(kind + content)
        size = struct.unpack(">II", content[:8]) if kind == b"IHDR" else size
        body += content if kind == b"IDAT" else b""
        place += 12 + length
    raw, stride = zlib.decompress(body), 4 * size[0] + 1
    rows = [raw[i * stride + 1 : (i + 1) * stride] for i in range(size[1])]
    assert all(raw[i * stride] == 0 for i in range(size[1]))
    return size[0], size[1], rows


def test_the_icon_has_its_colours_and_round_corners() -> None:
    width, height, rows = pixels(png(64))
    assert (width, height) == (64, 64)
    assert rows[0][3] == 0
    assert rows[32][:4] == bytes((*GROUND, 255))
    assert rows[50][4 * 40 : 4 * 41] == bytes((*PAPER, 255))


def test_the_icon_for_phones_fills_its_square() -> None:
    _, _, rows = pixels(png(32, corner=0.0))
    assert {row[i] for row in rows for i in range(3, len(row), 4)} == {255}


def test_the_card_has_the_size_previews_ask_for() -> None:
    width, height, rows = pixels(card())
    assert (width, height) == (1200, 630)
    assert rows[0][:4] == bytes((*GROUND, 255))


def test_the_svg_is_xml() -> None:
    assert ElementTree.fromstring(svg()).tag.endswith("svg")
