"""Kernels that work on rows of activations: norms, `add_positions`, `last_row`, `copy_words`."""

from __future__ import annotations

from runtime.plan import Expr, Uniform

from .kernel import LibraryKernel, Op, Profile, ceil_div, folded, symbols, times
from .template import render


def rms_norm(op: Op, profile: Profile) -> LibraryKernel:
    """x f32[n, cols], weight f32[cols], (residual f32[n, cols],) out f32[n, cols]:
    `x / sqrt(mean(x^2) + eps) * weight` (+ residual)."""
    residual = bool(op.attrs.get("residual", False))
    return _norm(op, profile, "rms_norm", out=2 + int(residual), residual=residual)


def layer_norm(op: Op, profile: Profile) -> LibraryKernel:
    """x f32[n, cols], weight f32[cols], bias f32[cols], out f32[n, cols]:
    `(x - mean) / sqrt(variance + eps) * weight + bias`."""
    return _norm(op, profile, "layer_norm", out=3)


def _norm(op: Op, profile: Profile, template: str, *, out: int, **values: bool) -> LibraryKernel:
    """A workgroup a row, whose binding `out` is written."""
    cols = op.integer("cols")
    assert cols % 4 == 0, op
    return render(
        op,
        profile,
        template=template,
        values={
            "quads": cols // 4,
            "threads": _threads(cols, profile),
            "eps": f"{op.number('eps'):.9e}",
            **values,
        },
        grid=(op.tokens, Expr(1), Expr(1)),
        writes=(out,),
        any_n=True,
    )


def _threads(cols: int, profile: Profile) -> int:
    """A row a thread keeps processors free of barriers; a GPU wants the whole workgroup on it."""
    if profile.software:
        return 1
    return 64 if cols <= 512 else 256


def add_positions(op: Op, profile: Profile) -> LibraryKernel:
    """x f32[n, cols], table f32[rows, cols], out f32[n, cols]: x plus the rows from `pos` on.

    `add_positions_rows` has positions i32[n] before out: row i is the one of that position.
    """
    rows = op.name == "add_positions_rows"
    cols = op.integer("cols")
    assert cols % 4 == 0, op
    return render(
        op,
        profile,
        template="add_positions",
        values={"quads": cols // 4, "rows": rows},
        grid=folded(ceil_div(times(op.tokens, cols // 4), 64)),
        writes=(3 if rows else 2,),
        uniforms=symbols(*(["n"] if op.dynamic else []), *([] if rows else ["pos"])),
    )


def copy_words(op: Op, profile: Profile) -> LibraryKernel:
    """given, out: `words` words of 32 bits, from row `row` of one to the start of the other: the
    side named "row" is the one that has rows (`source` or `target`)."""
    words = op.integer("words")
    assert {op.text("source"), op.text("target")} == {"row", ""}, op
    return render(
        op,
        profile,
        template="copy_words",
        values={"words": words, "from_row": op.text("source") == "row"},
        grid=folded(ceil_div(Expr(words), 64)),
        writes=(1,),
        uniforms=symbols("row"),
    )


def gate_inputs(op: Op, profile: Profile) -> LibraryKernel:
    """gate f32[n, size], inputs f32[n, width], out f32[n, size]: gate times the columns of inputs
    from `start` on. One text serves all layers."""
    size, start = op.integer("size"), op.integer("start")
    assert size % 4 == 0 and start % 4 == 0 and op.integer("width") % 4 == 0, op
    every = Op(op.name, {key: value for key, value in op.attrs.items() if key != "start"})
    return render(
        every,
        profile,
        template="gate_inputs",
        values={"quads": size // 4, "width": op.integer("width") // 4},
        grid=folded(ceil_div(times(op.tokens, size // 4), 64)),
        writes=(2,),
        uniforms=(Uniform("u32", op.tokens), Uniform("u32", Expr(start // 4))),
        any_n=True,
    )


def last_row(op: Op, profile: Profile) -> LibraryKernel:
    """x f32[n, cols], out f32[1, cols]: row n - 1."""
    cols = op.integer("cols")
    return render(
        op,
        profile,
        template="last_row",
        values={"cols": cols},
        grid=folded(ceil_div(Expr(cols), 64)),
        writes=(1,),
        uniforms=symbols("n") if op.dynamic else (),
    )
