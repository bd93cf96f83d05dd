"""The reference host: the same Relax module, compiled by TVM for the processor, run with numpy.

It shares the operators and the weights with the plans, and none of the kernels, the linearizer
or the executors: what both agree on is right.
"""

# mypy: disable-error-code="attr-defined"

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm
from tvm import relax
from tvm.target import Target

from runtime.manifest import Manifest, Registry
from runtime.weights import WeightIndex

from .errors import HubError
from .families import FAMILIES
from .families.family import ModuleShape
from .passes import with_bounds
from .schemes import SCHEMES, Scheme

Array = npt.NDArray[Any]
TARGET = {"kind": "llvm", "mtriple": "x86_64-unknown-linux-gnu"}


class Reference:
    """A model on the processor, one sequence, with its own paged cache."""

    def __init__(
        self,
        family: str,
        config: Mapping[str, Any],
        scheme: Scheme,
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
        self._device = tvm.cpu()
        self._machine = relax.VirtualMachine(_compile(module.ir, context, pages), self._device)
        self._inputs = module.inputs
        self._weights = {name: self._tensor(array) for name, array in tensors.items()}
        self._caches = {
            buffer.name: self._tensor(np.zeros(_cache_shape(buffer, module, pages), _KV[kv_dtype]))
            for buffer in module.caches
        }
        # Pages in reverse order: an executor that ignores the page table cannot agree.
        self._table = self._tensor(np.arange(pages, dtype=np.int32)[::-1].copy())

    def _tensor(self, array: Array) -> Any:
        return tvm.runtime.tensor(np.ascontiguousarray(array), self._device)

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
            "tokens": self._tensor(np.asarray(tokens, np.int32)),
        }
        fixed["token"] = fixed["tokens"]
        values = {**self._weights, **self._caches, **fixed}
        results = self._machine[entry](*(values[name] for name in self._inputs[entry]))
        logits: Array = results[0].numpy()
        return logits[0]

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
    dims = module.ir["decode"].params[index].ty.shape
    return (pages, *(int(dim) for dim in list(dims)[1:]))


def _compile(ir: Any, context: int, pages: int) -> Any:
    target = Target({"kind": "llvm"})
    bounds = {"n": context, "pos": context, "pages": pages}
    return tvm.compile(with_bounds(ir, bounds), target=target)


def greedy(
    family: str,
    config: Mapping[str, Any],
    scheme: Scheme,
    tensors: Mapping[str, Array],
    prompt: Sequence[int],
    count: int,
) -> list[int]:
    """Golden tokens: the greedy continuation of `prompt`."""
    reference = Reference(family, config, scheme, tensors, context=len(prompt) + count)
    return reference.greedy(prompt, count)
