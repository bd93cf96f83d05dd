"""A model's graph, walked operator by operator on this processor, one block of a matrix at a time.

It reads the Relax function that the plans are compiled from. Products are numpy's, in float32, on
rows that are read when they are needed, so a model of any size fits; every other operator is its
own PrimFunc, compiled for this processor. Whoever asks sees the rows that meet each matrix.
It knows neither how weights are stored nor what is done with what it computes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tvm
from numpy.typing import NDArray
from tvm import relax, tirx
from tvm.target import Target

from .errors import UnsupportedError
from .families.family import Family, ModuleShape
from .kernels.reference import activated
from .quantize import quantize
from .rounding import Floats
from .schemes import SCHEMES
from .straight_line import Call, Use, read_calls
from .weight_specs import Part, WeightSpec

Array = NDArray[Any]
Observe = Callable[[str, Floats], None]
"""Told the name of a matrix and the rows f32[n, cols] it is multiplied by."""

BLOCK_ELEMENTS = 1 << 22
PAGE_SIZE = 16
ENTRY = "prefill"
F32 = SCHEMES["f32"]


class WeightRows(Protocol):
    """Where the weights of a walk come from."""

    def rows(self, spec: WeightSpec, start: int, stop: int) -> Floats:
        """Rows [start, stop) of a matrix, or of a vector or a rotary table as plans have it."""
        ...


@dataclass(frozen=True, slots=True)
class _Stored:
    """Rows of a weight that nobody has read yet; `suffix` names its buffer."""

    spec: WeightSpec
    part: Part
    suffix: str


class Walk:
    """One sequence through one model."""

    def __init__(
        self,
        family: Family,
        config: Any,
        weights: WeightRows,
        *,
        context: int,
        tokens: int,
    ) -> None:
        """`config` is as the family reads it; `context` what the model is built for, of which
        this sequence uses at most `tokens`. UnsupportedError for a model that continues nothing."""
        shape = ModuleShape(
            context=context, page_size=PAGE_SIZE, prefill_chunk=context, kv_dtype="f32"
        )
        module = family.module(config, F32, shape)
        if ENTRY not in module.inputs:
            raise UnsupportedError("this model continues no texts, so it cannot be walked")
        self._ir = relax.transform.LegalizeOps()(module.ir)
        self._calls, self._result = read_calls(self._ir, ENTRY, module.inputs[ENTRY])
        self._pages = -(-tokens // PAGE_SIZE)
        self._fixed: dict[str, Any] = dict(_stored(family.weights(config, context)))
        self._fixed["page_table"] = tvm.runtime.tensor(np.arange(self._pages, dtype=np.int32))
        names = {buffer.name for buffer in module.caches}
        self._caches = {
            name: self._dims(param)
            for param, name in zip(self._ir[ENTRY].params, module.inputs[ENTRY], strict=True)
            if name in names
        }
        self._weights = weights
        self._observe: Observe | None = None
        self._compiled: dict[str, Any] = {}
        self._vectors: dict[str, Any] = {}
        self.restart()

    def _dims(self, cache: Any) -> tuple[int, ...]:
        """Of pages, or of a state whose places are fixed."""
        first, *others = cache.ty.shape
        paged = isinstance(first, tirx.Var)
        return (self._pages if paged else int(first), *(int(dim) for dim in others))

    def over(self, weights: WeightRows, observe: Observe | None = None) -> Walk:
        """The same model with other weights, at the beginning of a sequence."""
        other = copy.copy(self)
        other._weights, other._observe = weights, observe
        other._fixed, other._vectors = dict(self._fixed), {}
        other.restart()
        return other

    def restart(self) -> None:
        """Forget the sequence."""
        for name, dims in self._caches.items():
            self._fixed[name] = tvm.runtime.tensor(np.zeros(dims, np.float32))

    def logits(self, tokens: Sequence[int], pos: int = 0) -> Floats:
        """f32[len(tokens), vocab]: after each of `tokens`, of which the first is at `pos`."""
        values: dict[Use, Any] = {"tokens": np.asarray(tokens, np.int32)}
        values.update(self._fixed)
        symbols = {"n": len(tokens), "pos": pos, "pages": self._pages}
        for call in self._calls:
            args = [
                values[arg] if isinstance(arg, str | tuple) else arg.evaluate(symbols)
                for arg in call.args
            ]
            values.update(zip(call.results, self._run(call, args), strict=True))
        return _array(values[self._result])

    def _run(self, call: Call, args: list[Any]) -> Sequence[Any]:
        own = OWN.get(call.operator)
        if own is not None and sum(map(_is_matrix, args)) <= 1:
            place = call.places[0]
            return (own(self, call.attrs, args, args[place] if place >= 0 else None),)
        given = [self._tensor(arg) for arg in args]
        fresh = [tvm.runtime.tensor(np.empty(shape, dtype)) for shape, dtype in call.shapes(given)]
        self._function(call.function)(*given, *fresh)
        left = iter(fresh)
        return [next(left) if place < 0 else given[place] for place in call.places]

    def _function(self, name: str) -> Any:
        if name not in self._compiled:
            func = self._ir[name].with_attr("global_symbol", name)
            module = tvm.IRModule({name: func})
            self._compiled[name] = tvm.compile(module, target=Target({"kind": "llvm"}))[name]
        return self._compiled[name]

    def _tensor(self, value: Any) -> Any:
        if isinstance(value, _Stored):
            return self._weight(value)
        return tvm.runtime.tensor(value) if isinstance(value, np.ndarray) else value

    def _weight(self, stored: _Stored) -> Any:
        """A weight as a tensor; all but matrices are small and kept."""
        if _is_matrix(stored):
            return tvm.runtime.tensor(np.ascontiguousarray(self._read(stored)))
        name = stored.spec.name
        if name not in self._vectors:
            self._vectors[name] = tvm.runtime.tensor(np.ascontiguousarray(self._read(stored)))
        return self._vectors[name]

    def _read(self, stored: _Stored) -> Array:
        spec, part = stored.spec, stored.part
        rows = self._weights.rows(spec, part.start, part.start + part.rows)
        if spec.kind != "matrix":
            return rows
        return quantize(spec.scheme(F32), rows, spec.name)[stored.suffix]

    # --- operators that numpy does ---

    def _product(self, x: Floats, stored: _Stored) -> Floats:
        """x @ W^T, the rows of W read block by block."""
        spec, part = stored.spec, stored.part
        if self._observe is not None and part.start == 0:
            self._observe(spec.name, x)
        result = np.empty((len(x), part.rows), np.float32)
        step = max(1, BLOCK_ELEMENTS // spec.cols)
        for start in range(0, part.rows, step):
            stop = min(start + step, part.rows)
            block = self._weights.rows(spec, part.start + start, part.start + stop)
            # A library of products would start threads for a single row.
            part_of = np.einsum("k,rk->r", x[0], block) if len(x) == 1 else x @ block.T
            result[:, start:stop] = part_of
        return result

    def _matmul(self, attrs: Mapping[str, Any], args: list[Any], out: Any) -> Array:
        product = self._product(_array(args[0]), args[1])
        extras = [_array(self._tensor(arg)) for arg in (args[2:] if out is None else args[2:-1])]
        columns = slice(attrs["start"], attrs["start"] + attrs["rows"])
        if attrs.get("bias"):
            product += extras.pop(0)[columns]
        if attrs.get("activation"):
            product = activated(attrs["activation"], product)
        if attrs.get("softcap"):
            product = attrs["softcap"] * np.tanh(product / attrs["softcap"])
        if attrs["epilogue"] == "add":
            product = product + extras.pop(0)[:, columns]
        whole = np.empty((len(product), attrs["out_cols"]), np.float32) if out is None else out
        whole[:, columns] = product
        return whole

    def _gate_up(self, attrs: Mapping[str, Any], args: list[Any], out: Any) -> Array:
        gate, up = np.split(self._product(_array(args[0]), args[1]), 2, axis=1)
        return np.asarray(activated(attrs["activation"], gate) * up, np.float32)

    def _expert_gate_up(self, attrs: Mapping[str, Any], args: list[Any], out: Any) -> Array:
        (x, ids), spec, span = map(_array, args[:2]), args[2].spec, attrs["features"]
        if self._observe is not None and attrs["start"] == 0:
            self._observe(spec.name, x)
        whole = np.zeros((len(x), ids.shape[1] * span), np.float32) if out is None else out
        spans = whole.reshape(*ids.shape, span)
        for places, block in self._chosen(ids, args[2], attrs, 2 * span):
            gate, up = np.split(x[places[0]] @ block.T, 2, axis=1)
            spans[places] = activated(attrs["activation"], gate) * up
        return whole

    def _expert_down(self, attrs: Mapping[str, Any], args: list[Any], out: Any) -> Array:
        hidden, ids, shares = map(_array, args[:3])
        spans = hidden.reshape(*ids.shape, -1) * shares[:, :, None]
        if self._observe is not None and attrs["start"] == 0:
            self._observe(args[3].spec.name, spans.reshape(ids.size, -1))
        whole = _array(self._tensor(args[4])).copy() if out is None else out
        for places, block in self._chosen(ids, args[3], attrs, attrs["rows"]):
            # A token has an expert once, so no row is added to twice here.
            whole[places[0]] += spans[places] @ block.T
        return whole

    def _chosen(
        self, ids: Array, stored: _Stored, attrs: Mapping[str, Any], unit: int
    ) -> Iterator[tuple[tuple[Array, ...], Floats]]:
        """(tokens, places among their ids) and the rows of each expert that a part holds and a
        token has chosen."""
        start, first = attrs["start"], stored.part.start
        for expert in np.unique(ids).tolist():
            if start <= expert < start + attrs["experts"]:
                row = first + (expert - start) * unit
                block = self._weights.rows(stored.spec, row, row + unit)
                yield np.nonzero(ids == expert), block

    def _embedding(self, attrs: Mapping[str, Any], args: list[Any], out: Any) -> Array:
        ids, spec, start = _array(args[0]), args[1].spec, attrs["start"]
        found = np.zeros((len(ids), spec.cols), np.float32) if out is None else out
        for i, row in enumerate(np.clip(ids, 0, attrs["total"] - 1).tolist()):
            if start <= row < start + attrs["rows"]:
                found[i] = self._weights.rows(spec, row, row + 1)[0] * attrs.get("scale", 1.0)
        return found

    def _every_row(self, attrs: Mapping[str, Any], args: list[Any], out: Any) -> Any:
        """In place of the last row: logits are wanted after every token."""
        return args[0]


OWN: Mapping[str, Callable[[Walk, Mapping[str, Any], list[Any], Any], Any]] = {
    "matmul": Walk._matmul,
    "gate_up": Walk._gate_up,
    "embedding": Walk._embedding,
    "expert_gate_up": Walk._expert_gate_up,
    "expert_down": Walk._expert_down,
    "last_row": Walk._every_row,
}


def _stored(specs: Sequence[WeightSpec]) -> Any:
    """(plan buffer, what lies in it) of every weight, matrices under `f32`."""
    for spec in specs:
        if spec.kind != "matrix":
            rows = spec.rope.length if spec.rope is not None else spec.rows
            yield spec.name, _Stored(spec, Part(spec.name, 0, rows), "")
            continue
        for part in spec.parts(F32):
            for suffix, _, _ in spec.scheme(F32).buffers(part.rows, spec.cols):
                yield f"{part.name}.{suffix}", _Stored(spec, part, suffix)


def _is_matrix(value: Any) -> bool:
    return isinstance(value, _Stored) and value.spec.kind == "matrix"


def _array(value: Any) -> Array:
    return value if isinstance(value, np.ndarray) else value.numpy()
