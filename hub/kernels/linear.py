"""Quantized matrix kernels: `matmul` and `gate_up`, for one token and for many.

matmul: x f32[n, cols], weight buffers of [rows, cols], (bias f32[out_cols],)
(residual f32[n, out_cols],) out f32[n, out_cols]; columns [start, start + rows) of out are
x @ W^T (+ bias) (+ residual).
gate_up: x, weight buffers of [2F, cols] (gate rows, then up rows), out f32[n, F].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runtime.plan import Expr

from ..schemes import GROUP, SCHEMES
from .kernel import Grid, KernelSequence, LibraryKernel, Op, Profile, ceil_div, folded, symbols
from .linear_matrix import matrix_product
from .linear_tiles import tile_for
from .template import render

SOFTWARE_THREADS = 16
SOFTWARE_TOKENS = 4
SOFTWARE_ROWS = {False: 8, True: 4}
"""What a software thread carries, for one token and for many: more reuses loads, and compiles
longer."""


FEW_TOKENS = 2
"""Tokens of different sequences that a thread carries: more cost two of them too much."""
SOFTWARE_FEW_ROWS = 12
"""Their rows: loads of activations cost as much as those of weights."""
ACTIVATIONS = ("", "silu", "gelu_tanh", "gelu", "relu")

MANY_ROWS = 32768
"""From here on (output heads) a decode workgroup takes eight rows."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the templates share: `outputs` rows of the result, `groups` of 32 columns."""

    op: Op
    gated: bool
    residual: bool
    outputs: int
    groups: int
    start: int
    out_cols: int

    @property
    def few(self) -> bool:
        """Whether the rows are a few tokens, each of a sequence of its own."""
        return "few" in self.op.attrs

    @property
    def bias(self) -> bool:
        return bool(self.op.attrs.get("bias", False))

    @property
    def bias_binding(self) -> int:
        """The first binding after the weights, whether a bias lies there or not."""
        return 2 + int(SCHEMES[self.op.text("scheme")].group is not None)

    @property
    def out_binding(self) -> int:
        return self.bias_binding + int(self.bias) + int(self.residual)

    def values(self) -> dict[str, object]:
        return {
            "scheme": self.op.text("scheme"),
            "quantized": SCHEMES[self.op.text("scheme")].group is not None,
            "gated": self.gated,
            "residual": self.residual,
            "bias": self.bias,
            "bias_binding": self.bias_binding,
            "activation": self.op.attrs.get("activation", ""),
            "softcap": f"{self.op.number('softcap'):.9e}" if "softcap" in self.op.attrs else "",
            "outputs_count": self.outputs,
            "groups": self.groups,
            "start": self.start,
            "out_cols": self.out_cols,
            "out_binding": self.out_binding,
        }


def matmul(op: Op, profile: Profile) -> LibraryKernel | KernelSequence:
    """`out[:, start:start+rows] = x @ W^T`, plus a bias, through an activation, within a soft cap,
    plus the residual for epilogue "add"; each where the op has it."""
    epilogue = op.text("epilogue")
    assert epilogue in ("none", "add"), epilogue
    return _linear(
        _Shape(
            op,
            gated=False,
            residual=epilogue == "add",
            outputs=op.integer("rows"),
            groups=op.integer("cols") // GROUP,
            start=op.integer("start"),
            out_cols=op.integer("out_cols"),
        ),
        profile,
    )


def gate_up(op: Op, profile: Profile) -> LibraryKernel | KernelSequence:
    """`out = activation(x @ gate^T) * (x @ up^T)`."""
    features = op.integer("rows") // 2
    return _linear(
        _Shape(
            op,
            gated=True,
            residual=False,
            outputs=features,
            groups=op.integer("cols") // GROUP,
            start=0,
            out_cols=features,
        ),
        profile,
    )


def _linear(shape: _Shape, profile: Profile) -> LibraryKernel | KernelSequence:
    assert shape.op.attrs.get("activation", "") in ACTIVATIONS, shape.op
    assert shape.op.integer("cols") % GROUP == 0, shape.op
    if profile.software:
        return _rows(shape, profile)
    if not shape.op.dynamic or shape.few:
        return _vector(shape, profile)
    if profile.matrix:
        return matrix_product(
            shape.op,
            profile,
            shape.values(),
            outputs=shape.outputs,
            bias=shape.bias_binding,
            out=shape.out_binding,
        )
    return _tile(shape, profile)


def _rows(shape: _Shape, profile: Profile) -> LibraryKernel:
    tokens = SOFTWARE_TOKENS if shape.op.dynamic else 1
    rows = SOFTWARE_ROWS[shape.op.dynamic] // (2 if shape.gated else 1)
    if shape.few:
        tokens, rows = FEW_TOKENS, SOFTWARE_FEW_ROWS // (2 if shape.gated else 1)
    values = {
        "few": shape.few,
        "tokens": tokens,
        "rows": rows,
        "sums": rows * (2 if shape.gated else 1),
        "threads": SOFTWARE_THREADS,
    }
    grid: Grid = (
        ceil_div(Expr(shape.outputs), rows * SOFTWARE_THREADS),
        ceil_div(shape.op.tokens, tokens),
        Expr(1),
    )
    return _render(shape, profile, "linear_rows", values, grid)


def _tile(shape: _Shape, profile: Profile) -> LibraryKernel:
    halves = 2 if shape.gated else 1
    tile = tile_for(shape.outputs * halves)
    block = tile.rows // halves
    grid: Grid = (
        ceil_div(Expr(shape.outputs), block),
        ceil_div(shape.op.tokens, tile.tokens),
        Expr(1),
    )
    values = tile.values() | {"outputs_tile": block}
    return _render(shape, profile, "linear_tile", values, grid)


def _vector(shape: _Shape, profile: Profile) -> LibraryKernel:
    rows, lanes, teams = _vector_tile(shape)
    tokens = FEW_TOKENS if shape.few else 1
    values = {
        "subgroups": profile.subgroups,
        "rows": rows,
        "lanes": max(lanes, rows * tokens),
        "teams": teams,
        "sums": rows * (2 if shape.gated else 1),
        "tokens": tokens,
    }
    across, down, _ = folded(ceil_div(Expr(shape.outputs), rows * teams))
    grid = (across, down, ceil_div(shape.op.tokens, tokens))
    enables = ("subgroups",) if profile.subgroups else ()
    return _render(shape, profile, "linear_vector", values, grid, enables)


def _vector_tile(shape: _Shape) -> tuple[int, int, int]:
    """(rows a team, threads a team, teams a workgroup), measured on an NVIDIA H200.

    Few rows keep many workgroups in flight where the matrix is small; many rows share the loads
    of x where it is large. A team is never much wider than a row has pieces of 8 elements.
    """
    widest = 1 << (4 * shape.groups - 1).bit_length()
    if shape.outputs >= MANY_ROWS:
        rows, lanes = 8, 64
    elif shape.gated:
        rows, lanes = (2, 64) if shape.groups < 32 else (4, 64 if shape.groups < 128 else 128)
    else:
        rows, lanes = 2, 128
    return rows, max(rows, min(lanes, widest)), 1


def _render(
    shape: _Shape,
    profile: Profile,
    template: str,
    values: Mapping[str, object],
    grid: Grid,
    enables: tuple[str, ...] = (),
) -> LibraryKernel:
    return render(
        shape.op,
        profile,
        template=template,
        values=shape.values() | dict(values),
        grid=grid,
        writes=(shape.out_binding,),
        uniforms=symbols("n") if shape.op.dynamic else (),
        enables=enables,
    )
