"""The reference host of encoders: the same Relax module, compiled by TVM for the processor.

It shares the operators and the weights with the plans, and none of the kernels, the linearizer
or the executors. Texts are computed one at a time, so it knows no layout of several either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.manifest import Embedding, Manifest

from .errors import HubError
from .families import FAMILIES
from .families.family import ModuleShape
from .llvm import machine, read_manifest, stored_model, tensor
from .schemes import Schemes

Array = npt.NDArray[Any]


class EncoderReference:
    """A model of embeddings on the processor."""

    def __init__(
        self,
        family: str,
        config: Mapping[str, Any],
        scheme: Schemes,
        tensors: Mapping[str, Array],
        *,
        embedding: Embedding,
    ) -> None:
        """`tensors` holds every plan weight by buffer name, as `quantize` stores them."""
        length = embedding.max_tokens
        shape = ModuleShape(
            context=length, page_size=1, prefill_chunk=length, kv_dtype="f32", embedding=embedding
        )
        reader = FAMILIES[family]
        module = reader.module(reader.read(config), scheme, shape)
        self._machine = machine(module.ir, {"n": length, "texts": 1})
        self._inputs = module.inputs["encode"]
        self._weights = {name: tensor(array) for name, array in tensors.items()}

    def embed(self, tokens: Sequence[int]) -> Array:
        """f32[width]: the vector of one text, special tokens included in `tokens`."""
        n = len(tokens)
        span = np.array([[0, n]], np.int32)
        rows = {
            "tokens": np.asarray(tokens, np.int32),
            "types": np.zeros(n, np.int32),
            "positions": np.arange(n, dtype=np.int32),
            "spans": np.repeat(span, n, axis=0),
            "texts": span,
        }
        values = {**self._weights, **{name: tensor(a) for name, a in rows.items()}}
        (result,) = self._machine["encode"](*(values[name] for name in self._inputs))
        vector: Array = result.numpy()[0]
        return vector


def open_encoder(
    hub: Path, id: str, scheme: str | None = None
) -> tuple[Manifest, EncoderReference]:
    """A model of a hub folder on the reference host; its chunks are verified as they are read."""
    manifest = read_manifest(hub, id, scheme)
    if manifest.synthetic or manifest.embedding is None:
        what = "without weights" if manifest.synthetic else "for chats, not for embeddings"
        raise HubError(f"{id} was built {what}: there is nothing to compute with")
    return manifest, EncoderReference(*stored_model(hub, manifest), embedding=manifest.embedding)
