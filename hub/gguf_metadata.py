"""The metadata of a GGUF file that describe its model, read strictly.

A key that nobody took would be an option that is computed wrongly without: it is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .errors import UnsupportedError
from .gguf_header import GgufHeader, GgufTensor

HARMLESS = ("vocab_size", "rope.scaling.finetuned", "tensor_data_layout")
"""Keys that do not change what is computed: the tensors tell as much."""


def shortest(value: float) -> float:
    """The shortest decimal that is this float32: 1e-05, not 9.999999747378752e-06."""
    return float(str(np.float32(value)))


class Metadata:
    """The keys of one architecture, without its prefix."""

    def __init__(self, header: GgufHeader) -> None:
        self._header = header
        self.architecture = str(header.metadata.get("general.architecture", ""))
        prefix = f"{self.architecture}."
        self._left = {
            key.removeprefix(prefix): value
            for key, value in header.metadata.items()
            if key.startswith(prefix)
        }

    @property
    def tensors(self) -> Mapping[str, GgufTensor]:
        """The tensors of the file by their names in it."""
        return self._header.tensors

    def has(self, key: str) -> bool:
        """Whether the key is there and not yet taken."""
        return key in self._left

    def take(self, key: str, kind: type, default: Any = ...) -> Any:
        """The value of a key, of type `kind`; UnsupportedError when missing or of another type."""
        value = self._left.pop(key, default)
        if value is ...:
            raise self.refusal(f"lacks {self.architecture}.{key}")
        if value is default:
            return default
        if kind is float and type(value) is int:
            return float(value)
        if type(value) is not kind:
            raise self.refusal(f"has {key} = {value!r}, expected a {kind.__name__}")
        return value

    def size(self, key: str, default: Any = ...) -> int:
        """A whole number, or a list that holds it for every layer alike."""
        value = self._left.get(key)
        if isinstance(value, list):
            if not value or any(item != value[0] for item in value):
                raise self.refusal(f"has layers that differ in {self.architecture}.{key}")
            self._left[key] = value[0]
        number: int = self.take(key, int, default)
        return number

    def expect(self, key: str, *allowed: Any) -> None:
        """The key is absent or one of `allowed`; anything else is not computed."""
        value = self._left.pop(key, allowed[0])
        if value not in allowed:
            raise self.refusal(f"has {self.architecture}.{key} = {value!r}")

    def done(self) -> None:
        """Nothing unknown may be left."""
        left = sorted(set(self._left) - set(HARMLESS))
        if left:
            raise self.refusal(f"has {self.architecture}.{left[0]} = {self._left[left[0]]!r}")

    def refusal(self, what: str) -> UnsupportedError:
        """The error for a file that has, or lacks, `what`."""
        return UnsupportedError(
            f"{self._header.where}: {what}, which this version does not read from GGUF; build from "
            "the model's safetensors instead"
        )
