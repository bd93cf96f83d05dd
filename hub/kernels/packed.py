"""The decode step's matrix kernels: each reads a packed row and may pack its result for the next.

A row of f32[cols] is packed as `encoding` "i16" (blocks of 8 columns as 16-bit integers with a
scale, for four-byte integer dot products; exact to 1.5e-5 of the block's peak) or "f32" (as it
is). With it travel the sums of squares of its blocks, so that whoever reads the row can apply the
root mean square norm to its finished sums: the norm's weights are multiplied in when the row is
packed, its scale when it has been used. The layout is told in packed_blocks.wgsl.jinja.

packed_matmul: packed row, weight buffers of every part of a matrix [out_cols, cols], (bias
f32[out_cols],) (residual f32[1, out_cols],) (next norm's weights f32[out_cols],) then what
`results` names: out f32[1, out_cols], packed row of out_cols columns. `parts` says which rows each
part holds: "start:rows", joined by ";". With `activation` there is no residual.
packed_gate_up: packed row, weight buffers of [2F, cols], then packed row of F columns.
pack: x f32[1, cols], (norm's weights f32[cols],) packed row.
pack_layer_norm: x f32[1, cols], weights f32[cols], biases f32[cols], packed row.
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.plan import Expr

from ..schemes import GROUP, SCHEMES
from .kernel import KernelSequence, LibraryKernel, Op, Profile, ceil_div, folded
from .template import render

BLOCK = 8
ENCODINGS = {"i16": 7, "f32": 9}
"""Words of 16 bytes for a group of 32 columns."""


def packed_words(cols: int, encoding: str) -> int:
    """The length of a packed row in 4-byte words."""
    assert cols % GROUP == 0, cols
    return cols // GROUP * ENCODINGS[encoding] * 4


def pack(op: Op, profile: Profile) -> LibraryKernel:
    """Packs a row, times the norm's weights when `norm` is set."""
    groups, norm = op.integer("cols") // GROUP, bool(op.attrs["norm"])
    return render(
        op,
        profile,
        template="pack",
        values={"encoding": op.text("encoding"), "groups": groups, "norm": norm},
        grid=(ceil_div(Expr(groups * 4), 64), Expr(1), Expr(1)),
        writes=(2 if norm else 1,),
    )


def pack_layer_norm(op: Op, profile: Profile) -> LibraryKernel:
    """Packs the layer norm of a row."""
    groups = op.integer("cols") // GROUP
    return render(
        op,
        profile,
        template="pack_layer_norm",
        values={
            "encoding": op.text("encoding"),
            "groups": groups,
            "threads": 64 if groups <= 16 else 256,
            "eps": f"{op.number('eps'):.9e}",
        },
        grid=(Expr(1), Expr(1), Expr(1)),
        writes=(3,),
    )


def packed_matmul(op: Op, profile: Profile) -> LibraryKernel | KernelSequence:
    """`out = norm * (x @ W^T)`, plus bias and residual, or plus bias and activated, where there are
    any; a dispatch a part."""
    activated = "activation" in op.attrs
    assert not activated or op.text("epilogue") == "none", op.attrs
    spans = [tuple(map(int, part.split(":"))) for part in op.text("parts").split(";")]
    out_cols = op.integer("out_cols")
    kernels = [
        _vector(op, profile, _Span(start, rows, out_cols), gated=False) for start, rows in spans
    ]
    if len(kernels) == 1:
        return kernels[0]
    # A part sees the packed row, its own weights and everything after the last part's weights.
    width = len(SCHEMES[op.text("scheme")].buffers(1, GROUP))
    count = max(_bindings(op).values()) - width
    rest = range(1 + width * len(kernels), 1 + width * len(kernels) + count)
    return KernelSequence(
        tuple(
            (kernel, (0, *range(1 + width * i, 1 + width * i + width), *rest))
            for i, kernel in enumerate(kernels)
        ),
        (),
    )


def packed_gate_up(op: Op, profile: Profile) -> LibraryKernel:
    """`silu(norm * (x @ gate^T)) * norm * (x @ up^T)`."""
    assert op.text("activation") == "silu", op.attrs
    features = op.integer("rows") // 2
    return _vector(op, profile, _Span(0, features, features), gated=True)


@dataclass(frozen=True, slots=True)
class _Span:
    """Which columns of its result a kernel computes."""

    start: int
    outputs: int
    out_cols: int

    @property
    def whole(self) -> bool:
        return self.start == 0 and self.outputs == self.out_cols


@dataclass(frozen=True, slots=True)
class _Tile:
    """How a workgroup is cut: `teams` of `lanes` threads, each of which does `rows` rows."""

    rows: int
    lanes: int
    teams: int


def _vector(op: Op, profile: Profile, span: _Span, *, gated: bool) -> LibraryKernel:
    scheme, encoding = op.text("scheme"), op.text("encoding")
    results, outputs = _results(op), span.outputs
    assert encoding == "f32" or SCHEMES[scheme].group is not None, op.attrs
    groups, emits = op.integer("cols") // GROUP, "packed" in results
    assert not emits or (span.whole and outputs % GROUP == 0), op.attrs
    tile = _tile(outputs, groups, gated=gated, emits=emits)
    scaled, sums = "eps" in op.attrs, tile.rows * (2 if gated else 1)
    bindings = _bindings(op)
    values = bindings | {
        "scheme": scheme,
        "encoding": encoding,
        "gated": gated,
        "activation": "" if gated else op.attrs.get("activation", ""),
        "softcap": "",
        "outputs": outputs,
        "out_cols": span.out_cols,
        "start": span.start,
        "groups": groups,
        "rows": tile.rows,
        "lanes": tile.lanes,
        "teams": tile.teams,
        "sums": sums,
        "unroll": max(1, min(4, LOADS // (sums * _words(scheme)))),
        "totals": sums + int(scaled),
        "scaled": scaled,
        "eps": f"{op.number('eps', 0.0):.9e}",
        "subgroups": profile.subgroups,
    }
    return render(
        op,
        profile,
        template="packed_vector",
        values=values,
        grid=folded(ceil_div(Expr(outputs), tile.rows * tile.teams)),
        writes=tuple(bindings[name] for name in ("out", "emit") if bindings[name]),
        enables=("subgroups",) if profile.subgroups else (),
    )


def _words(scheme: str) -> int:
    """Words of 16 bytes that a group of a matrix takes."""
    return max(1, SCHEMES[scheme].bits // 4)


def _results(op: Op) -> list[str]:
    results = op.text("results").split("+")
    assert set(results) <= {"out", "packed"}, op.attrs
    return results


def _bindings(op: Op) -> dict[str, int]:
    """The binding of every argument after the weights; 0 for those the op does not have."""
    results = _results(op)
    present = {
        "bias": bool(op.attrs.get("bias", False)),
        "residual": op.attrs.get("epilogue", "none") == "add",
        "norm": bool(op.attrs.get("norm", False)),
        "out": "out" in results,
        "emit": "packed" in results,
    }
    place, places = 1 + len(SCHEMES[op.text("scheme")].buffers(1, GROUP)), {}
    for name, there in present.items():
        places[name] = place if there else 0
        place += int(there)
    return places


def _tile(outputs: int, groups: int, *, gated: bool, emits: bool) -> _Tile:
    """Measured on an NVIDIA H200: few rows a thread keep many loads in flight, and short rows need
    few threads. A packing workgroup does whole blocks."""
    if gated:
        return _Tile(1, 32, 8) if groups <= 40 else _Tile(2 if groups <= 100 else 4, 32, 4)
    if emits:
        return _Tile(1, 32, 8) if groups <= 40 else _Tile(2, 64, 4)
    if outputs >= MANY_ROWS:
        return _Tile(4, 32, 2)
    return _Tile(2, 32, 4) if groups <= 40 or outputs >= SOME_ROWS else _Tile(2, 64, 4)


LOADS = 8
"""Words of the matrix a thread asks for before it needs the first."""
SOME_ROWS = 8192
MANY_ROWS = 24576
"""From here on (output heads) there are workgroups enough to share every load of the row."""
