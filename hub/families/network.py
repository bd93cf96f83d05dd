"""A decoder's forward pass: what its layers compute, over weights by the names of their specs."""

from __future__ import annotations

from collections.abc import Mapping

from tvm.relax.frontend.nn import Tensor

from ..attention_operators import Heads
from ..expert_layers import Mixture
from ..input_layers import gated_inputs, mixed_inputs, scaled
from ..layers import (
    Attention,
    Matrix,
    Step,
    add_positions,
    attend,
    attend_to,
    gate_up,
    last_row,
    layer_norm,
    normed_values,
    rms_norm,
)
from ..linear_layers import DeltaNet, apply_gates, without_gates
from ..schemes import Schemes
from ..weight_specs import WeightSpec
from .config import DecoderConfig
from .family import ModuleShape
from .held import cache_layout


class Decoder:
    """The forward pass over named weights."""

    def __init__(
        self,
        config: DecoderConfig,
        specs: tuple[WeightSpec, ...],
        scheme: Schemes,
        shape: ModuleShape,
        tensors: Mapping[str, Tensor],
    ) -> None:
        self.config, self.shape, self.tensors = config, shape, tensors
        # A window that no sequence reaches costs the attention kernels a comparison.
        reach = shape.context
        self.windows = tuple(window if window < reach else 0 for window in config.windows)
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
        inputs, held = self.layer_inputs(tokens, x), list(caches)
        for index in range(self.config.layers):
            source = self.config.reads(index)
            x, held[source] = self.layer(index, x, step, held[source])
            x = self.finish(index, x, inputs)
        x = x if x.shape[0] == 1 or step.batch is not None else last_row(x)
        head = self.matrices.get("lm_head", self.matrices["embedding"])
        logits = head.multiply(self.norm("norm", x), softcap=self.config.logit_cap)
        return (logits, *(tensor for tensors in held for tensor in tensors))

    def layer_inputs(self, tokens: Tensor, x: Tensor) -> Tensor | None:
        """What every layer is given besides, f32[n, layers * size], of tokens and their embedding;
        None where there is nothing."""
        config = self.config
        if config.layer_inputs is None:
            return None
        size = config.layer_inputs.size
        looked_up = self.matrices["layer_embedding"].embed(tokens, size**0.5)
        projected = self.matrices["input_projection"].multiply(x)
        scale, gain = config.hidden_size**-0.5, self.tensors["input_norm"]
        return mixed_inputs(projected, looked_up, gain, scale, config.norm_eps)

    def finish(self, index: int, x: Tensor, inputs: Tensor | None) -> Tensor:
        """What layer `index` makes of its inputs added, where there are some, and all of it
        scaled."""
        name = f"layers.{index}"
        if inputs is not None:
            gate = self.matrices[f"{name}.input_gate"]
            opened = gate.multiply(x, activation=self.config.activation)
            given = gated_inputs(opened, inputs, index)
            x = self.join(f"{name}.input_output", f"{name}.input_output_norm", given, x)
        scale = self.tensors.get(f"{name}.scale")
        return x if scale is None else scaled(x, scale)

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
        own = config.reads(index) == index
        norms = [f"{name}.{part}_norm" for part in ("qk" if own else "q")] if config.qk_norm else []
        scale = config.dim(index) ** -0.5 if config.scale is None else config.scale
        return Attention(
            heads=Heads(
                heads=config.heads,
                kv_heads=config.kv_heads,
                head_dim=config.dim(index),
                rotary=table if not config.rotated or config.rotated[index] else 0,
                table=table,
                qk_norm=config.qk_norm,
                eps=config.norm_eps if norms else 0.0,
                # Queries that no sequence takes that far do not grow.
                growth=config.growth if self.shape.context > config.growth_every else 0.0,
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
        attention, layout = self.attention(index), cache_layout(config, self.shape, index)
        if config.reads(index) != index:
            return attend_to(qkv, step, (first, second), layout, attention), cache
        if config.value_norm:
            qkv = normed_values(qkv, attention.heads, config.norm_eps)
        if not config.query_gates:
            return attend(qkv, step, (first, second), layout, attention)
        plain = without_gates(qkv, config.heads, layout.head_dim)
        attended, held = attend(plain, step, (first, second), layout, attention)
        return apply_gates(attended, qkv, config.heads, layout.head_dim), held

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
