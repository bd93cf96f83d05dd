"""The plan: what a compiled model is. Kernels (WGSL text), buffers and flat lists of dispatches.

A plan is data that any executor replays: it names its buffers, and each entry point is a list of
steps `kernel, bindings, uniform words, grid`. Sizes that depend on the run (`n` new tokens, `pos`
tokens already cached, `pages` of KV cache) are small integer expressions over named symbols.

It does not know tokenizers, prompts or where its weights come from: weight buffers carry the names
of the WeightIndex's tensors.

Entry points every chat model has (symbols in brackets):

* `prefill(n, pos)`: reads `tokens` i32[n], appends n positions to the KV cache, leaves `logits`
  f32[vocab] of the last one. 1 <= n <= prefill_chunk.
* `decode(pos)`: the same for the one token in `token` i32[1].
* `greedy()`: `token` = argmax of `logits` (the lowest index among equals).
* `sample(pos)`: `token` = a draw from `logits` under the `sampler` record (see `sampling.py`),
  from the counter-based generator hash(seed, pos), and `counts[token] += 1`.
* `count(n)`: marks the n ids in `tokens` as prompt tokens in `counts` (sets bit 31).
* `reset()`: `counts` = 0.
* `logprobs()`, `bias()`, `mask()` between a decode and a draw, `chosen()` after it: what the
  likeliest tokens are, and what changes the logits (see `logprobs.py` and `constraint.py`).
* `synthesize(seed)`: fills every weight buffer with well-behaved numbers (for benchmarks).

Models without recurrent layers decode several sequences in one step, a token of each:

* `decode_batch(n)`: for each row i < n the token `batch_tokens[i]`, at the position that
  `batch_table` has for the row, in pages of the row's own table; leaves row i of `batch_logits`.
* `row_logits(row)`: `logits` = that row of `batch_logits`; what draws from it is as above.
* `row_token(row)`: `batch_tokens[row]` = `token`.

Models with recurrent layers (`recurrent`) hold, besides pages, a state: what such layers have read
so far, of fixed size. Its buffers have STATE_RING + KEPT_STATES places. `prefill` and `decode` read
the place `pos % STATE_RING` (at position 0 they begin with none) and write the place of the
position behind their tokens, so that the newest STATE_RING states that steps have left remain,
whatever was queued behind them. Older ones remain where they are kept:

* `save(pos, slot)`: keeps the state at position pos in slot 0 <= slot < KEPT_STATES.
* `restore(pos, slot)`: puts it back; `pos` must be the position it was kept at.

Plans for the processor (`module` is not None; variants "cpu" and "cpu-relaxed") are replayed in
WebAssembly, and their `features` say so: "wasm" and "wasm-simd128", for "cpu-relaxed" also
"wasm-relaxed-simd" (see `processor.py`). Their kernels have no WGSL: `entry_point` is an exported
function of the module, and a step calls

    entry_point(address of bindings[0], ..., address of bindings[k-1],
                uniforms in order (i32 and u32 as i32, f32 as f32), begin: i32, end: i32)

without a result. `grid[0]` is the number of its independent work items, `grid[1]` and `grid[2]`
are 1: the executor calls once with [0, items), or splits the items into contiguous ranges among
threads; the next step begins when all are done. The executor lays the buffers out, each at a
multiple of 64 bytes and all zero at first, from `module.data_end` on, behind a further stack for
each further thread; the memory is imported as `env.memory`, and nothing else is.

I/O buffers: `tokens` i32[prefill_chunk], `token` i32[1], `page_table` i32[pages],
`logits` f32[vocab], `sampler` u32[16], `counts` u32[vocab], `logprobs` u32[42],
`bias` u32[2048], `token_mask` u32[ceil(vocab / 32)]; for `seats` sequences `batch_tokens`
i32[seats], `batch_logits` f32[seats, vocab] and `batch_table` i32[seats * (1 + pages of the whole
context)]: the position of each row's token, then the page table of each row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from . import codec
from .errors import FormatError

PLAN_FORMAT = 1
REMEDY = "build the model again with `modelpress build`"

STATE_RING = 5
"""Places of a recurrent state by position: more than the steps of one prefill or decode that a
self-test goes back by."""
KEPT_STATES = 2

OPERATORS = ("+", "-", "*", "//", "%", "min", "max", "<<", ">>", "&")


@dataclass(frozen=True, slots=True)
class Expr:
    """An integer expression: a literal, a symbol, or `(operator, left, right)`.

    In JSON: `7`, `"pos"`, `["+", "n", ["*", 2, "pos"]]`. `//` and `%` are floor division and its
    remainder on non-negative operands.
    """

    value: int | str | tuple[str, Expr, Expr]

    @classmethod
    def from_json(cls, data: Any, where: str) -> Expr:
        if isinstance(data, int) and not isinstance(data, bool):
            return cls(data)
        if isinstance(data, str) and data.isidentifier():
            return cls(data)
        if isinstance(data, list | tuple) and len(data) == 3 and data[0] in OPERATORS:
            left = cls.from_json(data[1], f"{where}[1]")
            right = cls.from_json(data[2], f"{where}[2]")
            return cls((data[0], left, right))
        raise FormatError(where, f"{data!r} is not an integer expression")

    def to_json(self) -> Any:
        if isinstance(self.value, tuple):
            operator, left, right = self.value
            return [operator, left.to_json(), right.to_json()]
        return self.value

    def symbols(self) -> frozenset[str]:
        """The names this expression needs."""
        if isinstance(self.value, tuple):
            return self.value[1].symbols() | self.value[2].symbols()
        return frozenset((self.value,)) if isinstance(self.value, str) else frozenset()

    def evaluate(self, symbols: Mapping[str, int]) -> int:
        """The value under `symbols`; a missing one is a KeyError."""
        if isinstance(self.value, int):
            return self.value
        if isinstance(self.value, str):
            return symbols[self.value]
        operator, left, right = self.value
        return _apply(operator, left.evaluate(symbols), right.evaluate(symbols))


def _apply(operator: str, a: int, b: int) -> int:
    table = {
        "+": lambda: a + b,
        "-": lambda: a - b,
        "*": lambda: a * b,
        "//": lambda: a // b,
        "%": lambda: a % b,
        "min": lambda: min(a, b),
        "max": lambda: max(a, b),
        "<<": lambda: a << b,
        ">>": lambda: a >> b,
        "&": lambda: a & b,
    }
    return table[operator]()


Role = Literal["weight", "kv", "scratch", "io"]
Dtype = Literal["f32", "f16", "i32", "u32"]


@dataclass(frozen=True, slots=True)
class Buffer:
    """A GPU buffer. `nbytes` may use the symbol `pages`; it is a multiple of 4 when evaluated."""

    name: str
    role: Role
    dtype: Dtype
    nbytes: Expr


@dataclass(frozen=True, slots=True)
class Kernel:
    """One compute pipeline: WGSL text with one entry point; group 0 holds all bindings."""

    name: str
    wgsl: str
    entry_point: str


@dataclass(frozen=True, slots=True)
class Uniform:
    """One 4-byte member of a step's uniform struct."""

    type: Literal["i32", "u32", "f32"]
    value: Expr


@dataclass(frozen=True, slots=True)
class Step:
    """One dispatch.

    `bindings[i]` is the buffer at @binding(i); `writes` lists the binding numbers declared
    read_write. When `uniforms` is not empty, a uniform buffer with exactly those members follows
    at @binding(len(bindings)). A grid with a zero is skipped.
    """

    kernel: str
    bindings: tuple[str, ...]
    writes: tuple[int, ...]
    uniforms: tuple[Uniform, ...]
    grid: tuple[Expr, Expr, Expr]


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry point: the symbols it needs and its dispatches in order."""

    symbols: tuple[str, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class ModuleFile:
    """A WebAssembly module of the hub, stored as blobs/sha256/<first two>/<sha256>."""

    sha256: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class Module:
    """The code of a plan for the processor.

    `single` imports an unshared memory; `shared` is the same code for a memory that threads share.
    `data_end` is the first address behind the module's own data and stack, a multiple of 64;
    `stack_bytes` is what each thread needs. `shared` exports its `__stack_pointer`: every further
    thread starts with the upper end of a stack of its own.
    """

    single: ModuleFile
    shared: ModuleFile | None
    data_end: int
    stack_bytes: int


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on the device by role, computed from `buffers`."""

    weights: int
    kv_per_token: int
    scratch: int
    io: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled model for one class of device."""

    format: int
    model: str
    scheme: str
    variant: str
    features: tuple[str, ...]
    """WebGPU features the device must have, e.g. "shader-f16", "subgroups"; or a processor's."""
    limits: Mapping[str, int]
    """WebGPU limits the plan needs, by their WebGPU names, where above or at the defaults."""
    vocab_size: int
    context: int
    """Largest number of tokens a sequence may hold."""
    page_size: int
    prefill_chunk: int
    buffers: tuple[Buffer, ...]
    kernels: tuple[Kernel, ...]
    entries: Mapping[str, Entry]
    memory: Memory
    alternatives: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By entry: others that compute the same with other kernels; which is fastest, and whether it
    is right there, only the device knows."""
    module: Module | None = field(default=None, metadata=codec.ABSENT_IF_NONE)
    """The code of a plan for the processor; None for plans on WebGPU."""

    @classmethod
    def loads(cls, text: str | bytes, where: str = "plan") -> Plan:
        """Decode and check a plan document."""
        data = codec.loads(dict[str, Any], text, where)
        codec.check_format(data, PLAN_FORMAT, where, REMEDY)
        plan: Plan = codec.decode(cls, data, where)
        plan.check(where)
        return plan

    def dumps(self) -> str:
        return codec.dumps(self)

    @property
    def recurrent(self) -> bool:
        """Whether a sequence has a state besides its pages, which can only be taken up again where
        one was left or kept."""
        return "restore" in self.entries

    def check(self, where: str = "plan") -> None:
        """Every name resolves, no buffer is bound both written and again, symbols are declared."""
        buffers = {b.name for b in self.buffers}
        kernels = {k.name for k in self.kernels}
        for name, entry in self.entries.items():
            for index, step in enumerate(entry.steps):
                _check_step(step, entry, buffers, kernels, f"{where}.entries.{name}[{index}]")
        for name, others in self.alternatives.items():
            for other in (name, *others):
                if other not in self.entries:
                    raise FormatError(f"{where}.alternatives", f"there is no entry {other!r}")
                if self.entries[other].symbols != self.entries[name].symbols:
                    raise FormatError(f"{where}.alternatives", f"{other!r} needs other symbols")


def _check_step(step: Step, entry: Entry, buffers: set[str], kernels: set[str], where: str) -> None:
    if step.kernel not in kernels:
        raise FormatError(where, f"kernel {step.kernel!r} is not in the plan")
    for name in step.bindings:
        if name not in buffers:
            raise FormatError(where, f"buffer {name!r} is not in the plan")
    for index in step.writes:
        if not 0 <= index < len(step.bindings):
            raise FormatError(where, f"write {index} is not a binding")
        if step.bindings.count(step.bindings[index]) > 1:
            raise FormatError(where, f"buffer {step.bindings[index]!r} is written and bound twice")
    exprs = (*step.grid, *(u.value for u in step.uniforms))
    for missing in frozenset[str]().union(*(e.symbols() for e in exprs)) - set(entry.symbols):
        raise FormatError(where, f"symbol {missing!r} is not declared by the entry")
