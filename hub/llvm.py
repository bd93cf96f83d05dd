"""The reference host: the same Relax module, compiled by TVM for the processor, run with numpy.

It shares the operators and the weights with the plans, and none of the kernels, the linearizer
or the executors: what both agree on is right.
"""

# mypy: disable-error-code="attr-defined"

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm
from tvm import relax, tirx
from tvm.target import Target

from runtime.manifest import Manifest, Registry
from runtime.weights import WeightIndex

from .errors import HubError
from .families import FAMILIES
from .families.family import ModuleShape
from .files import read_file
from .passes import with_bounds
from .schemes import Schemes, stored_schemes
from .shards import read_buffers

Array = npt.NDArray[Any]


class Reference:
    """A model on the processor, one sequence, with its own paged cache."""

    def __init__(
        self,
        family: str,
        config: Mapping[str, Any],
        scheme: Schemes,
        tensors: Mapping[str, Array],
        *,
        context: int,
        page_size: int = 16,
        kv_dtype: str = "f32",
    ) -> None:
        """`tensors` holds every plan weight by buffer name, as `quantize` stores them."""
        shape = ModuleShape(
            context=context, page_size=page_size, prefill_chunk=context, kv_dtype=kv_dtype
        )
        reader = FAMILIES[family]
        module = reader.module(reader.read(config), scheme, shape)
        pages = -(-context // page_size)
        self._machine = machine(module.ir, {"n": context, "pos": context, "pages": pages})
        self._inputs = module.inputs
        self._weights = {name: tensor(array) for name, array in tensors.items()}
        self._caches = {
            buffer.name: tensor(np.zeros(_cache_shape(buffer, module, pages), _KV[kv_dtype]))
            for buffer in module.caches
        }
        # Pages in reverse order: an executor that ignores the page table cannot agree.
        self._table = tensor(np.arange(pages, dtype=np.int32)[::-1].copy())

    def prefill(self, tokens: Sequence[int], pos: int) -> Array:
        """logits f32[vocab] of the last of `tokens`, which start at position `pos`."""
        return self._run("prefill", tokens, pos)

    def decode(self, token: int, pos: int) -> Array:
        """logits f32[vocab] after one more token."""
        return self._run("decode", [token], pos)

    def _run(self, entry: str, tokens: Sequence[int], pos: int) -> Array:
        fixed = {
            "pos": tvm.runtime.ShapeTuple([pos]),
            "page_table": self._table,
            "tokens": tensor(np.asarray(tokens, np.int32)),
        }
        fixed["token"] = fixed["tokens"]
        values = {**self._weights, **self._caches, **fixed}
        results = self._machine[entry](*(values[name] for name in self._inputs[entry]))
        logits: Array = results[0].numpy()[0]
        return logits

    def logits(self, tokens: Sequence[int]) -> Array:
        """f32[len(tokens), vocab]: the logits of every position, token by token."""
        return np.stack([self.decode(token, pos) for pos, token in enumerate(tokens)])

    def greedy(self, prompt: Sequence[int], count: int) -> list[int]:
        """`count` tokens after `prompt`, each the lowest index among the largest logits."""
        logits = self.prefill(prompt, 0)
        tokens: list[int] = []
        for pos in range(len(prompt), len(prompt) + count):
            tokens.append(int(np.argmax(logits)))
            if len(tokens) < count:
                logits = self.decode(tokens[-1], pos)
        return tokens


_KV = {"f32": np.float32, "f16": np.float16}


def _cache_shape(buffer: Any, module: Any, pages: int) -> tuple[int, ...]:
    """The shape the Relax function declares for a cache, with `pages` filled in."""
    index = module.inputs["decode"].index(buffer.name)
    first, *others = module.ir["decode"].params[index].ty.shape
    paged = isinstance(first, tirx.Var)
    return (pages if paged else int(first), *(int(dim) for dim in others))


def machine(ir: Any, bounds: Mapping[str, int]) -> Any:
    """The functions of a Relax module compiled for the processor; symbols are at most `bounds`."""
    compiled = tvm.compile(with_bounds(ir, bounds), target=Target({"kind": "llvm"}))
    return relax.VirtualMachine(compiled, tvm.cpu())


def tensor(array: Array) -> Any:
    """An array as such a function takes it."""
    return tvm.runtime.tensor(np.ascontiguousarray(array), tvm.cpu())


def open_built(hub: Path, id: str, scheme: str | None = None) -> tuple[Manifest, Reference]:
    """A model of a hub folder on the reference host; its chunks are verified as they are read."""
    manifest = read_manifest(hub, id, scheme)
    if manifest.synthetic:
        raise HubError(f"{id} was built without weights: there is nothing to compute with")
    if manifest.task != "chat":
        raise HubError(f"{id} is a model of embeddings: it has no logits")
    reference = Reference(*stored_model(hub, manifest), context=manifest.architecture.context)
    return manifest, reference


def stored_model(
    hub: Path, manifest: Manifest
) -> tuple[str, Mapping[str, Any], Schemes, Mapping[str, Array]]:
    """Family, config.json, schemes and tensors of a built model: what a reference is made of."""
    index = WeightIndex.loads(read_file(hub, manifest.weights), manifest.weights.path)
    return (
        manifest.architecture.family,
        json.loads(read_file(hub, manifest.files["config.json"])),
        stored_schemes(manifest.quantization),
        {stored.name: data for stored, data in read_buffers(hub, index)},
    )


def read_manifest(hub: Path, id: str, scheme: str | None) -> Manifest:
    """The manifest of a built model; HubError when the hub or the scheme is not there."""
    path = hub / "registry.json"
    if not path.is_file():
        raise HubError(f"{hub} holds no registry.json: build one with `modelpress build`")
    entry = Registry.loads(path.read_bytes(), str(path)).find(id)
    schemes = {item.scheme: item for item in entry.schemes}
    chosen = entry.schemes[0] if scheme is None else schemes.get(scheme)
    if chosen is None:
        raise HubError(f"{id} is not built in {scheme!r}; there are: {', '.join(schemes)}")
    return Manifest.loads(read_file(hub, chosen.manifest), chosen.manifest.path)


def logits(hub: Path, id: str, scheme: str | None, tokens: Sequence[int]) -> Array:
    """f32[len(tokens), vocab]: what `modelpress logits --host llvm` writes."""
    manifest, reference = open_built(hub, id, scheme)
    vocab = manifest.architecture.vocab_size
    if not tokens or not all(0 <= token < vocab for token in tokens):
        raise HubError(f"tokens must be 1 or more ids from 0 to {vocab - 1}")
    if len(tokens) > manifest.architecture.context:
        raise HubError(f"{len(tokens)} tokens pass the context of {manifest.architecture.context}")
    return reference.logits(tokens)
