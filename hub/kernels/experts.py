"""Kernels of a mixture of experts: `route`, `expert_gate_up` and `expert_down`.

route: logits f32[n, total], ids i32[n, top], shares f32[n, top].
expert_gate_up: x f32[n, cols], ids, weight buffers of [experts * 2F, cols] (an expert's gate rows,
then its up rows), out f32[n, top * F].
expert_down: hidden f32[n, top * F], ids, shares, weight buffers of [experts * rows, F],
(residual f32[n, rows],) out f32[n, rows].

A matrix holds experts [start, start + experts); what a token's other experts give is left alone,
or added by the kernel of another part. One token reads the rows of its experts and no others. Many
tokens are sorted by expert first, so that a tile of weights is read once for all that need it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runtime.plan import Expr

from ..schemes import GROUP, SCHEMES
from .kernel import (
    KernelSequence,
    LibraryKernel,
    Op,
    Profile,
    ceil_div,
    folded,
    symbols,
    times,
)
from .linear_tiles import Tile
from .template import render

MOST_EXPERTS = 256
"""One thread counts the tokens of each."""
SOFTWARE_THREADS = 16
SOFTWARE_ROWS = 4
PAIRS = Tile(tokens=32, rows=64, deep=4, wide=4, depth=32)
"""512 tokens give each of 128 experts 32 of their 8 choices on average."""


def route(op: Op, profile: Profile) -> LibraryKernel:
    """The `top` largest logits of each token and their shares of the softmax."""
    total = op.integer("total")
    assert 0 < op.integer("top") <= total, op
    return render(
        op,
        profile,
        template="route",
        values={
            "total": total,
            "top": op.integer("top"),
            "renormalize": bool(op.attrs.get("renormalize", False)),
            "threads": 1 if profile.software else _threads(total),
        },
        grid=(op.tokens, Expr(1), Expr(1)),
        writes=(1, 2),
        any_n=True,
    )


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the templates share: `outputs` results of `groups` groups of columns an expert."""

    op: Op
    gated: bool
    outputs: int
    groups: int

    @property
    def top(self) -> int:
        return self.op.integer("top")

    @property
    def experts(self) -> int:
        return self.op.integer("experts")

    @property
    def residual(self) -> bool:
        return self.op.attrs.get("epilogue") == "add"

    @property
    def weights(self) -> range:
        """The bindings of the weight buffers."""
        first = 2 if self.gated else 3
        return range(first, first + len(SCHEMES[self.op.text("scheme")].buffers(1, GROUP)))

    @property
    def out(self) -> int:
        """The binding of the result, which is the last argument."""
        return self.weights.stop + int(self.residual)

    def values(self, weights: int, out: int) -> dict[str, object]:
        return {
            "scheme": self.op.text("scheme"),
            "quantized": SCHEMES[self.op.text("scheme")].group is not None,
            "gated": self.gated,
            "residual": self.residual,
            "activation": self.op.attrs.get("activation", ""),
            "softcap": "",
            "bias": False,
            "outputs_count": self.outputs,
            "groups": self.groups,
            "top": self.top,
            "experts": self.experts,
            "start": self.op.integer("start"),
            "weights_binding": weights,
            "out_binding": out,
        }


def expert_gate_up(op: Op, profile: Profile) -> LibraryKernel | KernelSequence:
    """`activation(x @ gate^T) * (x @ up^T)` of each expert of each token."""
    shape = _Shape(op, True, op.integer("features"), op.integer("cols") // GROUP)
    assert op.integer("cols") % GROUP == 0, op
    if op.dynamic and not profile.software:
        return _sorted_gate_up(shape, profile)
    return _direct(shape, profile)


def expert_down(op: Op, profile: Profile) -> LibraryKernel | KernelSequence:
    """The residual, or what is there, plus `share * (hidden @ down^T)` of each expert."""
    assert op.text("epilogue") in ("add", "accumulate"), op
    assert op.integer("features") % GROUP == 0 and op.integer("rows") % 4 == 0, op
    shape = _Shape(op, False, op.integer("rows"), op.integer("features") // GROUP)
    if op.dynamic and not profile.software:
        return _sorted_down(shape, profile)
    return _direct(shape, profile)


def _direct(shape: _Shape, profile: Profile) -> LibraryKernel:
    """From a token's experts straight to their rows."""
    values = shape.values(shape.weights.start, shape.out)
    if profile.software:
        rows, threads = SOFTWARE_ROWS // (2 if shape.gated else 1), SOFTWARE_THREADS
        across, template = rows * threads, "expert_rows"
        values |= {"rows": rows, "threads": threads}
    else:
        rows, lanes = _vector_tile(shape)
        across, template = rows, "expert_vector"
        values |= {"rows": rows, "lanes": lanes, "sums": rows * (2 if shape.gated else 1)}
        values |= {"subgroups": profile.subgroups}
    places = times(shape.op.tokens, shape.top if shape.gated else 1)
    subgroups = profile.subgroups and not profile.software
    return render(
        shape.op,
        profile,
        template=template,
        values=values,
        grid=(ceil_div(Expr(shape.outputs), across), places, Expr(1)),
        writes=(shape.out,),
        enables=("subgroups",) if subgroups else (),
        any_n=True,
    )


def _vector_tile(shape: _Shape) -> tuple[int, int]:
    """(rows, threads) of a workgroup; never much wider than there are pieces of 8 elements."""
    pieces = 4 * shape.groups * (1 if shape.gated else shape.top)
    widest = 1 << (pieces - 1).bit_length()
    return 2, max(2, min(64 if shape.gated else 128, widest))


def _sorted_gate_up(shape: _Shape, profile: Profile) -> KernelSequence:
    arguments = shape.out + 1
    tiles, order = arguments, arguments + 1
    return KernelSequence(
        (
            (_sort(shape, profile), (1, tiles, order)),
            (_tile(shape, profile), (0, tiles, order, *shape.weights, shape.out)),
        ),
        _lists(shape),
    )


def _sorted_down(shape: _Shape, profile: Profile) -> KernelSequence:
    arguments = shape.out + 1
    tiles, order, products = arguments, arguments + 1, arguments + 2
    before = (shape.out - 1,) if shape.residual else ()
    return KernelSequence(
        (
            (_sort(shape, profile), (1, tiles, order)),
            (_tile(shape, profile), (0, tiles, order, *shape.weights, products)),
            (_sum(shape, profile), (products, 1, 2, *before, shape.out)),
        ),
        (*_lists(shape), times(shape.op.tokens, 4 * shape.top * shape.outputs)),
    )


def _tiles(shape: _Shape) -> Expr:
    """At most so many tiles: each expert may leave one that is not full."""
    full = Expr(("//", times(shape.op.tokens, shape.top), Expr(PAIRS.tokens)))
    return Expr(("+", full, Expr(shape.experts)))


def _lists(shape: _Shape) -> tuple[Expr, Expr]:
    """Bytes of the tiles, four words each, and of the order of a token's choices."""
    return Expr(("*", _tiles(shape), Expr(16))), times(shape.op.tokens, 4 * shape.top)


def _threads(experts: int) -> int:
    assert experts <= MOST_EXPERTS, experts
    return max(32, 1 << (experts - 1).bit_length())


def _sort(shape: _Shape, profile: Profile) -> LibraryKernel:
    """The choices of all tokens by expert, and the tiles that they fill."""
    threads = _threads(shape.experts)
    values: Mapping[str, object] = {
        "threads": threads,
        "staged": 4 * threads,
        "top": shape.top,
        "experts": shape.experts,
        "start": shape.op.integer("start"),
        "tokens": PAIRS.tokens,
    }
    return render(
        shape.op,
        profile,
        template="expert_sort",
        values=values,
        grid=(Expr(1), Expr(1), Expr(1)),
        writes=(1, 2),
        uniforms=symbols("n"),
        part="sort",
    )


def _tile(shape: _Shape, profile: Profile) -> LibraryKernel:
    """A tile of choices of one expert times a tile of its rows."""
    block = PAIRS.rows // (2 if shape.gated else 1)
    out = 3 + len(shape.weights)
    return render(
        shape.op,
        profile,
        template="expert_tile",
        values=shape.values(3, out) | PAIRS.values() | {"block": block},
        grid=(ceil_div(Expr(shape.outputs), block), _tiles(shape), Expr(1)),
        writes=(out,),
        part="tile",
    )


def _sum(shape: _Shape, profile: Profile) -> LibraryKernel:
    """What a token's experts gave, each by its share, in the order of its ids."""
    out = 3 + int(shape.residual)
    quads = shape.outputs // 4
    return render(
        shape.op,
        profile,
        template="expert_sum",
        values=shape.values(0, out) | {"quads": quads},
        grid=folded(ceil_div(times(shape.op.tokens, quads), 64)),
        writes=(out,),
        uniforms=symbols("n"),
        part="sum",
    )
