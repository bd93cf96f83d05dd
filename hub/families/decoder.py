"""The decoder shared by families of the Llama shape, as a Relax module.

`prefill`: tokens i32[n] from position pos; `decode`: one token. Both append to the KV cache and
return the logits f32[1, vocab] of the last token. Where layers have a state, `save` and `restore`;
where they have none, `decode_batch`: a token of each of n sequences, to f32[n, vocab].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tvm import relax, tirx
from tvm.relax.frontend.nn import Tensor

from runtime.manifest import Task

from ..attention_operators import Batch
from ..errors import UnsupportedError
from ..layers import Step
from ..schemes import Schemes
from ..weight_specs import WeightSpec
from .config import HARMLESS, DecoderConfig
from .family import Module, ModuleShape, Reader
from .held import PAGES, Held, held_by
from .network import Decoder
from .states import MOVES, add_move, variable
from .weights import decoder_weights

DECODE_BATCH = "decode_batch"


@dataclass(frozen=True, slots=True)
class DecoderFamily:
    """A family whose models this module computes: how its config.json becomes a DecoderConfig.

    `parse` takes the reader and the model_type; every key it leaves is refused by name.
    """

    name: str
    model_types: tuple[str, ...]
    parse: Callable[[Reader, str], DecoderConfig]
    task: Task = "chat"

    def recognises(self, config: Mapping[str, Any]) -> bool:
        return config.get("model_type") in self.model_types

    def read(self, config: Mapping[str, Any]) -> DecoderConfig:
        if not self.recognises(config):
            raise UnsupportedError(
                f"config.json: model_type {config.get('model_type')!r} is not of the family "
                f"{self.name!r} (it reads: {', '.join(self.model_types)})"
            )
        reader = Reader(config, self.name, HARMLESS)
        result = self.parse(reader, reader.take("model_type", str))
        reader.done()
        return result

    def weights(self, config: DecoderConfig, context: int) -> tuple[WeightSpec, ...]:
        return decoder_weights(config, context)

    def module(self, config: DecoderConfig, scheme: Schemes, shape: ModuleShape) -> Module:
        return build_module(config, decoder_weights(config, shape.context), scheme, shape)


def build_module(
    config: DecoderConfig, specs: tuple[WeightSpec, ...], scheme: Schemes, shape: ModuleShape
) -> Module:
    """Every entry, with the plan buffer behind every parameter and result."""
    layers = held_by(config, shape)
    held = [item for items in layers for item in items]
    weights = [tensor for spec in specs for tensor in spec.tensors(scheme)]
    builder = relax.BlockBuilder()
    inputs, outputs = {}, {}
    states = [item for item in held if PAGES not in item.dims]
    batch = Batch(shape.seats, shape.pages) if shape.seats and not states else None
    entries: list[tuple[str, str, Batch | None]]
    entries = [("prefill", "tokens", None), ("decode", "token", None)]
    entries += [(DECODE_BATCH, "batch_tokens", batch)] if batch else []
    for entry, tokens, rows in entries:
        params = _Parameters(entry, tokens, held, weights, rows)
        with builder.function(entry, params.variables):
            with builder.dataflow():
                decoder = Decoder(config, specs, scheme, shape, params.tensors)
                caches = [tuple(params.tensors[item.name] for item in items) for items in layers]
                results = decoder.forward(params.tensors[tokens], params.step(), caches)
                output = builder.emit_output(relax.Tuple([result._expr for result in results]))
            builder.emit_func_output(output)
        inputs[entry] = params.names
        outputs[entry] = ("batch_logits" if rows else "logits", *(item.name for item in held))
    for entry in MOVES if states else ():
        inputs[entry] = add_move(builder, entry, states)
        outputs[entry] = tuple(item.name for item in states)
    bounds = {DECODE_BATCH: {"n": batch.seats}} if batch else {}
    return Module(builder.get(), inputs, outputs, tuple(item.buffer() for item in held), bounds)


class _Parameters:
    """The Relax variables of one entry, by the name of the plan buffer behind each."""

    def __init__(
        self,
        entry: str,
        tokens: str,
        held: Sequence[Held],
        weights: list[tuple[str, Any, tuple[int, ...]]],
        batch: Batch | None,
    ) -> None:
        n = 1 if entry == "decode" else tirx.Var("n", "int64")
        pages = tirx.Var("pages", "int64")
        self.pos, self.batch = tirx.Var("pos", "int64"), batch
        self._variables = {tokens: variable(tokens, (n,), "i32")}
        if batch is None:
            self._variables["pos"] = relax.Var("pos", relax.ShapeType([self.pos]))
            self._variables["page_table"] = variable("page_table", (pages,), "i32")
        else:
            self._variables["batch_table"] = variable("batch_table", (batch.words,), "i32")
        for item in held:
            self._variables[item.name] = variable(item.name, item.shape(pages), item.dtype)
        for name, dtype, dims in weights:
            self._variables[name] = variable(name, dims, dtype)
        self.tensors = {k: Tensor(_expr=v) for k, v in self._variables.items() if k != "pos"}

    @property
    def variables(self) -> list[relax.Var]:
        return list(self._variables.values())

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._variables)

    def step(self) -> Step:
        if self.batch is None:
            return Step(self.pos, self.tensors["page_table"])
        return Step(None, self.tensors["batch_table"], self.batch)
