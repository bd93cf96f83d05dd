"""What a sequence holds between steps: the plan buffers of pages and states, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from runtime.plan import Buffer, Dtype, Expr

from ..layers import CacheLayout
from ..linear_layers import state_shapes
from .config import DecoderConfig
from .family import ModuleShape

PAGES = "pages"


@dataclass(frozen=True, slots=True)
class Held:
    """One buffer; the first of its dimensions may be PAGES."""

    name: str
    dims: tuple[int | str, ...]
    dtype: Dtype

    def shape(self, pages: Any) -> tuple[Any, ...]:
        return tuple(pages if dim == PAGES else dim for dim in self.dims)

    def buffer(self) -> Buffer:
        """Pages are of the KV cache; a state is scratch that nobody else writes."""
        size = math.prod(dim for dim in self.dims if isinstance(dim, int))
        size *= 2 if self.dtype == "f16" else 4
        if PAGES not in self.dims:
            return Buffer(self.name, "scratch", self.dtype, Expr(size))
        return Buffer(self.name, "kv", self.dtype, Expr(("*", Expr(size), Expr(PAGES))))


def cache_layout(config: DecoderConfig, shape: ModuleShape, layer: int) -> CacheLayout:
    """How the pages of a layer that attends lie."""
    return CacheLayout(config.kv_heads, shape.page_size, config.dim(layer), shape.kv_dtype)


def held_by(config: DecoderConfig, shape: ModuleShape) -> tuple[tuple[Held, ...], ...]:
    """The buffers of every layer."""
    return tuple(tuple(_layer(config, shape, index)) for index in range(config.layers))


def _layer(config: DecoderConfig, shape: ModuleShape, index: int) -> Iterator[Held]:
    if config.recurrent(index):
        assert config.recurrence is not None
        dims = state_shapes(config.recurrence.shape)
        for part, found in zip(("rows", "memory"), dims, strict=True):
            yield Held(f"state.{index}.{part}", found, "f32")
        return
    if config.reads(index) != index:
        return
    dtype: Any = shape.kv_dtype
    for part in ("k", "v"):
        dims_of_page = (PAGES, config.kv_heads, shape.page_size, config.dim(index))
        yield Held(f"kv.{index}.{part}", dims_of_page, dtype)
