"""How the next token is drawn: validated parameters and the record the device's sampler reads.

The record, u32[16]: words 0-5 are the f32 bits of temperature, top_p, min_p, frequency_penalty,
presence_penalty and repetition_penalty; word 6 is top_k (0 keeps all); words 7 and 8 are the low
and high half of the seed; the rest are zero.
"""

from __future__ import annotations

import math
import secrets
import struct
from dataclasses import dataclass

from .errors import ModelpressError
from .manifest import Sampling

MAX_SEED = 2**64 - 1

RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0.0, 2.0),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "frequency_penalty": (-2.0, 2.0),
    "presence_penalty": (-2.0, 2.0),
    "repetition_penalty": (0.01, 100.0),
}
"""Inclusive bounds of each real parameter; the first four follow the OpenAI API."""


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """Checked on construction; ModelpressError "bad_request" names the field in `details.param`.

    `seed` None means a fresh one for each request. Repetition penalty divides (or multiplies) the
    logits of tokens seen in prompt or answer (CTRL, arXiv 1909.05858); 1.0 is none.
    """

    temperature: float = 0.7
    top_p: float = 0.95
    top_k: int = 0
    min_p: float = 0.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            _check_real(name, getattr(self, name), low, high)
        _check_integer("top_k", self.top_k, 0, 2**31 - 1)
        if self.seed is not None:
            _check_integer("seed", self.seed, -(2**63), MAX_SEED)

    @classmethod
    def from_defaults(cls, defaults: Sampling) -> SamplingParams:
        """A model's defaults, no seed."""
        names = (*RANGES, "top_k")
        return cls(**{name: getattr(defaults, name) for name in names})

    @property
    def penalized(self) -> bool:
        """Whether any penalty changes the logits, so that token counts are needed."""
        neutral = (self.frequency_penalty, self.presence_penalty, self.repetition_penalty)
        return neutral != (0.0, 0.0, 1.0)

    @property
    def entry(self) -> str:
        """The plan's entry that draws: "greedy" needs no record, "sample" reads it."""
        return "greedy" if self.temperature == 0.0 and not self.penalized else "sample"

    def record(self) -> bytes:
        """The 64 bytes of the `sampler` buffer, with a fresh seed when none was asked for."""
        # Penalties apply at temperature 0 too: the best of the penalized logits is top-k of one,
        # and a fixed seed decides among equals.
        greedy = self.temperature == 0.0
        fresh = 0 if greedy else secrets.randbits(64)
        seed = fresh if self.seed is None else self.seed & MAX_SEED
        return struct.pack(
            "<6f3I28x",
            1.0 if greedy else self.temperature,
            self.top_p,
            self.min_p,
            self.frequency_penalty,
            self.presence_penalty,
            self.repetition_penalty,
            1 if greedy else self.top_k,
            seed & 0xFFFFFFFF,
            seed >> 32,
        )


def _check_real(name: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise bad_param(name, f"{name} must be a number, not {type(value).__name__}")
    if not low <= value <= high or math.isnan(value):
        raise bad_param(name, f"{name} must lie between {low:g} and {high:g}, not {value!r:.40}")


def _check_integer(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise bad_param(name, f"{name} must be a whole number, not {type(value).__name__}")
    if not low <= value <= high:
        raise bad_param(name, f"{name} must lie between {low} and {high}")


def bad_param(param: str, message: str) -> ModelpressError:
    """A "bad_request" that names the offending field, as OpenAI's errors do."""
    return ModelpressError("bad_request", message, details={"param": param})
