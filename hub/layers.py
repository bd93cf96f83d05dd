"""Layers that families share: `relax.frontend.nn` calls to the operators of `operators.py`.

Weights come by the buffer names of their WeightSpec, so the Relax function's parameters and the
weight index agree by construction. Activations are float32 everywhere; only the KV cache
changes its type between plan variants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tvm import relax, tirx
from tvm.relax.frontend.nn import Tensor, op

from . import attention_operators, operators, query_operators
from .attention_operators import Batch, Heads
from .schemes import Schemes
from .weight_specs import WeightSpec

F32 = "float32"


@dataclass(frozen=True, slots=True)
class CacheLayout:
    """How one layer's KV cache lies in its two buffers: [pages, kv_heads, page_size, head_dim]."""

    kv_heads: int
    page_size: int
    head_dim: int
    dtype: str
    """"f32" or "f16"."""

    def placeholder(self, pages: Any) -> Tensor:
        """A tensor of this layout, to declare results with."""
        shape = (pages, self.kv_heads, self.page_size, self.head_dim)
        return Tensor.placeholder(shape, operators.DTYPES[self.dtype])


class Matrix:
    """A stored matrix [rows, cols] under its scheme, in parts that each fit one binding.

    A tensor `<name>.bias` f32[rows], where there is one, is added to its products.
    """

    def __init__(self, spec: WeightSpec, schemes: Schemes, tensors: Mapping[str, Tensor]) -> None:
        self.spec, self.scheme = spec, spec.scheme(schemes)
        self.parts = spec.parts(schemes)
        suffixes = [suffix for suffix, _, _ in self.scheme.buffers(1, spec.cols)]
        self.buffers = [
            [tensors[f"{part.name}.{suffix}"] for suffix in suffixes] for part in self.parts
        ]
        self.bias = tensors.get(f"{spec.name}.bias")

    def embed(self, ids: Tensor, scale: float) -> Tensor:
        """ids i32[n] -> f32[n, cols], the rows times `scale`."""
        out = None
        for part, weights in zip(self.parts, self.buffers, strict=True):
            func = operators.embedding(
                self.scheme.name,
                part.rows,
                self.spec.cols,
                part.start,
                self.spec.rows,
                scale=scale,
            )
            out = _into(func, "embedding", [ids, *weights], out, (ids.shape[0], self.spec.cols))
        assert out is not None
        return out

    def multiply(
        self,
        x: Tensor,
        residual: Tensor | None = None,
        *,
        activation: str = "",
        softcap: float = 0.0,
    ) -> Tensor:
        """x f32[n, cols] -> x @ W^T (+ bias), through the activation and held within the soft cap
        where there are any, (+ residual) f32[n, rows]."""
        epilogue = "none" if residual is None else "add"
        extra = [tensor for tensor in (self.bias, residual) if tensor is not None]
        out = None
        for part, weights in zip(self.parts, self.buffers, strict=True):
            func = operators.matmul(
                self.scheme.name,
                part.rows,
                self.spec.cols,
                part.start,
                self.spec.rows,
                epilogue,
                bias=self.bias is not None,
                activation=activation,
                softcap=softcap,
            )
            args = [x, *weights, *extra]
            out = _into(func, "matmul", args, out, (x.shape[0], self.spec.rows))
        assert out is not None
        return out


def _into(
    func: tirx.PrimFunc, name: str, args: list[Tensor], out: Tensor | None, shape: tuple[Any, ...]
) -> Tensor:
    """The first part allocates the result, the others fill their share of the same buffer."""
    placeholder = Tensor.placeholder(shape, F32)
    if out is None:
        return op.tensor_ir_op(func, name, args, placeholder)
    return op.tensor_ir_inplace_op(func, name, [*args, out], [len(args)], placeholder)


def rms_norm(x: Tensor, weight: Tensor, eps: float, residual: Tensor | None = None) -> Tensor:
    """Root mean square norm over the last axis (arXiv 1910.07467), plus the residual."""
    func = operators.rms_norm(x.shape[1], eps, residual=residual is not None)
    args = [x, weight] if residual is None else [x, weight, residual]
    return op.tensor_ir_op(func, "rms_norm", args, Tensor.placeholder(x.shape, F32))


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Layer norm over the last axis (arXiv 1607.06450)."""
    func = operators.layer_norm(x.shape[1], eps)
    return op.tensor_ir_op(func, "layer_norm", [x, weight, bias], Tensor.placeholder(x.shape, F32))


def gate_up(x: Tensor, weight: Matrix, activation: str) -> Tensor:
    """activation(gate) * up of one stacked matrix [gate; up] (arXiv 2002.05202)."""
    spec = weight.spec
    if len(weight.parts) > 1:
        gate, up = op.split(weight.multiply(x), 2, axis=1)
        activate = {"silu": op.silu, "gelu_tanh": _gelu_tanh}[activation]
        return activate(gate) * up
    func = operators.gate_up(weight.scheme.name, spec.rows, spec.cols, activation)
    out = Tensor.placeholder((x.shape[0], spec.rows // 2), F32)
    return op.tensor_ir_op(func, "gate_up", [x, *weight.buffers[0]], out)


def _gelu_tanh(x: Tensor) -> Tensor:
    return op.gelu(x, approximate="tanh")


def add_positions(x: Tensor, table: Tensor, step: Step) -> Tensor:
    """x f32[n, cols] plus the rows of a table f32[rows, cols] for the positions of the tokens."""
    if step.batch is None:
        func = operators.add_positions(table.shape[0], x.shape[1])
        args = [x, table, relax.ShapeExpr([step.pos])]
    else:
        func = operators.add_positions_rows(table.shape[0], x.shape[1], step.batch.words)
        args = [x, table, step.page_table]
    return op.tensor_ir_op(func, "add_positions", args, Tensor.placeholder(x.shape, F32))


def last_row(x: Tensor) -> Tensor:
    """The last token's row, [1, cols]."""
    func = operators.last_row(x.shape[1])
    return op.tensor_ir_op(func, "last_row", [x], Tensor.placeholder((1, x.shape[1]), F32))


@dataclass(frozen=True, slots=True)
class Step:
    """What every layer of one forward pass shares."""

    pos: Any
    """Symbolic: tokens already cached."""
    page_table: Tensor
    batch: Batch | None = None
    """Where tokens are of sequences of their own: `pos` is None then, and `page_table` theirs."""


@dataclass(frozen=True, slots=True)
class Attention:
    """How one layer attends: its heads, its rotary table, and what scores go through.

    `gains` are the weights of the norms of q and k where `heads` has such norms.
    """

    heads: Heads
    rope: Tensor | None
    gains: tuple[Tensor, ...]
    window: int
    scale: float
    softcap: float


def attend(
    qkv: Tensor,
    step: Step,
    cache: tuple[Tensor, Tensor],
    layout: CacheLayout,
    attention: Attention,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Rope, append to the paged cache, causal attention: qkv -> (f32[n, heads*D], cache)."""
    n, pages, heads = qkv.shape[0], cache[0].shape[0], attention.heads
    query = Tensor.placeholder((n, heads.heads * heads.head_dim), F32)
    pos = [relax.ShapeExpr([step.pos])] if step.batch is None else []
    tables = () if attention.rope is None else (attention.rope,)
    args = [qkv, *tables, *attention.gains, step.page_table, *cache]
    q, k, v = op.tensor_ir_inplace_op(
        attention_operators.rope_append(
            heads,
            layout.page_size,
            layout.dtype,
            tables[0].shape[0] if tables else 0,
            step.batch,
        ),
        "rope_append",
        [*args, *pos],
        [-1, len(args) - 2, len(args) - 1],
        [query, layout.placeholder(pages), layout.placeholder(pages)],
    )
    return _read(q, step, (k, v), layout, attention), (k, v)


def attend_to(
    queries: Tensor,
    step: Step,
    cache: tuple[Tensor, Tensor],
    layout: CacheLayout,
    attention: Attention,
) -> Tensor:
    """Rope, causal attention to what another layer has in the cache: f32[n, heads*D] of the same.

    Queries are normed by the one gain there is.
    """
    assert attention.rope is not None, "queries without positions"
    func = query_operators.rope_queries(attention.heads, attention.rope.shape[0], step.batch)
    pos = [relax.ShapeExpr([step.pos])] if step.batch is None else [step.page_table]
    args = [queries, attention.rope, *attention.gains, *pos]
    q = op.tensor_ir_op(func, "rope_queries", args, queries)
    return _read(q, step, cache, layout, attention)


def _read(
    q: Tensor,
    step: Step,
    cache: tuple[Tensor, Tensor],
    layout: CacheLayout,
    attention: Attention,
) -> Tensor:
    """Causal attention over the paged cache: f32[n, heads*D] of the same."""
    heads = attention.heads
    func = attention_operators.attention(
        heads.heads,
        heads.kv_heads,
        heads.head_dim,
        layout.page_size,
        layout.dtype,
        attention.window,
        attention.scale,
        softcap=attention.softcap,
        batch=step.batch,
    )
    pos = [relax.ShapeExpr([step.pos])] if step.batch is None else []
    return op.tensor_ir_op(func, "attention", [q, step.page_table, *cache, *pos], q)


def normed_values(qkv: Tensor, heads: Heads, eps: float) -> Tensor:
    """The same with every head of values divided by its root mean square."""
    func = query_operators.norm_values(heads.heads, heads.kv_heads, heads.head_dim, eps)
    return op.tensor_ir_op(func, "norm_values", [qkv], qkv)
