"""The config.json and tensor names behind an mlc-chat-config.json.

MLC keeps the checkpoint's own keys but for a few, and fuses some matrices along their rows. Keys
that are not translated are handed on as they are: the family refuses those it does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from .errors import UnsupportedError

Config = dict[str, Any]

RENAMED = {
    "position_embedding_base": "rope_theta",
    "context_window_size": "max_position_embeddings",
}
HARMLESS = (
    "prefill_chunk_size",
    "max_batch_size",
    "disaggregation",
    "dtype",
    "attention_sink_size",
    "model_type",
    "is_text_model",
)
ALONE = ("tensor_parallel_shards", "pipeline_parallel_stages")
"""Of how many devices a model was prepared for."""

QKV, GATE_UP = "qkv", "gate_up"
EXPERT_GATE_UP, EXPERT_DOWN = "expert_gate_up", "expert_down"
SIZES: Mapping[str, Callable[[Config], tuple[int, ...]]] = {
    QKV: lambda c: (
        c["num_attention_heads"] * head_dim(c),
        c["num_key_value_heads"] * head_dim(c),
        c["num_key_value_heads"] * head_dim(c),
    ),
    GATE_UP: lambda c: (c["intermediate_size"], c["intermediate_size"]),
    EXPERT_GATE_UP: lambda c: (c["moe_intermediate_size"], c["moe_intermediate_size"]),
    EXPERT_DOWN: lambda c: (c["hidden_size"],),
}
"""Rows of the parts of a fused matrix."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """How one MLC `model_type` is read.

    `names` leads from the start of an MLC name to the family's; `fused` from the end of an MLC
    name to the kind of its parts and their names. `norm_offset` is what norms were raised by.
    """

    read: Callable[[Config], Config]
    names: Mapping[str, str]
    fused: Mapping[str, tuple[str, tuple[str, ...]]]
    norm_offset: float = 0.0
    parted: str = ""
    """The end of the name of a tensor with all queries, all keys, all values, where the family has
    the three of each head together."""
    stacked: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    """As `fused`, of tensors with one such matrix for each expert, the first expert first; the
    names have a place for the expert's number."""

    def stacks(self, stem: str) -> bool:
        """Whether a tensor of this name, without its ending, is of all experts."""
        return stem.rpartition(".")[2] in self.stacked


@dataclass(frozen=True, slots=True)
class View:
    """Rows [start, start + rows) of the MLC tensor `base`; all of them where `rows` is 0."""

    base: str
    start: int = 0
    rows: int = 0
    offset: float = 0.0
    """Added to every element there."""
    parts: int = 0
    """Heads whose queries, keys and values lie apart there, where the family has them together."""
    expert: int | None = None
    """Whose matrix of those that lie there the rows are counted in."""


def head_dim(config: Mapping[str, Any]) -> int:
    """Elements of a head, which some families do not name."""
    size: int = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    return size


def read_config(where: Path, chat: Mapping[str, Any]) -> Config:
    """What config.json says of this model; UnsupportedError for a type that is not read."""
    settings, kind = chat.get("model_config"), chat.get("model_type")
    if not isinstance(kind, str) or kind not in ARCHITECTURES:
        raise UnsupportedError(
            f"{where}: model_type {kind!r} is not read from MLC repositories; there are: "
            f"{', '.join(ARCHITECTURES)}. Build from the model's safetensors instead"
        )
    if not isinstance(settings, dict):
        raise UnsupportedError(f"{where}: has no model_config; use a current conversion")
    config = _translated(where, settings)
    if isinstance(config.get("text_config"), dict):
        config["text_config"] = _translated(where, config["text_config"])
    config = ARCHITECTURES[kind].read(config)
    for key in ("bos_token_id", "eos_token_id"):
        if chat.get(key) is not None:
            config[key] = chat[key]
    return config


def _translated(where: Path, settings: Mapping[str, Any]) -> Config:
    for key in ALONE:
        if settings.get(key, 1) != 1:
            raise UnsupportedError(
                f"{where}: {key} = {settings[key]!r}; use a conversion for one device"
            )
    return {
        str(RENAMED.get(key, key)): value
        for key, value in settings.items()
        if key not in (*HARMLESS, *ALONE)
    }


def views(kind: str, config: Config, bases: Iterable[str]) -> Iterator[tuple[str, View]]:
    """(name in the family, where MLC has it) of every tensor; `bases` are the MLC names."""
    architecture = ARCHITECTURES[kind]
    for base in bases:
        stem, _, ending = base.rpartition(".")
        offset = architecture.norm_offset if stem.endswith("norm") else 0.0
        if architecture.stacks(stem):
            yield from _stacked_views(architecture, config, base)
            continue
        parts = [part for part in architecture.fused if stem.endswith(part)]
        if not parts:
            apart = bool(architecture.parted) and stem.endswith(architecture.parted)
            heads = config["num_attention_heads"] if apart else 0
            name = f"{_renamed(architecture, stem)}.{ending}"
            yield name, View(base, offset=offset, parts=heads)
            continue
        size, names = architecture.fused[parts[0]]
        start, outer = 0, _renamed(architecture, stem.removesuffix(parts[0]))
        for name, rows in zip(names, SIZES[size](config), strict=True):
            yield f"{outer}{name}.{ending}", View(base, start, rows, offset)
            start += rows


def _stacked_views(
    architecture: Architecture, config: Config, base: str
) -> Iterator[tuple[str, View]]:
    outer, end, ending = base.rsplit(".", 2)
    kind, names = architecture.stacked[end]
    sizes, prefix = SIZES[kind](config), _renamed(architecture, outer)
    starts = accumulate(sizes[:-1], initial=0)
    places = list(zip(names, starts, sizes, strict=True))
    for expert in range(config["num_experts"]):
        for name, start, rows in places:
            own = f"{prefix}.{name.format(expert)}.{ending}"
            yield own, View(base, start, rows, expert=expert)


def _renamed(architecture: Architecture, name: str) -> str:
    for old, new in architecture.names.items():
        name = name.replace(old, new)
    return name


def _llama(config: Config) -> Config:
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    config["head_dim"] = config.get("head_dim") or hidden // max(heads, 1)
    config["num_key_value_heads"] = config.get("num_key_value_heads") or heads
    return {"model_type": "llama", "hidden_act": "silu", **config}


def _mistral(config: Config) -> Config:
    window = config.pop("sliding_window_size", -1)
    config["sliding_window"] = window if window and window > 0 else None
    if config.get("max_position_embeddings", 0) <= 0:
        # Not kept beside a window: within it every position is seen.
        config["max_position_embeddings"] = window
    return {**_llama(config), "model_type": "mistral"}


def _qwen2(config: Config) -> Config:
    return {**_llama(config), "model_type": "qwen2", "use_sliding_window": False}


def _qwen3(config: Config) -> Config:
    if config.pop("weight_block_size", None) is not None:
        raise UnsupportedError("mlc-chat-config.json: weights in blocks of fp8 are not read")
    return {**_llama(config), "model_type": "qwen3", "use_sliding_window": False}


def _qwen3_moe(config: Config) -> Config:
    """MLC has experts in every layer: it keeps nothing of layers without."""
    return {**_qwen3(config), "model_type": "qwen3_moe"}


def _stablelm(config: Config) -> Config:
    read = {**_llama(config), "model_type": "stablelm"}
    return {key: value for key, value in read.items() if key != "head_dim"}


def _phi(config: Config) -> Config:
    return {**_llama(config), "model_type": "phi", "hidden_act": "gelu_new"}


def _gpt_neox(config: Config) -> Config:
    """The kind of GELU is not kept: Pythia, Dolly and RedPajama have the exact one."""
    config.pop("ffn_out_dtype", None)
    read = {
        **config,
        "model_type": "gpt_neox",
        "hidden_act": "gelu",
        "rotary_emb_base": config.get("rope_theta", 10000),
    }
    return {key: value for key, value in read.items() if key not in ("rope_theta", "head_dim")}


PHI3_WINDOW = 2047
"""Of every published Phi-3 without long rope; MLC keeps no window of theirs."""


def _phi3(config: Config) -> Config:
    scaling = dict(config.pop("rope_scaling", None) or {})
    scaling.pop("max_position_embeddings", None)
    scaling.pop("original_max_position_embeddings", None)
    scaling.pop("type", None)
    original = config.pop("original_max_position_embeddings", 0)
    if scaling:
        config |= {"rope_scaling": scaling, "original_max_position_embeddings": original}
    else:
        config["sliding_window"] = PHI3_WINDOW
    return {**_llama(config), "model_type": "phi3"}


def _olmo2(config: Config) -> Config:
    return {**_llama(config), "model_type": "olmo2"}


def _gemma(config: Config) -> Config:
    return {**_llama(config), "model_type": "gemma", "hidden_act": "gelu_pytorch_tanh"}


def _gemma2(config: Config) -> Config:
    return {**_gemma(config), "model_type": "gemma2"}


def _gemma3(config: Config) -> Config:
    inner = dict(config["text_config"])
    # What the checkpoint's own config said beside what MLC computes by.
    kept = inner.pop("kwargs", None) or {}
    inner |= {key: kept[key] for key in GEMMA3_KEPT if key in kept}
    window = inner.pop("sliding_window_size", None)
    inner |= {"vocab_size": config["vocab_size"], "sliding_window": window}
    if inner.get("rope_scaling") == 0:
        inner.pop("rope_scaling")
    return {**_gemma(inner), "model_type": "gemma3_text"}


GEMMA3_KEPT = ("rope_local_base_freq", "sliding_window_pattern")


_QKV = ("q_proj", "k_proj", "v_proj")
_FUSED = {"qkv_proj": (QKV, _QKV), "gate_up_proj": (GATE_UP, ("gate_proj", "up_proj"))}
_QWEN = {"c_attn": (QKV, _QKV), "gate_up_proj": (GATE_UP, ("gate_proj", "up_proj"))}
_EXPERTS = {
    "moe_gate_up_proj": (EXPERT_GATE_UP, ("experts.{}.gate_proj", "experts.{}.up_proj")),
    "moe_down_proj": (EXPERT_DOWN, ("experts.{}.down_proj",)),
}
_PHI = {
    "transformer.embd": "model.embed_tokens",
    "transformer.h.": "model.layers.",
    "transformer.norm": "model.norm",
    ".ln": ".input_layernorm",
    "mixer.qkv_proj": "self_attn.qkv_proj",
    "mixer.out_proj": "self_attn.o_proj",
}
_PHI1 = {
    "lm_head.ln": "model.final_layernorm",
    "lm_head.linear": "lm_head",
    "transformer.embd": "model.embed_tokens",
    "transformer.h.": "model.layers.",
    ".ln": ".input_layernorm",
    "mixer.out_proj": "self_attn.dense",
    "mixer.": "self_attn.",
}
ARCHITECTURES = {
    "llama": Architecture(_llama, {}, _FUSED),
    "mistral": Architecture(_mistral, {}, _FUSED),
    "qwen2": Architecture(_qwen2, {}, _QWEN),
    "qwen3": Architecture(_qwen3, {}, _QWEN),
    "qwen3_moe": Architecture(_qwen3_moe, {}, {"c_attn": _QWEN["c_attn"]}, stacked=_EXPERTS),
    "phi3": Architecture(_phi3, _PHI, {}),
    "olmo2": Architecture(_olmo2, {}, _FUSED),
    "stablelm": Architecture(_stablelm, {}, _FUSED),
    "phi": Architecture(_phi, _PHI1, {"Wqkv": (QKV, _QKV)}),
    "gpt_neox": Architecture(_gpt_neox, {}, {}, parted="query_key_value"),
    "gemma": Architecture(_gemma, {}, _FUSED, norm_offset=1.0),
    "gemma2": Architecture(_gemma2, {}, _FUSED, norm_offset=1.0),
    "gemma3_text": Architecture(
        _gemma3,
        {"language_model.": ""},
        {"gate_up_proj": _FUSED["gate_up_proj"]},
        norm_offset=1.0,
    ),
}
ARCHITECTURES["gemma3"] = ARCHITECTURES["gemma3_text"]
"""By the model_type of mlc-chat-config.json."""
