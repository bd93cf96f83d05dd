"""Kernels of the processor over numpy arrays: all steps of an op, as an executor runs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hub.cpu.kernels import CpuKernel, CpuProfile, CpuSequence, kernel_for
from hub.kernels import Op
from runtime.plan import Expr
from tests.hub.cpu.wasm_runner import WasmRunner

Array = NDArray[Any]
Steps = tuple[tuple[tuple[CpuKernel, tuple[int, ...]], ...], tuple[int | Expr, ...]]
BEHIND = 128
"""Bytes behind every array: kernels read, but never write, that far."""


class Trial:
    """Ops of one profile, compiled into one module; others of the same kernels run too."""

    def __init__(self, ops: Sequence[Op], profile: CpuProfile) -> None:
        self._profile = profile
        parts = [kernel for op in ops for kernel, _ in self._steps(op)[0]]
        variant = "cpu-relaxed" if profile.relaxed else "cpu"
        self._runner = WasmRunner.of({kernel.name: kernel.func for kernel in parts}, variant)

    def _steps(self, op: Op) -> Steps:
        made = kernel_for(op, self._profile)
        assert made is not None, op
        if isinstance(made, CpuSequence):
            return made.kernels, made.scratch
        buffers = len(made.func.params) - len(made.uniforms) - 2
        return ((made, tuple(range(buffers))),), ()

    def run(
        self, op: Op, arrays: Sequence[Array], *, parts: int = 2, **symbols: int
    ) -> list[Array]:
        """The arguments of `op` after its steps, of which each is cut into `parts` ranges."""
        steps, scratch = self._steps(op)
        sizes = [s if isinstance(s, int) else s.evaluate(symbols) for s in scratch]
        # Temporaries hold what was there before.
        state = [*arrays, *(np.full(size, 0x7B, np.uint8) for size in sizes)]
        for kernel, bindings in steps:
            items = kernel.items.evaluate(symbols)
            scalars = [uniform.value.evaluate(symbols) for uniform in kernel.uniforms]
            given = [_padded(state[i]) for i in bindings]
            found = self._runner.call(kernel.name, given, scalars, items=items, parts=parts)
            for place, (i, before, after) in enumerate(zip(bindings, given, found, strict=True)):
                changed = np.flatnonzero(before.view(np.uint8) != after.view(np.uint8))
                written = place in kernel.writes and (changed < state[i].nbytes).all()
                assert written or not len(changed), (kernel.name, place, changed[:5])
                state[i] = _unpadded(after, state[i])
        return state[: len(arrays)]


def _padded(array: Array) -> Array:
    return np.concatenate(
        [np.frombuffer(array.tobytes(), np.uint8), np.full(BEHIND, 0x7B, np.uint8)]
    )


def _unpadded(data: Array, like: Array) -> Array:
    return np.frombuffer(data[: like.nbytes].tobytes(), like.dtype).reshape(like.shape)
