"""The number formats of GGUF tensors: their blocks, their values, and what needs no rounding.

`Q4_0` and `Q8_0` hold what the schemes `q4` and `q8` hold, a half and 32 small integers a group in
another order: they are taken over without rounding again. Every other format becomes float32
by the `gguf` package.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import CheckpointError, UnsupportedError
from .integer_groups import nibble_words, square_sum
from .quantize import Packed
from .rounding import Floats
from .safetensors import to_float32
from .schemes import Scheme

Bytes = NDArray[np.uint8]

NAMES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1",
    10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS",
    17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS",
    24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 30: "BF16", 34: "TQ1_0",
    35: "TQ2_0", 39: "MXFP4",
}  # fmt: skip
BLOCKS = {
    "F32": (1, 4),
    "F16": (1, 2),
    "BF16": (1, 2),
    "Q4_0": (32, 18),
    "Q4_1": (32, 20),
    "Q5_0": (32, 22),
    "Q5_1": (32, 24),
    "Q8_0": (32, 34),
    "Q2_K": (256, 84),
    "Q3_K": (256, 110),
    "Q4_K": (256, 144),
    "Q5_K": (256, 176),
    "Q6_K": (256, 210),
    "IQ4_NL": (32, 18),
    "IQ4_XS": (256, 136),
}
"""Elements and bytes of a block, for every format that is read."""
TAKEN = {"Q4_0": "q4", "Q8_0": "q8"}
"""The scheme that holds the same numbers."""


def check_readable(name: str, dtype: str) -> None:
    """UnsupportedError unless tensors of this format can be read."""
    if dtype not in BLOCKS:
        raise UnsupportedError(
            f"tensor {name!r} is {dtype}; this version reads {', '.join(BLOCKS)}: use a file "
            "quantized to one of them"
        )


def dequantized(name: str, dtype: str, raw: Bytes) -> Floats:
    """float32[rows, elements] of raw bytes [rows, bytes]."""
    if dtype in ("F32", "F16", "BF16"):
        return to_float32(np.ascontiguousarray(raw).reshape(-1), dtype).reshape(len(raw), -1)
    with np.errstate(all="ignore"):
        # Damaged scales give NaN or infinity, which the press refuses naming the tensor.
        values: Floats = library().dequantize(raw, library().GGMLQuantizationType[dtype])
    return values.reshape(len(raw), -1)


def packed(name: str, dtype: str, scheme: Scheme, read: Callable[[], Bytes]) -> Packed | None:
    """The raw bytes [rows, bytes] that `read` gives, as `scheme` holds them; None when that takes
    rounding."""
    if TAKEN.get(dtype) != scheme.name:
        return None
    raw = read()
    blocks = raw.reshape(-1, BLOCKS[dtype][1])
    scales = np.ascontiguousarray(blocks[:, :2]).view(np.float16).reshape(-1)
    if not np.isfinite(scales).all():
        raise CheckpointError(
            f"tensor {name!r} holds NaN or infinity; the file is damaged, download it again"
        )
    codes = np.ascontiguousarray(blocks[:, 2:])
    if dtype == "Q8_0":
        integers, main = codes.view(np.int8), codes.view(np.uint32)
    else:
        nibbles = np.concatenate([codes & np.uint8(15), codes >> np.uint8(4)], axis=1)
        integers, main = nibbles.view(np.int8) - np.int8(8), nibble_words(nibbles)
    return Packed(main.reshape(len(raw), -1), scales, 0.0, square_sum(integers, scales))


def library() -> Any:
    """The gguf package; UnsupportedError saying how to install it."""
    try:
        import gguf
    except ModuleNotFoundError as error:
        raise UnsupportedError(
            "reading GGUF files needs the gguf package; run `pip install 'modelpress[gguf]'`"
        ) from error
    return gguf
