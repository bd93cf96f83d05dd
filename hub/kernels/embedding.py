"""`embedding`: ids i32[n], weight buffers of rows [start, start + rows), out f32[n, cols].

Ids are clamped to [0, total - 1]; tokens whose row belongs to another part are left alone.
With the attribute `scale` rows are multiplied by it.
"""

from __future__ import annotations

from ..schemes import GROUP, SCHEMES
from .kernel import LibraryKernel, Op, Profile, ceil_div, folded, symbols, times
from .template import render


def embedding(op: Op, profile: Profile) -> LibraryKernel:
    """One thread a group of 32 columns; the same text for every profile but its name."""
    groups = op.integer("cols") // GROUP
    out_binding = 2 + int(SCHEMES[op.text("scheme")].group is not None)
    values = {
        "scheme": op.text("scheme"),
        "groups": groups,
        "rows": op.integer("rows"),
        "start": op.integer("start"),
        "total": op.integer("total"),
        "out_binding": out_binding,
        "scale": f"{op.number('scale'):.9e}" if "scale" in op.attrs else "",
    }
    return render(
        op,
        profile,
        template="embedding",
        values=values,
        grid=folded(ceil_div(times(op.tokens, groups), 64)),
        writes=(out_binding,),
        uniforms=symbols("n") if op.dynamic else (),
    )
