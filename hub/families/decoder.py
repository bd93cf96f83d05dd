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

from ..attention_operators import Batch, Heads
from ..errors import UnsupportedError
from ..expert_layers import Mixture
from ..layers import (
    Attention,
    CacheLayout,
    Matrix,
    Step,
    add_positions,
    attend,
    gate_up,
    last_row,
    layer_norm,
    rms_norm,
)
from ..linear_layers import DeltaNet, apply_gates, without_gates
from ..schemes import Schemes
from ..weight_specs import WeightSpec
from .config import HARMLESS, DecoderConfig
from .family import Module, ModuleShape, Reader
from .held import PAGES, Held, cache_layout, held_by
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
    layout, layers = cache_layout(config, shape), held_by(config, shape)
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
                decoder = Decoder(config, specs, scheme, layout, params.tensors, shape.context)
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


class Decoder:
    """The forward pass over named weights."""

    def __init__(
        self,
        config: DecoderConfig,
        specs: tuple[WeightSpec, ...],
        scheme: Schemes,
        layout: CacheLayout,
        tensors: Mapping[str, Tensor],
        context: int,
    ) -> None:
        self.config, self.layout, self.tensors = config, layout, tensors
        self.context = context
        # A window that no sequence reaches costs the attention kernels a comparison.
        self.windows = tuple(window if window < context else 0 for window in config.windows)
        self.matrices = {
            spec.name: Matrix(spec, scheme, tensors) for spec in specs if spec.kind == "matrix"
        }

    def forward(
        self, tokens: Tensor, step: Step, caches: list[tuple[Tensor, ...]]
    ) -> tuple[Tensor, ...]:
        """(logits f32[1, vocab], every buffer that the layers hold)."""
        x = self.matrices["embedding"].embed(tokens, self.config.embedding_scale)
        if "positions" in self.matrices:
            x = add_positions(x, self.tensors["positions.w"], step)
        results: list[Tensor] = []
        for index in range(self.config.layers):
            x, cache = self.layer(index, x, step, caches[index])
            results += cache
        x = x if x.shape[0] == 1 or step.batch is not None else last_row(x)
        head = self.matrices.get("lm_head", self.matrices["embedding"])
        logits = head.multiply(self.norm("norm", x), softcap=self.config.logit_cap)
        return (logits, *results)

    def norm(self, name: str, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """The norm of that name, where the model has it, plus the residual."""
        weight = self.tensors.get(name)
        if weight is None:
            assert residual is None, name
            return x
        if self.config.norm == "layer":
            assert residual is None, name
            return layer_norm(x, weight, self.tensors[f"{name}.bias"], self.config.norm_eps)
        return rms_norm(x, weight, self.config.norm_eps, residual)

    def join(self, name: str, norm: str, x: Tensor, residual: Tensor) -> Tensor:
        """residual + the norm, where there is one, of the matrix times x."""
        if norm in self.tensors:
            return self.norm(norm, self.matrices[name].multiply(x), residual)
        return self.matrices[name].multiply(x, residual)

    def attention(self, index: int) -> Attention:
        """How layer `index` attends."""
        config, name, window = self.config, f"layers.{index}", self.windows[index]
        local = config.local_rope is not None and config.windows[index] > 0
        rope = self.tensors.get("local_rope" if local else "rope")
        table = 0 if rope is None else int(rope.shape[1])
        norms = [f"{name}.{part}_norm" for part in "qk"] if config.qk_norm else []
        scale = config.head_dim**-0.5 if config.scale is None else config.scale
        return Attention(
            heads=Heads(
                heads=config.heads,
                kv_heads=config.kv_heads,
                head_dim=config.head_dim,
                rotary=table if not config.rotated or config.rotated[index] else 0,
                table=table,
                qk_norm=config.qk_norm,
                eps=config.norm_eps if norms else 0.0,
                # Queries that no sequence takes that far do not grow.
                growth=config.growth if self.context > config.growth_every else 0.0,
                every=config.growth_every,
            ),
            rope=rope,
            gains=tuple(self.tensors[norm] for norm in norms),
            window=window,
            scale=scale / (index + 1) if config.layer_scales else scale,
            softcap=config.score_cap,
        )

    def layer(
        self, index: int, x: Tensor, step: Step, cache: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One block: x f32[n, hidden] -> (x, cache)."""
        name = f"layers.{index}"
        normed = self.norm(f"{name}.input_norm", x)
        attended, cache = self.attend(index, normed, step, cache)
        joined = self.join(f"{name}.output", f"{name}.output_norm", attended, x)
        source = x if self.config.parallel else joined
        shared = self.config.parallel and f"{name}.post_norm" not in self.tensors
        hidden = normed if shared else self.norm(f"{name}.post_norm", source)
        return self.feed_forward(index, hidden, joined), cache

    def attend(
        self, index: int, normed: Tensor, step: Step, cache: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """What layer `index` attends to, or remembers, and what it then holds."""
        name, config = f"layers.{index}", self.config
        first, second = cache
        if config.recurrent(index):
            return self.delta_net(name).forward(normed, step.pos, (first, second))
        qkv = self.matrices[f"{name}.qkv"].multiply(normed)
        attention = self.attention(index)
        if not config.query_gates:
            return attend(qkv, step, (first, second), self.layout, attention)
        plain = without_gates(qkv, config.heads, config.head_dim)
        attended, held = attend(plain, step, (first, second), self.layout, attention)
        return apply_gates(attended, qkv, config.heads, config.head_dim), held

    def delta_net(self, name: str) -> DeltaNet:
        """The layer of that name, which remembers."""
        assert self.config.recurrence is not None, name
        return DeltaNet(
            shape=self.config.recurrence.shape,
            mixer=self.matrices[f"{name}.mixer"],
            rates=self.matrices[f"{name}.rates"],
            decays=self.tensors[f"{name}.decays"],
            conv=self.tensors[f"{name}.conv"],
            gain=self.tensors[f"{name}.heads_norm"],
            eps=self.config.norm_eps,
        )

    def feed_forward(self, index: int, hidden: Tensor, residual: Tensor) -> Tensor:
        """residual + the feed-forward part of a layer."""
        name, activation = f"layers.{index}", self.config.activation
        if self.config.sparse(index):
            return self.mixture(name).forward(hidden, residual)
        if self.config.gated:
            hidden = gate_up(hidden, self.matrices[f"{name}.gate_up"], activation)
        else:
            hidden = self.matrices[f"{name}.up"].multiply(hidden, activation=activation)
        return self.join(f"{name}.down", f"{name}.down_norm", hidden, residual)

    def mixture(self, name: str) -> Mixture:
        """The experts of the layer of that name."""
        experts, matrices = self.config.experts, self.matrices
        assert experts is not None, name
        return Mixture(
            router=matrices[f"{name}.router"],
            gate_up=matrices[f"{name}.expert_gate_up"],
            down=matrices[f"{name}.expert_down"],
            total=experts.count,
            top=experts.top,
            features=experts.intermediate_size,
            renormalize=experts.renormalize,
            activation=self.config.activation,
        )
