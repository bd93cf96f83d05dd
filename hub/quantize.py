"""One weight matrix to the buffers of a scheme, and back.

The layouts are those of `schemes.py`, bit for bit; how integers and scales are chosen is
`rounding.py`'s business. It knows matrices, not models or files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import CheckpointError
from .rounding import GRIDS, Floats, Rounded, ScaleOverflow, round_groups
from .schemes import GROUP, Scheme

Array = NDArray[np.generic]
Words = NDArray[np.uint32]
Halves = NDArray[np.float16]

BLOCK_GROUPS = 8192
"""Groups rounded at once (1 MiB of float32): measured best between call overhead and cache."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Rows of a matrix under a scheme: `main` is its `w` or `q` buffer [rows, words].

    `scales` f16[rows * groups] is not yet paired into words, so that rows packed apart can be
    joined. `error` and `norm` are the sums of (w - Q(w))^2 and w^2.
    """

    main: Array
    scales: Halves | None
    error: float
    norm: float


def quantize(scheme: Scheme, matrix: Floats, name: str = "matrix") -> dict[str, Array]:
    """Buffers of `matrix` [rows, cols] by suffix; CheckpointError names the tensor when it
    holds NaN or infinity, or values that f16 cannot scale."""
    packed = pack_rows(scheme, matrix, name)
    return assemble(scheme, packed.main, packed.scales)


def assemble(scheme: Scheme, main: Array, scales: Halves | None) -> dict[str, Array]:
    """The buffers by suffix, scales paired into words."""
    if scheme.group is None:
        return {"w": main}
    assert scales is not None
    padded = np.zeros(scales.size + scales.size % 2, dtype=np.float16)
    padded[: scales.size] = scales
    return {"q": main, "s": padded.view(np.uint32)}


def dequantize(scheme: Scheme, buffers: Mapping[str, Array], rows: int, cols: int) -> Floats:
    """The float32 values [rows, cols] a shader computes from the buffers."""
    if scheme.name == "f32":
        return np.asarray(buffers["w"], dtype=np.float32).reshape(rows, cols)
    if scheme.name == "f16":
        halves = np.ascontiguousarray(buffers["w"]).view(np.float16)
        return halves.reshape(rows, cols).astype(np.float32)
    groups = rows * cols // GROUP
    raw = np.ascontiguousarray(buffers["q"]).view(np.uint8).reshape(groups, -1)
    scales = np.ascontiguousarray(buffers["s"]).view(np.float16)[:groups].astype(np.float32)
    if scheme.bits == 3:
        integers = _unpack3(np.asarray(buffers["q"], np.uint32).reshape(rows, 3, -1))
    else:
        integers = _unpack4(raw) if scheme.bits == 4 else raw.view(np.int8)
    return (integers.astype(np.float32) * scales[:, None]).reshape(rows, cols)


def pack_rows(scheme: Scheme, rows: Floats, name: str, importance: Floats | None = None) -> Packed:
    """Pack [rows, cols]; CheckpointError as for `quantize`. By `importance` f32[cols], where that
    is known, rounding chooses."""
    if not np.isfinite(rows).all():
        raise CheckpointError(
            f"tensor {name!r} holds NaN or infinity; the checkpoint is damaged, download it again"
        )
    if scheme.name == "f32":
        return Packed(rows, None, 0.0, _square_sum(rows))
    if scheme.group is None:
        return _pack_half(rows, name)
    return _pack_groups(scheme, rows, name, importance)


def _pack_half(rows: Floats, name: str) -> Packed:
    with np.errstate(over="ignore"):
        halves = rows.astype(np.float16)
    if not np.isfinite(halves).all():
        raise _overflow(name, rows, "f16", "build with --scheme f32")
    error = _square_sum(halves.astype(np.float32) - rows)
    return Packed(halves.view(np.uint32), None, error, _square_sum(rows))


def _pack_groups(scheme: Scheme, rows: Floats, name: str, importance: Floats | None) -> Packed:
    count = rows.size // GROUP
    main = np.empty((count, scheme.bits * GROUP // 32), dtype=np.uint32)
    scales = np.empty(count, dtype=np.float16)
    error = 0.0
    groups = rows.reshape(count, GROUP)
    for start, rounded in _round_blocks(scheme, groups, name, importance):
        stop = start + rounded.scales.size
        main[start:stop] = PACKERS[scheme.bits](rounded)
        scales[start:stop] = rounded.scales
        error += _error(rounded, groups[start:stop], importance)
    if scheme.bits == 3:
        main = np.ascontiguousarray(main.reshape(len(rows), -1, 3).swapaxes(1, 2))
    return Packed(main.reshape(len(rows), -1), scales, error, _square_sum(rows))


def _error(rounded: Rounded, groups: Floats, importance: Floats | None) -> float:
    """The sum of squared errors, whatever rounding chose by."""
    if importance is None:
        return float(rounded.error.sum(dtype=np.float64))
    values = rounded.values.T * rounded.scales.astype(np.float32)[:, None]
    return _square_sum(values - groups)


def _round_blocks(
    scheme: Scheme, groups: Floats, name: str, importance: Floats | None
) -> Iterator[tuple[int, Rounded]]:
    for start in range(0, len(groups), BLOCK_GROUPS):
        block = np.ascontiguousarray(groups[start : start + BLOCK_GROUPS].T)
        weights = None
        if importance is not None:
            columns = importance.reshape(-1, GROUP)
            number = np.arange(start, start + block.shape[1]) % len(columns)
            weights = np.ascontiguousarray(columns[number].T)
        try:
            yield start, round_groups(block, GRIDS[scheme.bits], weights)
        except ScaleOverflow as error:
            raise _overflow(name, block, scheme.name, "build with --scheme f32") from error


def _pack4(rounded: Rounded) -> Words:
    """u32[groups, 4]: byte b of word j is element 8j+b below, element 8j+4+b above."""
    return _nibbles(rounded, 8)


def _nibbles(rounded: Rounded, zero: int) -> Words:
    nibbles = (rounded.values + np.int8(zero)).view(np.uint8).reshape(4, 2, 4, -1)
    octets = nibbles[:, 0] | (nibbles[:, 1] << np.uint8(4))
    return np.ascontiguousarray(octets.reshape(16, -1).T).view(np.uint32)


def _unpack4(raw: NDArray[np.uint8]) -> NDArray[np.int8]:
    """int8[groups, 32] from the bytes [groups, 16] of `_pack4`."""
    octets = raw.reshape(-1, 4, 4)
    nibbles = np.stack([octets & np.uint8(15), octets >> np.uint8(4)], axis=2)
    return nibbles.reshape(-1, GROUP).view(np.int8) - np.int8(8)


def _pack3(rounded: Rounded) -> Words:
    """u32[groups, 3]: three words of nibbles, the fourth one bit by bit in their highest bits."""
    words = _nibbles(rounded, 4)
    planes = (words[:, 3:] >> PLANES) & NIBBLE_BIT
    return words[:, :3] | (planes << np.uint32(3))


def _unpack3(words: Words) -> NDArray[np.int8]:
    """int8[groups, 32] from the words [rows, 3, groups of a row] of `_pack3`."""
    words = np.ascontiguousarray(words.swapaxes(1, 2)).reshape(-1, 3)
    planes = ((words >> np.uint32(3)) & NIBBLE_BIT) << PLANES
    own = words & np.uint32(0x77777777)
    whole = np.concatenate([own, np.bitwise_or.reduce(planes, axis=1, keepdims=True)], axis=1)
    return _unpack4(whole.view(np.uint8)) + np.int8(4)


def _pack8(rounded: Rounded) -> Words:
    """u32[groups, 8]: byte b of word i is element 4i+b."""
    return np.ascontiguousarray(rounded.values.T).view(np.uint32)


PACKERS = {3: _pack3, 4: _pack4, 8: _pack8}
PLANES = np.arange(3, dtype=np.uint32)
NIBBLE_BIT = np.uint32(0x11111111)


def _square_sum(x: Floats) -> float:
    flat = x.reshape(-1)
    if not flat.size:
        return 0.0
    # A dot product of float32 would add in another order on another processor's BLAS.
    return float(np.square(flat, dtype=np.float64).sum())


def _overflow(name: str, block: Floats, scheme: str, remedy: str) -> CheckpointError:
    largest = float(np.abs(block).max())
    return CheckpointError(
        f"tensor {name!r} reaches {largest:g}, too large for the f16 numbers of {scheme}; {remedy}"
    )
