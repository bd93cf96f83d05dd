"""What a family is: the protocol, the facts every family knows, and strict config reading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

from runtime.manifest import Embedding, Task
from runtime.plan import Buffer

from ..errors import UnsupportedError
from ..schemes import Schemes
from ..weight_specs import WeightSpec


class FamilyConfig(Protocol):
    """Facts that the compiler, the manifest and the catalogue need; sizes in elements."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def layers(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def kv_heads(self) -> int: ...
    @property
    def head_dim(self) -> int: ...
    @property
    def context(self) -> int: ...
    @property
    def parameters(self) -> int: ...


class Family(Protocol):
    """One architecture. `module` returns the Relax module and its entry functions' inputs."""

    @property
    def task(self) -> Task:
        """What models of the family are asked for."""
        ...

    def recognises(self, config: Mapping[str, Any]) -> bool:
        """Whether this config.json is of the family."""
        ...

    def read(self, config: Mapping[str, Any]) -> Any:
        """The family's config; UnsupportedError names an option it does not compute."""
        ...

    def weights(self, config: Any, context: int) -> tuple[WeightSpec, ...]:
        """What to take from a checkpoint, in the order the device needs it."""
        ...

    def module(self, config: Any, scheme: Schemes, shape: ModuleShape) -> Module:
        """Relax functions `prefill`, `decode` and `decode_batch`; for the task "embedding",
        `encode`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleShape:
    """What a plan variant fixes besides the model; sizes in tokens, `kv_dtype` "f32" or "f16"."""

    context: int
    page_size: int
    prefill_chunk: int
    kv_dtype: str
    seats: int = 0
    """Sequences to be decoded together; with 0 there is no entry for it."""
    embedding: Embedding | None = None
    """How texts become vectors, where that is the task."""

    @property
    def pages(self) -> int:
        """Of the KV cache, that hold the context."""
        return -(-self.context // self.page_size)


@dataclass(frozen=True, slots=True)
class Module:
    """A Relax module with the plan buffer behind each parameter of each function.

    `inputs[function]` names the buffer (or the symbol `pos`) of every parameter, in order;
    `outputs[function]` the buffers of the results; `caches` declares the KV buffers.
    """

    ir: Any
    inputs: Mapping[str, tuple[str, ...]]
    outputs: Mapping[str, tuple[str, ...]]
    caches: tuple[Buffer, ...]
    bounds: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By function: the largest values of symbols, where others than the plan's."""


class Reader:
    """Reads a config.json strictly: every key is consumed or known to be harmless."""

    def __init__(self, config: Mapping[str, Any], family: str, ignored: frozenset[str]) -> None:
        self._left = {k: v for k, v in config.items() if k not in ignored}
        self.family = family

    def has(self, key: str) -> bool:
        """Whether `key` is there and not yet taken, even as null."""
        return key in self._left

    def take(self, key: str, kind: type, default: Any = ...) -> Any:
        """The value of `key`, of type `kind`; UnsupportedError when missing or of another type."""
        value = self._left.pop(key, default)
        if value is ... or (value is None and default is ...):
            raise UnsupportedError(f"config.json lacks {key!r}, which {self.family} needs")
        if value is None or value is default:
            return default
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise UnsupportedError(f"config.json: {key} is {value!r}, expected a {kind.__name__}")
        return value

    def expect(self, key: str, *allowed: Any) -> None:
        """`key` is absent or one of `allowed`; anything else is not computed by the family."""
        value = self._left.pop(key, allowed[0])
        if value not in allowed:
            raise UnsupportedError(
                f"config.json: {key} = {value!r} is not supported by the family "
                f"{self.family!r} (supported: {', '.join(map(repr, allowed))})"
            )

    def ignore(self, *keys: str) -> None:
        """These keys do not change what the family computes."""
        for key in keys:
            self._left.pop(key, None)

    def refuse(self, key: str, why: str) -> NoReturn:
        """`key` asks for something the family does not compute."""
        raise UnsupportedError(
            f"config.json: {key} asks for {why}, which the family {self.family!r} does not compute"
        )

    def done(self) -> None:
        """Nothing unknown may be left: an unread option could change the computation."""
        if self._left:
            key, value = next(iter(sorted(self._left.items())))
            raise UnsupportedError(
                f"config.json: {key} = {value!r} is not known to the family {self.family!r}; "
                "computing the model without it could be wrong"
            )
