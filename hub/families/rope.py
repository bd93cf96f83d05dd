"""Rotary embeddings as a config.json describes them, down to the table a model is given.

Frequencies follow transformers' modeling_rope_utils to the last bit of float32 that matters:
plain, "linear", "llama3" (Llama 3.1), "yarn" (arXiv 2309.00071) and "longrope" (arXiv 2402.13753).
A table is made once, for the context a model is built with: a scaling whose frequencies depend on
the length of the sequence is refused, or fixed by that context (longrope).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UnsupportedError
from ..weight_specs import RopeTable
from .family import Reader

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LinearScaling:
    """Every frequency divided by `factor`."""

    factor: float


@dataclass(frozen=True, slots=True)
class Llama3Scaling:
    """Low frequencies are divided by `factor`, smoothly."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_context: int


@dataclass(frozen=True, slots=True)
class YarnScaling:
    """Frequencies between two numbers of rotations go smoothly from kept to divided."""

    factor: float
    original_context: int
    beta_fast: float
    beta_slow: float
    truncate: bool
    scale: float


@dataclass(frozen=True, slots=True)
class LongScaling:
    """A divisor for every frequency: one set up to the original context, one beyond it.

    A sequence longer than `original_context` uses the long set at all its positions; a model
    built for a longer context therefore always does.
    """

    short: tuple[float, ...]
    long: tuple[float, ...]
    original_context: int
    scale: float


@dataclass(frozen=True, slots=True)
class ProportionalScaling:
    """The first `share` of the frequencies of a whole head, divided by `factor`; the others are 0:
    pairs lie half a head apart whatever is rotated."""

    share: float
    factor: float


Scaling = ProportionalScaling | LinearScaling | Llama3Scaling | YarnScaling | LongScaling


@dataclass(frozen=True, slots=True)
class Rope:
    """Half-split rotation of the first `dims` elements of every head; `dims` 0 rotates nothing."""

    theta: float
    dims: int
    scaling: Scaling | None = None

    def problems(self) -> list[str]:
        """What would be no number, or no angle, on the device; JSON may say NaN."""
        found = [] if self.dims % 2 == 0 else [f"{self.dims} rotated elements are not even"]
        if not 0 < self.theta < math.inf:
            found.append(f"rope_theta is {self.theta}, not a positive number")
        if self.scaling is not None:
            found += _scaling_problems(self.scaling, self.dims // 2)
        return found


def _scaling_problems(scaling: Scaling, frequencies: int) -> list[str]:
    numbers: dict[str, float] = {}
    for field in fields(scaling):
        value = getattr(scaling, field.name)
        if isinstance(value, tuple):
            numbers |= {f"{field.name}_factor[{i}]": number for i, number in enumerate(value)}
        else:
            numbers[field.name] = value
    found = [
        f"rope_scaling {name} is {number}, not a positive number"
        for name, number in numbers.items()
        if name != "truncate" and not 0 < number < math.inf
    ]
    if isinstance(scaling, Llama3Scaling) and scaling.high_freq_factor <= scaling.low_freq_factor:
        found.append("rope_scaling high_freq_factor is not above low_freq_factor")
    if isinstance(scaling, LongScaling):
        for name, factors in (("short", scaling.short), ("long", scaling.long)):
            if len(factors) != frequencies:
                found.append(
                    f"rope_scaling {name}_factor has {len(factors)} numbers for {frequencies} "
                    "frequencies"
                )
    return found


COMMON_KINDS = ("linear", "llama3", "yarn")
"""The scalings of most families."""


def read_rope(
    reader: Reader,
    sizes: Mapping[str, Any],
    *,
    kinds: tuple[str, ...] = COMMON_KINDS,
    partial: float | None = None,
    theta: float = 10000.0,
    original: int | None = None,
) -> Rope:
    """rope_theta and rope_scaling, or both in rope_parameters as newer checkpoints have them.

    `sizes` as `read_sizes` gives them. `kinds` are the scalings the family computes; `partial` is
    its default for the rotated share of a head, None where the family always rotates all of it;
    `original` its default for the context before scaling, the whole one where there is none.
    UnsupportedError names what is not computed.
    """
    head_dim, context = sizes["head_dim"], sizes["context"]
    settings = dict(reader.take("rope_scaling", dict, None) or {})
    settings |= reader.take("rope_parameters", dict, None) or {}
    theta = reader.take("rope_theta", float, theta)
    share = reader.take("partial_rotary_factor", float, partial or 1.0)
    inner = Reader(settings, f"{reader.family} rope_scaling", frozenset())
    theta = inner.take("rope_theta", float, theta)
    share = inner.take("partial_rotary_factor", float, share)
    if not 0 <= share <= 1 or (partial is None and share != 1.0):
        raise UnsupportedError(
            f"config.json: partial_rotary_factor = {share} is not supported by the family "
            f"{reader.family!r}"
        )
    kind = _kind(inner, kinds)
    original = reader.take("original_max_position_embeddings", int, original or context)
    scaling = _SCALINGS[kind](inner, original, context) if kind != "default" else None
    inner.done()
    if isinstance(scaling, ProportionalScaling):
        return Rope(theta, head_dim, replace(scaling, share=share))
    return Rope(theta, int(head_dim * share), scaling)


def _kind(inner: Reader, kinds: tuple[str, ...]) -> str:
    named = {inner.take("rope_type", str, "default"), inner.take("type", str, "default")}
    kind = str(next(iter(sorted(named - {"default"})), "default"))
    # Phi-3 checkpoints from before the method had a name.
    kind = "longrope" if kind == "su" else kind
    if kind not in ("default", *kinds):
        supported = ", ".join(map(repr, ("default", *kinds)))
        raise UnsupportedError(
            f"config.json: rope_scaling type {kind!r} is not supported by the family "
            f"{inner.family!r} (supported: {supported})"
        )
    return kind


def _linear(inner: Reader, original: int, context: int) -> LinearScaling:
    return LinearScaling(inner.take("factor", float))


def _llama3(inner: Reader, original: int, context: int) -> Llama3Scaling:
    return Llama3Scaling(
        factor=inner.take("factor", float),
        low_freq_factor=inner.take("low_freq_factor", float),
        high_freq_factor=inner.take("high_freq_factor", float),
        original_context=inner.take("original_max_position_embeddings", int),
    )


def _yarn(inner: Reader, original: int, context: int) -> YarnScaling:
    factor = inner.take("factor", float)
    scales = [inner.take(key, float, None) or 0.0 for key in ("mscale", "mscale_all_dim")]
    # As transformers: both or neither; half of them counts for nothing.
    above, below = scales if all(scales) else (1.0, 0.0)
    growth = 0.1 * math.log(factor) if factor > 1 else 0.0
    default = (above * growth + 1.0) / (below * growth + 1.0)
    return YarnScaling(
        factor=factor,
        original_context=inner.take("original_max_position_embeddings", int, original),
        beta_fast=inner.take("beta_fast", float, None) or 32.0,
        beta_slow=inner.take("beta_slow", float, None) or 1.0,
        truncate=inner.take("truncate", bool, True),
        scale=inner.take("attention_factor", float, None) or default,
    )


def _long(inner: Reader, original: int, context: int) -> LongScaling:
    original = inner.take("original_max_position_embeddings", int, original)
    factor = inner.take("factor", float, None) or context / max(original, 1)
    default = 1.0
    if factor > 1 and original > 1:
        default = math.sqrt(1 + math.log(factor) / math.log(original))
    return LongScaling(
        short=_numbers(inner, "short_factor"),
        long=_numbers(inner, "long_factor"),
        original_context=original,
        scale=inner.take("attention_factor", float, None) or default,
    )


def _numbers(inner: Reader, key: str) -> tuple[float, ...]:
    values = inner.take(key, list)
    if not all(isinstance(value, int | float) for value in values):
        raise UnsupportedError(f"config.json: rope_scaling {key} is not a list of numbers")
    return tuple(float(value) for value in values)


def _proportional(inner: Reader, original: int, context: int) -> ProportionalScaling:
    # The share was taken as partial_rotary_factor: `read_rope` puts it in.
    return ProportionalScaling(1.0, inner.take("factor", float, None) or 1.0)


_SCALINGS: Mapping[str, Callable[[Reader, int, int], Scaling]] = {
    "linear": _linear,
    "llama3": _llama3,
    "yarn": _yarn,
    "longrope": _long,
    "proportional": _proportional,
}


def rope_table(rope: Rope, context: int) -> RopeTable:
    """Inverse frequencies in float32 as transformers computes them, for `context` positions."""
    scaling = rope.scaling
    powers = _powers(rope)
    if isinstance(scaling, LongScaling):
        factors = scaling.long if context > scaling.original_context else scaling.short
        return _table(context, np.float32(1) / (_floats(factors) * powers), scaling.scale)
    inv_freq = np.float32(1) / powers
    if isinstance(scaling, LinearScaling):
        inv_freq = inv_freq / np.float32(scaling.factor)
    if isinstance(scaling, ProportionalScaling):
        inv_freq = inv_freq / np.float32(scaling.factor)
        inv_freq[int(scaling.share * rope.dims // 2) :] = 0
    if isinstance(scaling, Llama3Scaling):
        inv_freq = _llama3_frequencies(inv_freq, scaling)
    if isinstance(scaling, YarnScaling):
        return _table(context, _yarn_frequencies(powers, rope, scaling), scaling.scale)
    return _table(context, inv_freq, 1.0)


def _powers(rope: Rope) -> Floats:
    """theta ** (2i / dims) as float32[dims / 2]."""
    exponents = np.arange(0, rope.dims, 2, dtype=np.float32) / np.float32(rope.dims)
    # In float64, because float32 powers differ between processors in their last bit.
    return np.power(rope.theta, exponents.astype(np.float64)).astype(np.float32)


def _floats(values: Any) -> Floats:
    return np.array(values, dtype=np.float32)


def _table(context: int, inv_freq: Floats, scale: float) -> RopeTable:
    return RopeTable(context, tuple(float(f) for f in inv_freq.astype(np.float32)), scale)


def _llama3_frequencies(inv_freq: Floats, scaling: Llama3Scaling) -> Floats:
    """Llama 3.1's frequency-dependent scaling."""
    length = scaling.original_context
    wavelength = np.float32(2 * math.pi) / inv_freq
    slow = inv_freq / np.float32(scaling.factor)
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    smooth = (np.float32(length) / wavelength - np.float32(low)) / np.float32(high - low)
    blended = (np.float32(1) - smooth) * slow + smooth * inv_freq
    result = np.where(wavelength > length / low, slow, inv_freq)
    medium = (wavelength <= length / low) & (wavelength >= length / high)
    return np.where(medium, blended, result).astype(np.float32)


def _yarn_frequencies(powers: Floats, rope: Rope, scaling: YarnScaling) -> Floats:
    """Kept above `beta_fast` rotations over the original context, divided below `beta_slow`."""

    def place(rotations: float) -> float:
        """The frequency, counted from 0, that turns so often; not a whole number."""
        length = scaling.original_context / (rotations * 2 * math.pi)
        return rope.dims * math.log(length) / (2 * math.log(rope.theta))

    low, high = place(scaling.beta_fast), place(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, rope.dims - 1)
    span = high - low or 0.001
    ramp = (np.arange(rope.dims // 2, dtype=np.float32) - np.float32(low)) / np.float32(span)
    kept = np.float32(1) - np.clip(ramp, 0, 1)
    slow = np.float32(1) / (np.float32(scaling.factor) * powers)
    return np.asarray(slow * (1 - kept) + kept / powers, np.float32)
