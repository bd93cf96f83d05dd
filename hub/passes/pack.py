"""Rewrite a decode entry so that its matrix kernels hand each other packed rows.

A matrix product reads its row packed (see `kernels/packed.py`): whoever computes that row packs it
in the same dispatch, the root mean square norm in between included; where nobody can, a `pack`
dispatch does, a layer norm included. What the library cannot pack stays as it is, so every family
may pass through.

Library calls without a PrimFunc are `call_dps_packed` of a function named `modelpress.<op> <attrs
as JSON>`; the linearizer asks the kernel library for them.
"""

# mypy: disable-error-code="attr-defined"

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tvm import relax

from ..kernels.packed import BLOCK, packed_words
from ..operators import ATTRS_ATTR, OP_ATTR
from ..schemes import GROUP, SCHEMES

CALL_PREFIX = "modelpress."
KNOWN = {
    "matmul": {"scheme", "rows", "cols", "start", "out_cols", "epilogue", "bias", "activation"},
    "gate_up": {"scheme", "rows", "cols", "activation"},
    "rms_norm": {"cols", "eps"},
    "rope_append": {"heads", "kv_heads", "head_dim", "page_size", "kv_dtype", "context"},
    "attention": {"heads", "kv_heads", "head_dim", "page_size", "kv_dtype", "window", "scale"},
}
"""Attributes the packed kernels honour; an operation with others is left alone."""


def pack_rows(ir: Any, source: str, target: str, encoding: str) -> Any:
    """`ir` with the function `target`: `source` with its rows packed in `encoding`."""
    original = relax.utils.copy_with_new_vars(ir[source])
    builder = relax.BlockBuilder(ir)
    with builder.function(target, list(original.params)):
        with builder.dataflow():
            rewriter = _Rewriter(ir, builder, original, encoding)
            output = builder.emit_output(rewriter.run())
        builder.emit_func_output(output)
    return builder.get()


@dataclass(frozen=True, slots=True)
class _Op:
    """A call of an operator: its name, attributes and arguments."""

    name: str
    attrs: Mapping[str, Any]
    args: tuple[Any, ...]
    inplace: bool

    @property
    def packable(self) -> bool:
        """Whether it is a matrix product that can read a packed row."""
        known = KNOWN.get(self.name)
        if self.name not in ("matmul", "gate_up") or known is None or set(self.attrs) - known:
            return False
        if self.name == "gate_up":
            return bool(self.attrs["activation"] == "silu")
        return "activation" not in self.attrs or self.attrs["epilogue"] == "none"


@dataclass(slots=True)
class _Row:
    """A row somebody wants packed: by which norm's weights (None for none), and where it is."""

    norm: Any
    packed: Any = None


@dataclass(slots=True)
class _Rewriter:
    ir: Any
    builder: Any
    function: Any
    encoding: str
    ops: dict[Any, _Op] = field(default_factory=dict)
    users: dict[Any, list[Any]] = field(default_factory=dict)
    rows: dict[Any, list[_Row]] = field(default_factory=dict)
    items: dict[Any, tuple[Any, int]] = field(default_factory=dict)
    new: dict[Any, Any] = field(default_factory=dict)

    def run(self) -> Any:
        bindings = [b for block in self.function.body.blocks for b in block.bindings]
        for binding in bindings:
            self._read(binding.var, binding.value)
        for var in list(self.ops):
            if self._reads_packed(var):
                source, norm, _ = self._source(self.ops[var].args[0])
                self._row(source, norm)
        for binding in bindings:
            if binding.var != self.function.body.body:
                self._write(binding.var, binding.value)
        last = bindings[-1]
        assert last.var == self.function.body.body, "a decode entry ends with its results"
        return self._renew(last.value)

    # --- what is there ---

    def _read(self, var: Any, value: Any) -> None:
        op = self._op(value)
        if op is not None:
            self.ops[var] = op
        if isinstance(value, relax.TupleGetItem):
            self.items[var] = (value.tuple_value, value.index)
        for used in relax.analysis.free_vars(value):
            self.users.setdefault(used, []).append(var)

    def _op(self, value: Any) -> _Op | None:
        name = getattr(getattr(value, "op", None), "name", None)
        if name not in ("relax.call_tir", "relax.call_tir_inplace"):
            return None
        func = self.ir[value.args[0]]
        if OP_ATTR not in func.attrs:
            return None
        attrs = json.loads(str(func.attrs[ATTRS_ATTR]))
        args = tuple(value.args[1].fields)
        return _Op(str(func.attrs[OP_ATTR]), attrs, args, name.endswith("inplace"))

    def _reads_packed(self, var: Any) -> bool:
        op = self.ops.get(var)
        if op is None or not op.packable:
            return False
        # Integers need a quantized matrix; the parts of a divided one are found from the first.
        return self.encoding == "f32" or SCHEMES[op.attrs["scheme"]].group is not None

    def _source(self, x: Any) -> tuple[Any, Any, float | None]:
        """(row before the norm, the norm's weights, its epsilon); None, None without a norm."""
        op = self.ops.get(x)
        if op is not None and op.name == "rms_norm" and set(op.attrs) == KNOWN["rms_norm"]:
            return op.args[0], op.args[1], float(op.attrs["eps"])
        return x, None, None

    def _row(self, source: Any, norm: Any) -> _Row:
        rows = self.rows.setdefault(source, [])
        for row in rows:
            if row.norm is norm or (row.norm is not None and row.norm.same_as(norm)):
                return row
        rows.append(_Row(norm))
        return rows[-1]

    def _needed(self, var: Any) -> bool:
        """Whether anybody reads the row as it is, not packed."""
        return any(not self._only_packed(user, var) for user in self.users.get(var, ()))

    def _only_packed(self, user: Any, var: Any) -> bool:
        if self._reads_packed(user):
            return not any(arg.same_as(var) for arg in self.ops[user].args[1:])
        op = self.ops.get(user)
        return op is not None and op.name == "rms_norm" and not self._needed(user)

    # --- what becomes of it ---

    def _write(self, var: Any, value: Any) -> None:
        op = self.ops.get(var)
        if op is not None and self._reads_packed(var):
            self._product(var, op)
        elif op is not None and (append := self._appending(var)) is not None:
            rotation = self.ops[append]
            attrs = {**rotation.attrs, **op.attrs, "encoding": self.encoding}
            args = [self._renew(a) for a in _tensors(rotation.args)]
            self.rows[var][0].packed = self._call(
                "decode_attention", attrs, args, [self._type(var)]
            )
        elif self._caches(var) or self._normed(var) or (op is not None and self._appended(var)):
            return
        elif self._wanted(var):
            self.new[var] = self.builder.emit(self._renew(value))

    def _normed(self, var: Any) -> bool:
        """Whether `var` is a layer norm that is done as it is packed."""
        op = self.ops.get(var)
        return op is not None and op.name == "layer_norm" and not self._needed(var)

    def _wanted(self, var: Any) -> bool:
        return var in self.rows or self._needed(var)

    def _caches(self, var: Any) -> bool:
        """Renames what a rotation done elsewhere returns: the caches, written in place."""
        found = self.items.get(var)
        if found is None or not self._appended(found[0]):
            return False
        append, index = found
        if index:
            # (query, keys, values) of rope_append's (qkv, rope, page_table, keys, values).
            self.new[var] = self._renew(self.ops[append].args[2 + index])
        return True

    def _appending(self, var: Any) -> Any:
        """The rotation of the queries of attention `var`, when one kernel can do both and all that
        is wanted is the packed result; else None."""
        rows, op = self.rows.get(var, []), self.ops[var]
        if op.name != "attention" or len(rows) != 1 or rows[0].norm is not None:
            return None
        query = self.items.get(op.args[0])
        if query is None or self._needed(var) or len(self.users[op.args[0]]) > 1:
            return None
        append, index = query
        rotation = self.ops.get(append)
        if index != 0 or rotation is None or rotation.name != "rope_append":
            return None
        fits = set(rotation.attrs) == KNOWN["rope_append"] and set(op.attrs) == KNOWN["attention"]
        return append if fits and op.attrs["head_dim"] % BLOCK == 0 else None

    def _appended(self, var: Any) -> bool:
        """Whether `var` is a rotation that an attention kernel does by itself."""
        queries = [v for v, item in self.items.items() if item == (var, 0)]
        return any(
            self._appending(u) == var for q in queries for u in self.users[q] if u in self.ops
        )

    def _product(self, var: Any, op: _Op) -> None:
        if op.inplace:
            return  # a further part of a matrix, done with the first
        source, norm, eps = self._source(op.args[0])
        row = self._packed(source, norm)
        attrs = {k: v for k, v in op.attrs.items() if k not in ("start",)}
        attrs |= {"encoding": self.encoding} | ({} if eps is None else {"eps": eps})
        parts = self._parts(var)
        args = [row, *(arg for part in parts for arg in self._weights(part))]
        args += self._extras(op)
        wanted = self.rows.get(parts[-1], [])
        single = len(parts) == 1 and int(var.ty.shape[1]) % GROUP == 0
        emitted = wanted[0] if wanted and single else None
        keep = emitted is None or len(wanted) > 1 or self._needed(var)
        if emitted is not None and emitted.norm is not None:
            args.append(emitted.norm)
            attrs["norm"] = True
        attrs["results"] = "+".join(["out"] * keep + ["packed"] * (emitted is not None))
        if op.name == "matmul":
            spans = [(self.ops[p].attrs["start"], self.ops[p].attrs["rows"]) for p in parts]
            attrs["parts"] = ";".join(f"{start}:{rows}" for start, rows in spans)
            del attrs["rows"]
        outputs = [var.ty] * keep + ([] if emitted is None else [self._type(var)])
        results = self._call(f"packed_{op.name}", attrs, args, outputs)
        found = list(results) if len(outputs) > 1 else [results]
        if keep:
            for part in parts:
                self.new[part] = found[0]
        if emitted is not None:
            emitted.packed = found[-1]

    def _parts(self, var: Any) -> list[Any]:
        """The chain of products that fill one result, in order."""
        parts = [var]
        while True:
            more = [
                user
                for user in self.users.get(parts[-1], ())
                if self._reads_packed(user)
                and self.ops[user].inplace
                and self.ops[user].args[-1].same_as(parts[-1])
            ]
            if not more:
                return parts
            parts.append(more[0])

    def _weights(self, part: Any) -> tuple[Any, ...]:
        op = self.ops[part]
        count = len(SCHEMES[op.attrs["scheme"]].buffers(1, GROUP))
        return tuple(self._renew(arg) for arg in op.args[1 : 1 + count])

    def _extras(self, op: _Op) -> list[Any]:
        """Bias and residual."""
        count = len(SCHEMES[op.attrs["scheme"]].buffers(1, GROUP))
        return [self._renew(arg) for arg in op.args[1 + count :]]

    def _packed(self, source: Any, norm: Any) -> Any:
        row = self._row(source, norm)
        if row.packed is None:
            cols = int(source.ty.shape[1])
            attrs = {"cols": cols, "encoding": self.encoding, "norm": norm is not None}
            args = [self._renew(source)] + ([] if norm is None else [norm])
            name = "pack"
            if self._normed(source):
                layer = self.ops[source]
                name, args = "pack_layer_norm", [self._renew(arg) for arg in layer.args]
                attrs = {"cols": cols, "encoding": self.encoding, "eps": layer.attrs["eps"]}
            row.packed = self._call(name, attrs, args, [self._type(source)])
        return row.packed

    def _type(self, row: Any) -> Any:
        return relax.TensorType((packed_words(int(row.ty.shape[1]), self.encoding),), "uint32")

    def _call(self, name: str, attrs: Mapping[str, Any], args: list[Any], types: list[Any]) -> Any:
        symbol = f"{CALL_PREFIX}{name} {json.dumps(dict(attrs), sort_keys=True)}"
        out = types if len(types) > 1 else types[0]
        return self.builder.emit(relax.call_dps_packed(symbol, relax.Tuple(args), out_ty=out))

    def _renew(self, value: Any) -> Any:
        """An expression of the old function in terms of the new one."""
        if isinstance(value, relax.Var):
            return self.new.get(value, value)
        if isinstance(value, relax.Tuple):
            return relax.Tuple([self._renew(item) for item in value.fields])
        if isinstance(value, relax.TupleGetItem):
            return relax.TupleGetItem(self._renew(value.tuple_value), value.index)
        if isinstance(value, relax.Call):
            args = [self._renew(arg) for arg in value.args]
            return relax.Call(value.op, args, value.attrs, value.ty_args)
        return value


def _tensors(args: tuple[Any, ...]) -> list[Any]:
    return [arg for arg in args if isinstance(arg.ty, relax.TensorType)]
