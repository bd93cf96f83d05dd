"""Small kernels around a draw: `argmax`, `count`, `reset`, `mask`, `bias`, `chosen`, `logprobs`.

Each is what the WebGPU library documents under its name (`hub/kernels/sampling.py`, `mask.py`,
`logprobs.py`), with NaN below everything.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tvm import tirx
from tvm.tirx.script.builder import ir as B

from runtime.logprobs import BIAS_PAIRS, NO_TOKEN, TOP
from runtime.plan import Expr, Uniform

from ...kernels.kernel import Op
from ...kernels.mask import LEAST
from .kernel import CpuKernel, CpuProfile
from .vectors import Body, function, named

ALONE = Expr(1)
PROMPT_BIT = 0x80000000
LOWEST = -3.402823e38
TILE = 1024
"""Words that an item sets."""


def kernel(
    name: str,
    build: Callable[[Body], None],
    writes: tuple[int, ...],
    *,
    key: tuple[object, ...],
    uniforms: tuple[Uniform, ...] = (),
    items: Expr = ALONE,
) -> CpuKernel:
    """The kernel that `build` writes, whose code depends on `key`."""
    return CpuKernel(named(name, *key), function(build), writes, uniforms, items)


def symbol(name: str) -> Uniform:
    """A uniform that carries a symbol of the plan."""
    return Uniform("i32", Expr(name))


def variable(dtype: str, value: Any) -> Any:
    """A scalar that changes, an array of one element."""
    kept = B.alloc_buffer((1,), dtype, scope="local")
    B.buffer_store(kept, value, [0])
    return kept


def assign(kept: Any, value: Any) -> None:
    B.buffer_store(kept, value, [0])


def total(a: Any, b: Any) -> Any:
    """The sum of two u32, wrapping: TVM tells LLVM that 32 bits never overflow, so in 64."""
    return B.Cast("uint32", B.Cast("uint64", a) + B.Cast("uint64", b))


def product(a: Any, factor: int) -> Any:
    """A u32 times a literal, wrapping."""
    return B.Cast("uint32", B.Cast("uint64", a) * tirx.const(factor, "uint64"))


def mix(value: Any) -> Any:
    """A u32 finalizer of two multiplications."""
    # Kept in a local variable: TVM's analysis follows what is bound, and doubles with every use.
    h = variable("uint32", value)
    assign(h, h[0] ^ (h[0] >> B.uint32(16)))
    assign(h, product(h[0], 0x7FEB352D))
    assign(h, h[0] ^ (h[0] >> B.uint32(15)))
    assign(h, product(h[0], 0x846CA68B))
    assign(h, h[0] ^ (h[0] >> B.uint32(16)))
    return h[0]


def argmax(op: Op, profile: CpuProfile) -> CpuKernel:
    """logits f32[vocab], token i32[1]."""
    vocab = op.integer("vocab")

    def build(f: Body) -> None:
        logits, token = f.buffer(), f.buffer("int32")
        with f.items():
            best = variable("float32", B.float32(LOWEST))
            index = variable("int32", B.int32(0))
            with B.serial(0, vocab) as i, B.If(logits[i] > best[0]), B.Then():
                assign(best, logits[i])
                assign(index, i)
            B.buffer_store(token, index[0], [0])

    return kernel("argmax", build, (1,), key=(vocab,))


def count(op: Op, profile: CpuProfile) -> CpuKernel:
    """tokens i32[n], counts u32[vocab]: sets bit 31 of the ids' counts."""
    vocab = op.integer("vocab")

    def build(f: Body) -> None:
        tokens, counts, n = f.buffer("int32"), f.buffer("uint32"), f.scalar("n")
        with f.items(), B.serial(0, n) as i:
            id = tokens[i]
            with B.If(tirx.all(id >= 0, id < vocab)), B.Then():
                B.buffer_store(counts, counts[id] | B.uint32(PROMPT_BIT), [id])

    rows = Uniform("i32", op.tokens)
    return kernel("count", build, (1,), key=(vocab,), uniforms=(rows,))


def reset(op: Op, profile: CpuProfile) -> CpuKernel:
    """counts u32[vocab] = 0."""
    vocab = op.integer("vocab")

    def build(f: Body) -> None:
        counts = f.buffer("uint32")
        with f.items() as tile, B.serial(0, B.min(TILE, vocab - tile * TILE)) as i:
            B.buffer_store(counts, B.uint32(0), [tile * TILE + i])

    return kernel("reset", build, (0,), key=(vocab,), items=Expr(-(-vocab // TILE)))


def mask(op: Op, profile: CpuProfile) -> CpuKernel:
    """allowed u32[ceil(vocab / 32)], logits f32[vocab]: logits whose bit is 0 become `LEAST`."""
    vocab = op.integer("vocab")

    def build(f: Body) -> None:
        allowed, logits = f.buffer("uint32"), f.buffer()
        with f.items() as word, B.serial(0, B.min(32, vocab - word * 32)) as bit:
            found = (allowed[word] >> B.Cast("uint32", bit)) & B.uint32(1)
            with B.If(found == B.uint32(0)), B.Then():
                B.buffer_store(logits, B.float32(LEAST), [word * 32 + bit])

    return kernel("mask", build, (1,), key=(vocab,), items=Expr(-(-vocab // 32)))


def bias(op: Op, profile: CpuProfile) -> CpuKernel:
    """bias u32[2 * pairs], logits f32[vocab]: each pair's float is added to its token's logit."""
    vocab = op.integer("vocab")

    def build(f: Body) -> None:
        pairs, logits = f.buffer("uint32"), f.buffer()
        with f.items(), B.serial(0, BIAS_PAIRS) as i:
            with B.If(pairs[2 * i] < B.uint32(vocab)), B.Then():
                at = B.Cast("int32", pairs[2 * i])
                added = B.reinterpret("float32", pairs[2 * i + 1])
                B.buffer_store(logits, logits[at] + added, [at])

    return kernel("bias", build, (1,), key=(vocab,))


def chosen(op: Op, profile: CpuProfile) -> CpuKernel:
    """logits f32[vocab], token i32[1], record u32[42]: word 1 is the logit of the token."""
    vocab = op.integer("vocab")

    def build(f: Body) -> None:
        logits, token, record = f.buffer(), f.buffer("int32"), f.buffer("uint32")
        with f.items():
            at = B.max(B.min(token[0], B.int32(vocab - 1)), B.int32(0))
            B.buffer_store(record, B.reinterpret("uint32", logits[at]), [1])

    return kernel("chosen", build, (2,), key=(vocab,))


def logprobs(op: Op, profile: CpuProfile) -> CpuKernel:
    """logits f32[vocab], record u32[42]: all of the record but word 1."""
    vocab = op.integer("vocab")

    def build(f: Body) -> None:
        logits, record = f.buffer(), f.buffer("uint32")
        values = B.alloc_buffer((TOP + 1,), "float32", scope="local")
        tokens = B.alloc_buffer((TOP + 1,), "int32", scope="local")
        with f.items():
            with B.serial(0, TOP) as i:
                B.buffer_store(values, B.float32(-math.inf), [i])
                B.buffer_store(tokens, B.int32(-1), [i])
            with B.serial(0, vocab) as i:
                _insert(values, tokens, logits[i], i)
            _write_best(record, values, tokens)
            _write_mass(record, logits, values[0], vocab)

    return kernel("logprobs", build, (1,), key=(vocab,))


def _insert(values: Any, tokens: Any, value: Any, index: Any) -> None:
    """Into the sorted `TOP` best, behind its equals, unless all of them are as good."""
    with B.If(tirx.any(value > values[TOP - 1], tirx.all(tokens[TOP - 1] < 0, value == value))):
        with B.Then():
            place = variable("int32", B.int32(TOP - 1))
            with B.While(_goes_before(values, tokens, place[0], value)):
                B.buffer_store(values, values[place[0] - 1], [place[0]])
                B.buffer_store(tokens, tokens[place[0] - 1], [place[0]])
                assign(place, place[0] - 1)
            B.buffer_store(values, value, [place[0]])
            B.buffer_store(tokens, index, [place[0]])


def _goes_before(values: Any, tokens: Any, place: Any, value: Any) -> Any:
    before = B.max(place - 1, B.int32(0))
    return tirx.all(place > 0, tirx.any(values[before] < value, tokens[before] < 0))


def _write_best(record: Any, values: Any, tokens: Any) -> None:
    with B.serial(0, TOP) as i:
        B.buffer_store(record, B.reinterpret("uint32", values[i]), [2 + i])
        token = B.Select(tokens[i] < 0, B.uint32(NO_TOKEN), B.Cast("uint32", tokens[i]))
        B.buffer_store(record, token, [2 + TOP + i])


def _write_mass(record: Any, logits: Any, peak: Any, vocab: int) -> None:
    """The logarithm of the sum of exp(logits), NaN left out."""
    total = variable("float32", B.float32(0))
    with B.serial(0, vocab) as i, B.If(logits[i] - peak > B.float32(-80)), B.Then():
        assign(total, total[0] + B.exp(logits[i] - peak))
    whole = peak + B.log(B.max(total[0], B.float32(1e-37)))
    B.buffer_store(record, B.reinterpret("uint32", whole), [0])
