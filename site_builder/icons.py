"""The site's mark: a page leaving a press, as SVG text and as PNG pixels drawn here.

The mark is a few rounded rectangles in a unit square; both writers draw the same list.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass, replace

Colour = tuple[int, int, int]

GROUND: Colour = (15, 82, 74)
PAPER: Colour = (250, 248, 243)
INK: Colour = (92, 201, 179)


@dataclass(frozen=True, slots=True)
class Box:
    """A rounded rectangle in the unit square."""

    left: float
    top: float
    width: float
    height: float
    radius: float
    colour: Colour

    def coverage(self, x: float, y: float, pixel: float) -> float:
        """Share of the pixel (of width `pixel`) at the centre (x, y) that the box covers.

        From the signed distance to a rounded rectangle, exact along straight edges.
        """
        across = abs(x - self.left - self.width / 2) - self.width / 2 + self.radius
        down = abs(y - self.top - self.height / 2) - self.height / 2 + self.radius
        outside = math.hypot(max(across, 0.0), max(down, 0.0))
        distance = outside + min(max(across, down), 0.0) - self.radius
        return min(1.0, max(0.0, 0.5 - distance / pixel))


MARK = (
    Box(0.19, 0.20, 0.62, 0.13, 0.045, INK),
    Box(0.28, 0.40, 0.44, 0.42, 0.045, PAPER),
    Box(0.36, 0.50, 0.28, 0.05, 0.025, GROUND),
    Box(0.36, 0.59, 0.28, 0.05, 0.025, GROUND),
    Box(0.36, 0.68, 0.16, 0.05, 0.025, GROUND),
)


def svg(*, corner: float = 0.22) -> str:
    """The mark as an SVG document; `corner` is the ground's corner radius."""
    boxes = (Box(0.0, 0.0, 1.0, 1.0, corner, GROUND), *MARK)
    shapes = "".join(
        f'<rect x="{b.left * 512:g}" y="{b.top * 512:g}" width="{b.width * 512:g}" '
        f'height="{b.height * 512:g}" rx="{b.radius * 512:g}" fill="#{bytes(b.colour).hex()}"/>'
        for b in boxes
    )
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 512 512">{shapes}</svg>\n'


def png(size: int, *, corner: float = 0.22) -> bytes:
    """The mark as an RGBA PNG of `size` x `size` pixels."""
    ground = Box(0.0, 0.0, 1.0, 1.0, corner, GROUND)
    return _draw((ground, *MARK), size, size)


def card(width: int = 1200, height: int = 630) -> bytes:
    """The picture shown when a page of the site is shared: the mark in the middle of a field."""
    shift = (width - height) / 2 / height
    field = Box(-1.0, -1.0, 5.0, 5.0, 0.0, GROUND)
    return _draw((field, *(replace(box, left=box.left + shift) for box in MARK)), width, height)


def _draw(boxes: tuple[Box, ...], width: int, height: int) -> bytes:
    rows = b"".join(b"\0" + _row(boxes, width, height, y) for y in range(height))
    return _encode(width, height, rows)


def _row(boxes: tuple[Box, ...], width: int, height: int, y: int) -> bytes:
    """One line of RGBA pixels, painted box over box."""
    row = bytearray(4 * width)
    centre, pixel = (y + 0.5) / height, 1 / height
    for box in boxes:
        if not box.top - pixel < centre < box.top + box.height + pixel:
            continue
        first = max(0, math.floor(box.left * height) - 1)
        last = min(width, math.ceil((box.left + box.width) * height) + 1)
        solid_from = math.ceil((box.left + box.radius) * height) + 1
        solid_to = math.floor((box.left + box.width - box.radius) * height) - 1
        middle = box.coverage(box.left + box.width / 2, centre, pixel)
        for x in range(first, last):
            if max(first, solid_from) <= x < min(last, solid_to) and middle == 1.0:
                continue
            _blend(row, x, box.colour, box.coverage((x + 0.5) / height, centre, pixel))
        begin, end = max(first, solid_from), min(last, solid_to)
        if middle == 1.0 and begin < end:
            row[4 * begin : 4 * end] = bytes((*box.colour, 255)) * (end - begin)
    return bytes(row)


def _blend(row: bytearray, x: int, colour: Colour, alpha: float) -> None:
    """Paint `colour` over pixel `x`; where nothing was painted yet, alpha is kept."""
    if alpha == 0.0:
        return
    below = row[4 * x + 3] / 255
    result = alpha + below * (1 - alpha)
    for i, value in enumerate(colour):
        mixed = (value * alpha + row[4 * x + i] * below * (1 - alpha)) / result
        row[4 * x + i] = round(mixed)
    row[4 * x + 3] = round(255 * result)


def _encode(width: int, height: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    crc = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)
