"""Encoders of BERT's shape, as a Relax module with one entry.

`encode`: tokens of several texts, one text after the other, to one vector each. Inputs: `tokens`,
`types`, `positions` i32[n]; `spans` i32[n, 2] and `texts` i32[texts, 2] as in
`encoder_operators.py`. It leaves `embeddings` f32[texts, hidden_size].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tvm import relax, tirx
from tvm.relax.frontend.nn import Tensor, op

from runtime.manifest import Task

from .. import encoder_operators
from ..errors import UnsupportedError
from ..layers import F32, Matrix, layer_norm
from ..operators import DTYPES
from ..schemes import GROUP, SCHEMES, Schemes
from ..weight_specs import WeightSpec
from .config import HARMLESS
from .family import Module, ModuleShape, Reader

ROW_INPUTS = ("tokens", "types", "positions")
EMBEDDINGS = ("word", "position", "type")
"""The tables that a row is the sum of, in the order of `ROW_INPUTS` but for the middle."""


@dataclass(frozen=True, slots=True)
class EncoderNames:
    """Checkpoint tensors, without their `.weight` and `.bias`; a layer's follow `layer`."""

    word: str = "embeddings.word_embeddings"
    position: str = "embeddings.position_embeddings"
    type: str = "embeddings.token_type_embeddings"
    embedding_norm: str = "embeddings.LayerNorm"
    layer: str = "encoder.layer.{}."
    qkv: tuple[str, ...] = (
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
    )
    output: str = "attention.output.dense"
    output_norm: str = "attention.output.LayerNorm"
    up: str = "intermediate.dense"
    down: str = "output.dense"
    down_norm: str = "output.LayerNorm"


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderConfig:
    """An encoder's shape; sizes in elements."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    context: int
    types: int
    """Token types: which part of a pair of texts a token is of."""
    norm_eps: float
    activation: str
    prefix: str = ""
    """Before the names of all tensors."""
    names: EncoderNames = EncoderNames()

    def __post_init__(self) -> None:
        if problems := self._problems():
            raise UnsupportedError(f"config.json: {'; '.join(problems)}")

    @property
    def kv_heads(self) -> int:
        return self.heads

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.heads

    @property
    def parameters(self) -> int:
        return sum(spec.rows * spec.cols for spec in encoder_weights(self))

    def _problems(self) -> list[str]:
        sizes = ("vocab_size", "hidden_size", "intermediate_size", "layers", "heads", "context")
        problems = [f"{n} must be positive" for n in (*sizes, "types") if getattr(self, n) <= 0]
        if problems:
            return problems
        if self.hidden_size % self.heads:
            problems.append(f"hidden_size does not divide among {self.heads} heads")
        elif self.head_dim % 4 or self.head_dim > 128:
            problems.append(f"a head of {self.head_dim} is not a multiple of 4 up to 128")
        problems += [
            f"{name} is not a multiple of {GROUP}"
            for name in ("hidden_size", "intermediate_size")
            if getattr(self, name) % GROUP
        ]
        if not 0 < self.norm_eps < 1:
            problems.append(f"layer_norm_eps is {self.norm_eps}, not a small positive number")
        return problems


def encoder_weights(config: EncoderConfig) -> tuple[WeightSpec, ...]:
    """What to take from a checkpoint, in the order the device needs it."""
    names, prefix, hidden = config.names, config.prefix, config.hidden_size
    specs = [
        WeightSpec("word", "matrix", (f"{prefix}{names.word}.weight",), config.vocab_size, hidden),
        _table("position", f"{prefix}{names.position}", config.context, hidden),
        _table("type", f"{prefix}{names.type}", config.types, hidden),
        *_vectors("embedding_norm", prefix + names.embedding_norm, hidden),
    ]
    for index in range(config.layers):
        specs += _layer(config, f"layers.{index}", prefix + names.layer.format(index))
    return tuple(specs)


def _table(name: str, source: str, rows: int, cols: int) -> WeightSpec:
    """A small table whose rows every token is added to: rounded, it would cost more than it
    saves."""
    return WeightSpec(name, "matrix", (f"{source}.weight",), rows, cols, pinned=SCHEMES["f32"])


def _layer(config: EncoderConfig, name: str, prefix: str) -> list[WeightSpec]:
    names, hidden, ffn = config.names, config.hidden_size, config.intermediate_size

    def matrix(suffix: str, sources: tuple[str, ...], rows: int, cols: int) -> list[WeightSpec]:
        own = f"{name}.{suffix}"
        found = [prefix + source for source in sources]
        return [
            WeightSpec(own, "matrix", tuple(f"{s}.weight" for s in found), rows, cols),
            WeightSpec(f"{own}.bias", "vector", tuple(f"{s}.bias" for s in found), rows),
        ]

    return [
        *matrix("qkv", names.qkv, 3 * hidden, hidden),
        *matrix("output", (names.output,), hidden, hidden),
        *_vectors(f"{name}.output_norm", prefix + names.output_norm, hidden),
        *matrix("up", (names.up,), ffn, hidden),
        *matrix("down", (names.down,), hidden, ffn),
        *_vectors(f"{name}.down_norm", prefix + names.down_norm, hidden),
    ]


def _vectors(name: str, source: str, size: int) -> list[WeightSpec]:
    """Weight and bias of a layer norm."""
    return [
        WeightSpec(name, "vector", (f"{source}.weight",), size),
        WeightSpec(f"{name}.bias", "vector", (f"{source}.bias",), size),
    ]


@dataclass(frozen=True, slots=True)
class EncoderFamily:
    """A family of encoders: how its config.json becomes an EncoderConfig."""

    name: str
    model_types: tuple[str, ...]
    parse: Callable[[Reader, Mapping[str, Any]], EncoderConfig]
    task: Task = "embedding"

    def recognises(self, config: Mapping[str, Any]) -> bool:
        return config.get("model_type") in self.model_types

    def read(self, config: Mapping[str, Any]) -> EncoderConfig:
        if not self.recognises(config):
            raise UnsupportedError(
                f"config.json: model_type {config.get('model_type')!r} is not of the family "
                f"{self.name!r} (it reads: {', '.join(self.model_types)})"
            )
        reader = Reader(config, self.name, HARMLESS)
        reader.ignore("model_type")
        result = self.parse(reader, config)
        reader.done()
        return result

    def weights(self, config: EncoderConfig, context: int) -> tuple[WeightSpec, ...]:
        return encoder_weights(config)

    def module(self, config: EncoderConfig, scheme: Schemes, shape: ModuleShape) -> Module:
        assert shape.embedding is not None, "an encoder needs a way to pool"
        specs = encoder_weights(config)
        weights = [tensor for spec in specs for tensor in spec.tensors(scheme)]
        builder, inputs = relax.BlockBuilder(), _inputs(weights)
        tensors = {name: Tensor(_expr=variable) for name, variable in inputs.items()}
        with builder.function("encode", [*inputs.values()]):
            with builder.dataflow():
                encoder = Encoder(config, specs, scheme, tensors)
                recipe = shape.embedding
                result = encoder.forward(recipe.pooling, normalized=recipe.normalized)
                output = builder.emit_output(relax.Tuple([result._expr]))
            builder.emit_func_output(output)
        return Module(builder.get(), {"encode": tuple(inputs)}, {"encode": ("embeddings",)}, ())


def _inputs(weights: list[tuple[str, Any, tuple[int, ...]]]) -> dict[str, relax.Var]:
    """The Relax variables, by the name of the plan buffer behind each."""
    n, texts = tirx.Var("n", "int64"), tirx.Var("texts", "int64")
    shapes: list[tuple[str, str, tuple[Any, ...]]] = [(name, "i32", (n,)) for name in ROW_INPUTS]
    shapes += [("spans", "i32", (n, 2)), ("texts", "i32", (texts, 2)), *weights]
    return {
        name: relax.Var(name.replace(".", "_"), relax.TensorType(dims, DTYPES[dtype]))
        for name, dtype, dims in shapes
    }


class Encoder:
    """The forward pass over named weights: norms after each part, biases everywhere."""

    def __init__(
        self,
        config: EncoderConfig,
        specs: tuple[WeightSpec, ...],
        scheme: Schemes,
        tensors: Mapping[str, Tensor],
    ) -> None:
        self.config, self.tensors = config, tensors
        self.matrices = {
            spec.name: Matrix(spec, scheme, tensors) for spec in specs if spec.kind == "matrix"
        }

    def forward(self, pooling: str, *, normalized: bool) -> Tensor:
        """embeddings f32[texts, hidden]."""
        x = self.embed()
        for index in range(self.config.layers):
            x = self.layer(f"layers.{index}", x)
        func = encoder_operators.pool(self.config.hidden_size, pooling, normalized=normalized)
        texts = self.tensors["texts"]
        out = Tensor.placeholder((texts.shape[0], self.config.hidden_size), F32)
        return op.tensor_ir_op(func, "pool", [x, texts], out)

    def embed(self) -> Tensor:
        """The sum of each token's word, position and type, normed: f32[n, hidden]."""
        sources = {"word": "tokens", "position": "positions", "type": "types"}
        word, position, kind = (
            self.matrices[name].embed(self.tensors[sources[name]], 1.0) for name in EMBEDDINGS
        )
        return self.norm("embedding_norm", word + position + kind)

    def norm(self, name: str, x: Tensor) -> Tensor:
        return layer_norm(x, self.tensors[name], self.tensors[f"{name}.bias"], self.config.norm_eps)

    def layer(self, name: str, x: Tensor) -> Tensor:
        """One block: f32[n, hidden] -> f32[n, hidden]."""
        attended = self.attend(self.matrices[f"{name}.qkv"].multiply(x))
        x = self.norm(f"{name}.output_norm", self.matrices[f"{name}.output"].multiply(attended, x))
        up = self.matrices[f"{name}.up"].multiply(x, activation=self.config.activation)
        return self.norm(f"{name}.down_norm", self.matrices[f"{name}.down"].multiply(up, x))

    def attend(self, qkv: Tensor) -> Tensor:
        """Every row to all rows of its text: f32[n, 3 * hidden] -> f32[n, hidden]."""
        config = self.config
        func = encoder_operators.encoder_attention(
            config.heads, config.head_dim, config.head_dim**-0.5
        )
        out = Tensor.placeholder((qkv.shape[0], config.hidden_size), F32)
        return op.tensor_ir_op(func, "encoder_attention", [qkv, self.tensors["spans"]], out)
