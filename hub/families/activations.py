"""The activations that config.json may name, by what the operators call them."""

from __future__ import annotations

from ..errors import UnsupportedError
from .family import Reader

GELU = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
}
"""All names of the two: transformers keeps several that differ in how they are evaluated."""


def read_gelu(reader: Reader, key: str, default: str) -> str:
    """The GELU that `key` names, `default` where it is absent; UnsupportedError for another."""
    name = reader.take(key, str, default)
    if name not in GELU:
        raise UnsupportedError(
            f"config.json: {key} = {name!r} is not supported by the family {reader.family!r} "
            f"(supported: {', '.join(map(repr, GELU))})"
        )
    return GELU[name]
