"""The entries that keep the states of a model's layers and put them back; see `runtime/plan.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import relax, tirx
from tvm.relax.frontend.nn import Tensor

from ..linear_layers import moved
from ..operators import DTYPES
from .held import Held

MOVES = ("save", "restore")


def variable(name: str, dims: tuple[Any, ...], dtype: str) -> relax.Var:
    """A Relax variable for the plan buffer of that name."""
    return relax.Var(name.replace(".", "_"), relax.TensorType(dims, DTYPES[dtype]))


def add_move(builder: Any, entry: str, states: Sequence[Held]) -> tuple[str, ...]:
    """Add one of MOVES to the module; the names of its inputs."""
    pos, slot = tirx.Var("pos", "int64"), tirx.Var("slot", "int64")
    at = relax.Var("at", relax.ShapeType([pos, slot]))
    params = [variable(item.name, item.shape(None), item.dtype) for item in states]
    with builder.function(entry, [at, *params]):
        with builder.dataflow():
            left = [moved(entry, Tensor(_expr=param), pos, slot) for param in params]
            output = builder.emit_output(relax.Tuple([state._expr for state in left]))
        builder.emit_func_output(output)
    return ("pos", *(item.name for item in states))
