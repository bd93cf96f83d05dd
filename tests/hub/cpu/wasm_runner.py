"""A module's functions over numpy arrays, on wasmtime: what a kernel's test needs of a host."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import wasmtime
from numpy.typing import NDArray
from tvm import tirx

from hub.cpu.link import ALIGNMENT, Linked, link
from hub.cpu.lower import FEATURES, compile_object

PAGE = 65536


class WasmRunner:
    """One instance of a linked module, its arrays laid out behind its data for every call."""

    def __init__(self, linked: Linked) -> None:
        config = wasmtime.Config()
        config.wasm_relaxed_simd = True
        self._linked = linked
        self._engine = wasmtime.Engine(config)
        self._module = wasmtime.Module(self._engine, linked.single)

    @classmethod
    def of(cls, functions: Mapping[str, tirx.PrimFunc], variant: str = "cpu") -> WasmRunner:
        """Lower, link and load functions by name."""
        return cls(link(compile_object(functions, FEATURES[variant]), tuple(functions)))

    def call(
        self,
        name: str,
        arrays: Sequence[NDArray[Any]],
        scalars: Sequence[int | float] = (),
        *,
        items: int = 1,
        parts: int = 1,
    ) -> list[NDArray[Any]]:
        """Run the items in `parts` contiguous ranges; the arrays as they are afterwards."""
        places, end = self._layout(arrays)
        store = wasmtime.Store(self._engine)
        limits = wasmtime.Limits(-(-end // PAGE), None)
        memory = wasmtime.Memory(store, wasmtime.MemoryType(limits))
        instance = wasmtime.Instance(store, self._module, [memory])
        function = instance.exports(store)[name]
        assert isinstance(function, wasmtime.Func)
        for place, array in zip(places, arrays, strict=True):
            memory.write(store, np.ascontiguousarray(array).tobytes(), place)
        cuts = [items * part // parts for part in range(parts + 1)]
        for begin, stop in itertools.pairwise(cuts):
            function(store, *places, *scalars, begin, stop)
        base = ctypes.addressof(memory.data_ptr(store).contents)
        return [
            np.frombuffer(ctypes.string_at(base + place, array.nbytes), array.dtype)
            .reshape(array.shape)
            .copy()
            for place, array in zip(places, arrays, strict=True)
        ]

    def _layout(self, arrays: Sequence[NDArray[Any]]) -> tuple[list[int], int]:
        places, at = [], self._linked.data_end
        for array in arrays:
            places.append(at)
            at += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
        return places, at
