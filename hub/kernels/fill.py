"""`fill`: synthetic weights made on the device, for benchmarks without a download.

kinds: "bits" hashed words; "scales" pairs of f16 with one exponent (attribute `exponent`, -7
unless told), random sign and mantissa; "halves" pairs of f16 and "uniform" f32, both uniform in
+-0.05; "ones" f32 1.0; "rope" a table of cosines and sines f32[positions, 2 * half] for
frequencies `theta ** (-column / half)`.
"""

from __future__ import annotations

import math

from runtime.plan import Expr, Uniform

from .kernel import LibraryKernel, Op, Profile, ceil_div, folded, symbols
from .template import render

KINDS = ("bits", "scales", "halves", "uniform", "ones", "rope")
_SEEDED = ("bits", "scales", "halves", "uniform")


def fill(op: Op, profile: Profile) -> LibraryKernel:
    """One buffer of `count` words, uniform `seed` for the kinds that are random."""
    kind = op.text("kind")
    assert kind in KINDS, kind
    count = op.integer("count")
    values: dict[str, object] = {"kind": kind, "seeded": kind in _SEEDED}
    if kind == "scales":
        exponent = op.integer("exponent", -7)
        values |= {"exponent": exponent, "exponent_bits": ((exponent + 15) << 10) * 0x10001}
    if kind == "rope":
        half = op.integer("half")
        step = -math.log2(op.number("theta", 10000.0)) / half
        values |= {"half": half, "step": f"{step:.9e}"}
    # The size is a uniform and not in the header: one text serves every buffer of its kind.
    sizeless = Op(op.name, {key: value for key, value in op.attrs.items() if key != "count"})
    seed = symbols("seed") if kind in _SEEDED else ()
    return render(
        sizeless,
        profile,
        template="fill",
        values=values,
        grid=folded(ceil_div(Expr(count), 64)),
        writes=(0,),
        uniforms=(Uniform("u32", Expr(count)), *seed),
    )
