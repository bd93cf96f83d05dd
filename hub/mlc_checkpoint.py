"""An MLC repository as a checkpoint: tensors by the names of config.json's family, read by rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.progress import OnProgress, ignore_progress

from . import mlc_groups
from .checkpoint import read_json
from .errors import CheckpointError, UnsupportedError
from .mlc_cache import MlcCache, MlcTensor, identify, read_cache, read_rows
from .mlc_config import ARCHITECTURES, View, head_dim, read_config, views
from .mlc_groups import GROUPINGS, PLAIN, Grouping
from .quantize import Packed
from .rounding import Floats
from .row_orders import PARTS, in_order, parted_rows
from .safetensors import to_float32
from .schemes import Scheme

CHAT_CONFIG = "mlc-chat-config.json"
DOWN = ("down_proj", "fc2", "dense_4h_to_h")
"""Matrices over the elements of the feed-forward part."""
SIZES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
CODES, SCALES = "q_weight", "q_scale"
REMEDY = "download the repository again"


@dataclass(frozen=True, slots=True)
class MlcCheckpoint:
    """An opened repository: the config.json it stands for, and its tensors by the family's
    names. `grouping` is None where nothing is quantized."""

    folder: Path
    config: Mapping[str, Any]
    chat: Mapping[str, Any]
    cache: MlcCache
    grouping: Grouping | None
    entries: Mapping[str, View]

    @classmethod
    def open(cls, folder: Path) -> MlcCheckpoint:
        """Read both documents; CheckpointError, or UnsupportedError naming what is not read."""
        chat = read_json(folder / CHAT_CONFIG)
        grouping = _grouping(folder, chat)
        cache = read_cache(folder)
        config = _config(folder, chat, len(cache.tensors))
        bases = [
            name.removesuffix(CODES) + "weight" if name.endswith(f".{CODES}") else name
            for name in cache.tensors
            if not name.endswith(f".{SCALES}")
        ]
        with _stated(folder / CHAT_CONFIG):
            _check_stacks(folder, str(chat["model_type"]), config, cache)
            entries = dict(views(str(chat["model_type"]), config, bases))
        return cls(folder, config, chat, cache, grouping, entries)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor; CheckpointError when there is none of that name."""
        view = self._view(name)
        plain = self._stored(view, view.base)
        if plain is not None:
            rows, *rest = plain.shape
        else:
            codes, _ = self._groups(view)
            rows, *rest = codes.shape[0], self._cols(name, codes)
        if view.start + view.rows > rows:
            raise CheckpointError(
                f"{self.folder}: tensor {view.base!r} has {rows} rows, too few for {name!r}; "
                + REMEDY
            )
        return (view.rows or rows, *rest)

    def rows(self, name: str, start: int, stop: int) -> Floats:
        """Rows [start, stop) of a tensor (elements, for a vector) as float32."""
        view = self._view(name)
        tensor = self._stored(view, view.base)
        if tensor is not None:
            plain = _floats(_through(view, tensor, start, stop), tensor.dtype)
            return plain - np.float32(view.offset) if view.offset else plain
        assert self.grouping is not None
        codes, scales = self._groups(view)
        return mlc_groups.dequantized(
            self.grouping,
            _through(view, codes, start, stop),
            _floats(_through(view, scales, start, stop), scales.dtype),
            self._cols(name, codes),
        )

    def packed(self, name: str, scheme: Scheme, start: int, stop: int) -> Packed | None:
        """Rows [start, stop) as `scheme` holds them; None when that takes rounding."""
        view = self._view(name)
        if view.base in self.cache.tensors:
            return None
        assert self.grouping is not None
        codes, scales = self._groups(view)
        words = _through(view, codes, start, stop)
        held = _through(view, scales, start, stop)
        if scales.dtype == "bfloat16":
            held = _floats(held, scales.dtype)
        return mlc_groups.packed(name, self.grouping, words, held, scheme)

    def unused(self, used: Collection[str]) -> str | None:
        """The name of a tensor that is none of `used`; None when all are needed."""
        return next(iter(sorted(set(self.entries) - set(used))), None)

    def identify(self, on_progress: OnProgress = ignore_progress) -> dict[str, str]:
        """sha256 of every weight file and its index; CheckpointError for a wrong md5."""
        return identify(self.cache, on_progress)

    def _view(self, name: str) -> View:
        if name not in self.entries:
            raise CheckpointError(
                f"{self.folder}: tensor {name!r} is missing; the repository is incomplete or its "
                f"{CHAT_CONFIG} belongs to another model"
            )
        return self.entries[name]

    def _stored(self, view: View, name: str) -> MlcTensor | None:
        """A tensor of the cache as the view counts its rows; None when there is none."""
        tensor = self.cache.tensors.get(name)
        return tensor if tensor is None or view.expert is None else tensor.one(view.expert)

    def _groups(self, view: View) -> tuple[MlcTensor, MlcTensor]:
        """The codes and the scales of a quantized tensor, which must fit each other."""
        base = view.base
        stem = base.removesuffix("weight")
        codes, scales = (self._stored(view, stem + end) for end in (CODES, SCALES))
        if self.grouping is None or codes is None or scales is None:
            raise CheckpointError(f"{self.folder}: {base!r} lacks codes or scales; {REMEDY}")
        words = self.grouping.group // self.grouping.in_word
        fits = len(codes.shape) == len(scales.shape) == 2 and codes.dtype == "uint32"
        if not fits or codes.shape != (scales.shape[0], scales.shape[1] * words):
            raise CheckpointError(
                f"{self.folder}: {base!r} has codes {list(codes.shape)} and scales "
                f"{list(scales.shape)}, which do not fit each other; {REMEDY}"
            )
        return codes, scales

    def _cols(self, name: str, codes: MlcTensor) -> int:
        """Columns of a quantized matrix: its last group may be longer than the row."""
        assert self.grouping is not None
        dense = self._view(name).expert is None
        features = self.config["intermediate_size" if dense else "moe_intermediate_size"]
        sizes = {
            **dict.fromkeys(DOWN, features),
            "o_proj": self.config["num_attention_heads"] * head_dim(self.config),
        }
        cols: int = sizes.get(name.split(".")[-2], self.config["hidden_size"])
        group = self.grouping.group
        if codes.shape[1] * self.grouping.in_word != -(-cols // group) * group:
            raise CheckpointError(
                f"{self.folder}: {name!r} has rows of {codes.shape[1]} words, {CHAT_CONFIG} asks "
                f"for {cols} elements; {REMEDY}"
            )
        return cols


def _through(view: View, tensor: MlcTensor, start: int, stop: int) -> NDArray[Any]:
    """Rows [start, stop) of what a view shows of a tensor."""
    order = np.arange(view.start + start, view.start + stop)
    if view.parts:
        order = parted_rows(view.parts, tensor.shape[0] // (PARTS * view.parts), start, stop)
    return in_order(order, lambda first, last: read_rows(view.base, tensor, first, last))


def _check_stacks(folder: Path, kind: str, config: Mapping[str, Any], cache: MlcCache) -> None:
    """CheckpointError unless each tensor of all experts, and no other, has a matrix for each."""
    architecture = ARCHITECTURES[kind]
    for name, tensor in cache.tensors.items():
        if architecture.stacks(name.rpartition(".")[0]):
            fits = len(tensor.shape) == 3 and tensor.shape[0] == config["num_experts"]
            wanted = f"the matrices of {config['num_experts']} experts"
        else:
            fits, wanted = len(tensor.shape) < 3, "a vector or a matrix"
        if not fits:
            raise CheckpointError(
                f"{folder}: tensor {name!r} has shape {list(tensor.shape)} where {CHAT_CONFIG} "
                f"asks for {wanted}; {REMEDY}"
            )


def _grouping(folder: Path, chat: Mapping[str, Any]) -> Grouping | None:
    name = chat.get("quantization")
    if not isinstance(name, str) or name not in (*GROUPINGS, *PLAIN):
        raise UnsupportedError(
            f"{folder / CHAT_CONFIG}: quantization {name!r} is not read; there are: "
            f"{', '.join((*GROUPINGS, *PLAIN))}. Take another conversion of the model"
        )
    return GROUPINGS.get(name)


def _config(folder: Path, chat: Mapping[str, Any], tensors: int) -> dict[str, Any]:
    """The config, whose sizes are whole numbers that fit a cache of so many tensors."""
    where = folder / CHAT_CONFIG
    with _stated(where):
        config = read_config(where, chat)
        for key in SIZES:
            if type(config[key]) is not int or config[key] < 1:
                raise UnsupportedError(f"{where}: {key} = {config[key]!r}; {REMEDY}")
        if config["num_hidden_layers"] > tensors:
            raise UnsupportedError(f"{where}: more layers than there are tensors; {REMEDY}")
    return config


@contextmanager
def _stated(where: Path) -> Iterator[None]:
    """Keys that are missing or of another type as UnsupportedError."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError, ZeroDivisionError) as error:
        raise UnsupportedError(
            f"{where}: model_config lacks or misstates {error}; use a current conversion"
        ) from error


def _floats(values: NDArray[Any], dtype: str) -> Floats:
    short = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
    if dtype not in short:
        raise CheckpointError(f"{dtype} numbers where floats belong; {REMEDY}")
    raw = np.ascontiguousarray(values).view(np.uint8).reshape(-1)
    return to_float32(raw, short[dtype]).reshape(values.shape)
