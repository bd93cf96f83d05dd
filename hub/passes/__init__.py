"""Relax passes: from what a family writes to a straight line of allocations and calls."""

# mypy: disable-error-code="attr-defined"

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tvm
from tvm import relax
from tvm.target import Target

Bounds = Mapping[str, Mapping[str, int]]
"""By function: the largest values of its symbols."""
GRAPH = (
    relax.transform.LegalizeOps,
    relax.transform.AnnotateTIROpPattern,
    relax.transform.FoldConstant,
    relax.transform.FuseOps,
    relax.transform.FuseTIR,
    relax.transform.DeadCodeElimination,
)
LOWERING = (
    relax.transform.RewriteDataflowReshape,
    relax.transform.ToNonDataflow,
    relax.transform.RemovePurityChecking,
    relax.transform.CallTIRRewrite,
)


def lower_graph(
    module: Any, target: Target, bounds: Mapping[str, int], own: Bounds | None = None
) -> Any:
    """Legalize, fuse, and plan memory with every symbol at its upper bound; see `with_bounds`."""
    with target:
        for make in (*GRAPH, *LOWERING):
            module = make()(module)
        return relax.transform.StaticPlanBlockMemory()(with_bounds(module, bounds, own))


def with_bounds(module: Any, bounds: Mapping[str, int], own: Bounds | None = None) -> Any:
    """Tell the memory planner how large each symbol can be, in a function that has bounds of its
    `own` by those."""
    functions = dict(module.functions.items())
    for name, function in functions.items():
        if isinstance(function, relax.Function):
            bound = {**bounds, **(own or {}).get(name.name_hint, {})}
            functions[name] = function.with_attr("tir_var_upper_bound", bound)
    return tvm.IRModule(functions)
