"""What a decoder computes, and what its tensors are called: all that families differ in.

A family module turns config.json into a DecoderConfig; `weights.py` and `decoder.py` do the rest
for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import UnsupportedError
from ..schemes import GROUP
from .family import Reader
from .parts import Experts, LayerInputs, Recurrence
from .rope import Rope

HARMLESS = frozenset(
    """_name_or_path architectures bos_token_id eos_token_id pad_token_id dtype torch_dtype
    transformers_version use_cache initializer_range attention_dropout
    transformers.js_config return_dict output_hidden_states output_attentions
    chunk_size_feed_forward id2label label2id problem_type is_encoder_decoder
    tie_word_embeddings_source unk_token_id quantization_config_original
    _attn_implementation_autoset unsloth_fixed unsloth_version auto_map""".split()
)
"""Keys of config.json that do not change what a model computes."""


@dataclass(frozen=True, slots=True)
class Names:
    """Checkpoint tensors, without their `.weight` and `.bias`; a layer's follow `layer`.

    A norm without a name is not there.
    """

    embedding: str = "model.embed_tokens"
    positions: str = ""
    """Of the learned positions, where there are some."""
    layer: str = "model.layers.{}."
    input_norm: str = "input_layernorm"
    q_norm: str = "self_attn.q_norm"
    k_norm: str = "self_attn.k_norm"
    """With a place for the number of the head, where each has a norm of its own."""
    qkv: tuple[str, ...] = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
    output: str = "self_attn.o_proj"
    output_norm: str = ""
    """Of what attention gives, before it is added."""
    post_norm: str = "post_attention_layernorm"
    """Of what goes into the feed-forward part."""
    gate_up: tuple[str, ...] = ("mlp.gate_proj", "mlp.up_proj")
    """One name of a matrix up, where there is no gate."""
    down: str = "mlp.down_proj"
    down_norm: str = ""
    """Of what the feed-forward part gives, before it is added."""
    norm: str = "model.norm"
    head: str = "lm_head"
    mixer: tuple[str, ...] = ("linear_attn.in_proj_qkv", "linear_attn.in_proj_z")
    """Of a layer that remembers: queries, keys, values and gates; then its other tensors."""
    rates: tuple[str, ...] = ("linear_attn.in_proj_b", "linear_attn.in_proj_a")
    decays: tuple[str, ...] = ("linear_attn.A_log", "linear_attn.dt_bias")
    """Whole names: there is no `.weight`."""
    conv: str = "linear_attn.conv1d"
    heads_norm: str = "linear_attn.norm"
    remembered: str = "linear_attn.out_proj"
    layer_embedding: str = "model.embed_tokens_per_layer"
    """Of what every layer is given besides; then its other tensors."""
    input_projection: str = "model.per_layer_model_projection"
    input_norm_of_all: str = "model.per_layer_projection_norm"
    input_gate: str = "per_layer_input_gate"
    input_output: str = "per_layer_projection"
    input_output_norm: str = "post_per_layer_input_norm"
    output_scale: str = "layer_scalar"
    """A whole name: there is no `.weight`."""
    router: str = "mlp.gate"
    expert: str = "mlp.experts.{}."
    """Before the names of an expert's matrices."""
    expert_gate_up: tuple[str, ...] = ("gate_proj", "up_proj")
    expert_down: str = "down_proj"


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderConfig:
    """A decoder's shape; field names as in the papers, sizes in elements."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    context: int
    norm_eps: float
    rope: Rope | None
    """None where positions are learned."""
    tied: bool
    """The output head is the embedding."""
    windows: tuple[int, ...]
    """Of each layer: the positions a token sees, itself included; 0 for all."""
    qkv_bias: bool = False
    output_bias: bool = False
    feed_forward_bias: bool = False
    head_bias: bool = False
    gated: bool = True
    """Whether the feed-forward part multiplies by a gate; else it goes up, activates, goes down."""
    parallel: bool = False
    """Whether both parts of a layer read its input, and what they give is added to it at once."""
    activation: str = "silu"
    norm: str = "rms"
    """"rms", or "layer" for layer norms with biases."""
    norm_offset: float = 0.0
    """Added to the weights of all norms."""
    qk_norm: str = ""
    """"head", "row", "layer" or "layers" as in `Heads`; no norms of queries and keys if empty."""
    rotated: tuple[bool, ...] = ()
    """Whether each layer rotates; empty for all of them."""
    local_rope: Rope | None = None
    """Of the layers with a window, where it is another."""
    scale: float | None = None
    """Of attention scores; None for head_dim ** -0.5."""
    layer_scales: bool = False
    """Whether scores of layer i, from 0 on, are divided by i + 1."""
    growth: float = 0.0
    growth_every: int = 1
    """Of queries by their position, as in `Heads`."""
    score_cap: float = 0.0
    logit_cap: float = 0.0
    """Soft caps; 0 for none."""
    embedding_scale: float = 1.0
    interleaved: bool = False
    """Whether the one tensor of queries, keys and values goes head by head."""
    transposed: bool = False
    """Whether the checkpoint holds the layers' matrices as [in, out]."""
    experts: Experts | None = None
    recurrence: Recurrence | None = None
    query_gates: bool = False
    """Whether each head of queries is followed by its gate, on what attention gives there."""
    global_head_dim: int = 0
    """Of the layers without a window, where it is another."""
    value_norm: bool = False
    """Whether each head of values is divided by its root mean square."""
    shared_layers: int = 0
    """The last that many layers keep no keys and values: each reads those of the last layer of its
    kind before them."""
    shared_widening: int = 1
    """How many times as wide the feed-forward parts of those layers are."""
    layer_inputs: LayerInputs | None = None
    layer_scales_output: bool = False
    """Whether what a layer gives is multiplied by a number of its own."""
    names: Names = Names()

    def __post_init__(self) -> None:
        if problems := self._size_problems() or self._number_problems():
            raise UnsupportedError(f"config.json: {'; '.join(problems)}")

    def dim(self, layer: int) -> int:
        """Elements of a head."""
        return self.head_dim if self.windows[layer] else self.global_head_dim or self.head_dim

    def attention_width(self, layer: int) -> int:
        """Elements of all heads."""
        return self.heads * self.dim(layer)

    def qkv_rows(self, layer: int) -> int:
        """Of queries with their gates, and of keys and values where the layer has its own."""
        queries = self.attention_width(layer) * (2 if self.query_gates else 1)
        own = self.reads(layer) == layer
        return queries + (2 * self.kv_heads * self.dim(layer) if own else 0)

    def reads(self, layer: int) -> int:
        """The layer whose keys and values it reads."""
        first = self.layers - self.shared_layers
        if layer < first:
            return layer
        kind = self.windows[layer] > 0
        return max(i for i in range(first) if (self.windows[i] > 0) == kind)

    def features(self, layer: int) -> int:
        """Of the feed-forward part."""
        own = self.reads(layer) == layer
        return self.intermediate_size * (1 if own else self.shared_widening)

    @property
    def parameters(self) -> int:
        from .weights import decoder_weights

        return sum(s.rows * s.cols for s in decoder_weights(self, 1) if s.kind != "rope")

    def sparse(self, layer: int) -> bool:
        """Whether that layer has experts."""
        return self.experts is not None and self.experts.layers[layer]

    def recurrent(self, layer: int) -> bool:
        """Whether that layer remembers instead of attending."""
        return self.recurrence is not None and self.recurrence.layers[layer]

    def _size_problems(self) -> list[str]:
        sizes = ("vocab_size", "hidden_size", "intermediate_size", "layers", "heads", "kv_heads")
        problems = [f"{name} must be positive" for name in sizes if getattr(self, name) <= 0]
        if not problems and self.heads % self.kv_heads:
            problems.append(f"{self.heads} heads do not divide among {self.kv_heads} KV heads")
        problems += [
            f"{name} is not a multiple of {GROUP}"
            for name in ("hidden_size", "intermediate_size")
            if getattr(self, name) % GROUP
        ]
        problems += self._head_problems()
        if len(self.windows) != self.layers:
            problems.append(f"layer_types names {len(self.windows)} layers of {self.layers}")
        if min(self.windows, default=0) < 0:
            problems.append(f"sliding_window is {min(self.windows)}, not a positive number")
        if self.rotated and len(self.rotated) != self.layers:
            problems.append(f"no_rope_layers names {len(self.rotated)} layers of {self.layers}")
        for part in (self.experts, self.recurrence, self.layer_inputs):
            problems += part.problems(self.layers) if part is not None else []
        return problems or self._sharing_problems()

    def _head_problems(self) -> list[str]:
        problems = []
        if self.head_dim % 8 or not 0 < self.head_dim <= 256:
            problems.append(f"head_dim {self.head_dim} is not a multiple of 8 up to 256")
        if self.global_head_dim % 8 or not 0 <= self.global_head_dim <= 512:
            problems.append(f"global_head_dim {self.global_head_dim} is no multiple of 8 up to 512")
        if self.heads * self.head_dim % GROUP:
            problems.append(f"heads * head_dim is not a multiple of {GROUP}")
        return problems

    def _sharing_problems(self) -> list[str]:
        kinds = [window > 0 for window in self.windows]
        own = set(kinds[: self.layers - self.shared_layers])
        if 0 <= self.shared_layers < self.layers and set(kinds) <= own:
            return []
        return [f"num_kv_shared_layers is {self.shared_layers}: some have no layer to read"]

    def _number_problems(self) -> list[str]:
        """What would be no number on the device; JSON may say NaN."""
        eps = "rms_norm_eps" if self.norm == "rms" else "layer_norm_eps"
        positive = {"max_position_embeddings": self.context, eps: self.norm_eps}
        positive |= {"embedding scale": self.embedding_scale}
        optional = {"attention scale": self.scale, "attn_logit_softcapping": self.score_cap}
        optional |= {"final_logit_softcapping": self.logit_cap}
        optional |= {"llama_4_scaling_beta": self.growth}
        positive |= {name: value for name, value in optional.items() if value}
        problems = [
            f"{name} is {value}, not a positive number"
            for name, value in positive.items()
            if not 0 < value < math.inf
        ]
        ropes = [rope for rope in (self.rope, self.local_rope) if rope is not None]
        return problems + [problem for rope in ropes for problem in rope.problems()]


def read_sizes(reader: Reader, eps: str = "rms_norm_eps", /, **defaults: Any) -> Mapping[str, Any]:
    """The fields of a DecoderConfig that nearly every config.json has under the same keys.

    `defaults` by config.json key: what the family takes where the file is silent; `eps` is its key
    of the norms' epsilon.
    """

    def size(key: str) -> Any:
        return reader.take(key, int, defaults.get(key, ...))

    hidden, heads = size("hidden_size"), size("num_attention_heads")
    return {
        "vocab_size": size("vocab_size"),
        "hidden_size": hidden,
        "intermediate_size": size("intermediate_size"),
        "layers": size("num_hidden_layers"),
        "heads": heads,
        "kv_heads": reader.take(
            "num_key_value_heads", int, defaults.get("num_key_value_heads", heads)
        ),
        "head_dim": reader.take("head_dim", int, defaults.get("head_dim", hidden // max(heads, 1))),
        "context": size("max_position_embeddings"),
        "norm_eps": reader.take(eps, float, defaults.get(eps, 1e-6)),
        "tied": reader.take(
            "tie_word_embeddings", bool, defaults.get("tie_word_embeddings", False)
        ),
    }


def read_windows(reader: Reader, layers: int, window: int, default: str) -> tuple[int, ...]:
    """The window of each layer from layer_types; `default` is the type of all where it is absent.

    UnsupportedError for a type of layer that is neither sliding nor full attention.
    """
    kinds = reader.take("layer_types", list, None)
    windows = {"full_attention": 0, "sliding_attention": window}
    for kind in kinds or ():
        if (
            not isinstance(kind, str)
            or kind not in windows
            or (windows[kind] == 0) != (kind == "full_attention")
        ):
            raise UnsupportedError(
                f"config.json: layer_types holds {kind!r}, which the family {reader.family!r} "
                f"does not compute with sliding_window {window or None}"
            )
    return tuple(windows[kind] for kind in kinds or [default] * max(layers, 0))
