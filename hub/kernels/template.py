"""Kernel text from a Jinja template: a header that says what it is, then the shader.

Templates are given numbers and words only; every decision about a shape is taken in the noun
modules. Rendering is deterministic: the same values give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import jinja2

from runtime.plan import Uniform

from .kernel import FOLD, Grid, LibraryKernel, Op, Profile, kernel_name


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def render(
    op: Op,
    profile: Profile,
    *,
    template: str,
    values: Mapping[str, object],
    grid: Grid,
    writes: tuple[int, ...],
    uniforms: tuple[Uniform, ...] = (),
    enables: tuple[str, ...] = (),
    any_n: bool = False,
    part: str = "",
) -> LibraryKernel:
    """The kernel of `op` from `template`.wgsl.jinja; `enables` become lines of their own.

    `any_n` leaves the number of rows out of the header: one text then serves one token and many.
    `part` names one of an op's several dispatches.
    """
    source = _environment().get_template(f"{template}.wgsl.jinja")
    body = source.render(op=op, fold=FOLD, dynamic=op.dynamic, **values)
    lines = [f"enable {name};" for name in enables]
    attrs = " ".join(
        f"{key}={value}" for key, value in sorted(op.attrs.items()) if not (any_n and key == "n")
    )
    name = f"{op.name}_{part}" if part else op.name
    lines += [f"// {name} [{profile.name}] {attrs}".rstrip(), body]
    wgsl = "\n".join(lines)
    return LibraryKernel(kernel_name(name, wgsl), wgsl, uniforms, grid, writes)
