"""The compiler's story: a family's Relax module to one plan per class of device."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from runtime.logprobs import BIAS_NBYTES, RECORD_NBYTES
from runtime.manifest import Embedding, Task
from runtime.plan import PLAN_FORMAT, Buffer, Expr, Plan
from runtime.progress import OnProgress, Progress, ignore_progress

from .backend import Backend, WebGpu
from .cpu import backend as processor
from .families import FAMILIES, Family
from .families.decoder import DECODE_BATCH
from .families.family import Module, ModuleShape
from .kernels import PROFILES, Op
from .linearize import PlanBuilder
from .memory import measure_memory
from .passes import lower_graph
from .passes.pack import pack_rows
from .schemes import Schemes
from .weight_specs import WeightSpec

VARIANTS = ("matrix", "f16+subgroups", "f16", "base", "software")
"""From most to least demanding; `software` asks what `base` asks, tuned for processors."""
FEATURES = {
    "matrix": (
        "shader-f16",
        "subgroups",
        "chromium-experimental-subgroup-matrix",
        "subgroup-matrix-f16-f32-16x16x16",
        "subgroup-size-32",
    ),
    "f16+subgroups": ("shader-f16", "subgroups"),
    "f16": ("shader-f16",),
    "base": (),
    "software": (),
}
PACKED = {"decode_dot": "i16", "decode_fused": "f32"}
"""Entries that decode with rows handed from kernel to kernel packed, and how: integers, for
four-byte dot products, are fastest where a device has those."""
BESIDE_THE_DRAW = {
    "logprobs": ("logits", "logprobs"),
    "chosen": ("logits", "token", "logprobs"),
    "bias": ("bias", "logits"),
    "mask": ("token_mask", "logits"),
}
"""Entries of one kernel that work on the logits before or after a draw: what each binds."""
PAGE_SIZE = 16
SEATS = 8
"""Sequences that are decoded together at most: for each there are logits."""
PREFILL_CHUNK = 512
"""Tiles enough to fill a large GPU; a slow one is given less at a time (`runtime/pace.py`)."""
SOFTWARE_PREFILL_CHUNK = 64
"""Small, so that progress and stop are felt on a device that takes a second for it."""
ENCODE_TOKENS, SOFTWARE_ENCODE_TOKENS = 2048, 512
"""Of all the texts that are made vectors of in one run, where no text alone is longer."""
ENCODE_TEXTS = 256


def compile_plans(
    *,
    model_id: str,
    family: str,
    config: Mapping[str, Any],
    scheme: Schemes,
    context: int,
    page_size: int = PAGE_SIZE,
    prefill_chunk: int | None = None,
    variants: tuple[str, ...] = VARIANTS,
    library: bool = True,
    embedding: Embedding | None = None,
    keep: Callable[[bytes], None] | None = None,
    on_progress: OnProgress = ignore_progress,
) -> tuple[Plan, ...]:
    """One plan per variant, most demanding first.

    `config` is the checkpoint's config.json; `context` the longest sequence in tokens;
    `library=False` leaves every kernel of the model to TVM (the reference the library is tested
    against); `embedding` says how texts become vectors, where that is the task; `keep` takes the
    modules of plans for the processor.
    Raises UnsupportedError, CompileError, and ToolError where a processor's plan has no linker.
    """
    reader = FAMILIES[family]
    parsed = reader.read(config)
    plans = []
    for index, name in enumerate(variants):
        on_progress(Progress("compile", index, len(variants), "plans"))
        kind, backend = COMPILERS[reader.task], open_backend(name, keep)
        shape = ModuleShape(
            context=context,
            page_size=page_size,
            prefill_chunk=kind.chunk(prefill_chunk, context, small=backend.small),
            kv_dtype=backend.kv_dtype,
            seats=SEATS,
            embedding=embedding,
        )
        compiler = kind(model_id, reader, parsed, scheme, shape, backend)
        plans.append(compiler.compile(library=library))
    on_progress(Progress("compile", len(variants), len(variants), "plans"))
    return tuple(plans)


class _Compiler:
    """One variant of one model."""

    def __init__(
        self,
        model_id: str,
        family: Family,
        config: Any,
        scheme: Schemes,
        shape: ModuleShape,
        backend: Backend,
    ) -> None:
        self.model_id, self.family, self.config = model_id, family, config
        self.scheme, self.shape, self.backend = scheme, shape, backend
        self.pages = -(-shape.context // shape.page_size)
        self.specs = family.weights(config, shape.context)

    @staticmethod
    def chunk(wanted: int | None, context: int, *, small: bool) -> int:
        """Tokens that one run takes at most."""
        usual = SOFTWARE_PREFILL_CHUNK if small else PREFILL_CHUNK
        return min(wanted or usual, context)

    def compile(self, *, library: bool) -> Plan:
        module = self.family.module(self.config, self.scheme, self.shape)
        bounds = {
            "n": self.shape.prefill_chunk,
            "pos": self.shape.context,
            "pages": self.pages,
        }
        if library and self.backend.packs:
            module = self._packed(module)
        builder = self._lowered(module, bounds, library=library)
        self._add_sampling(builder)
        self._add_rows(builder)
        self._add_synthesis(builder)
        packed = tuple(name for name in PACKED if name in builder.entries)
        buffers = self._buffers(module, builder)
        return self._plan(builder, buffers, {"decode": packed} if packed else {})

    def _lowered(self, module: Module, bounds: Mapping[str, int], *, library: bool) -> PlanBuilder:
        """The module's entries as dispatches."""
        lowered = lower_graph(module.ir, self.backend.target, bounds, module.bounds)
        builder = PlanBuilder(lambda op: None, self.backend.lower)
        for suffix, kernels in self.backend.libraries.items():
            builder.library = kernels if library else builder.library
            builder.add_module(module, lowered, bounds, suffix=suffix)
        builder.library = self.backend.libraries[""]
        return builder

    def _buffers(self, module: Module, builder: PlanBuilder) -> tuple[Buffer, ...]:
        weights = weight_buffers(self.specs, self.scheme)
        scratch = tuple(builder.buffers.values())
        rows = self._row_buffers() if DECODE_BATCH in module.inputs else ()
        return (*weights, *module.caches, *scratch, *self._io_buffers(), *rows)

    def _packed(self, module: Module) -> Module:
        """`module` with further ways to decode: rows handed on packed, as floats or integers."""
        for name, encoding in PACKED.items():
            # Integers need a quantized matrix to meet.
            if encoding == "f32" or any(layout.group for layout in self.scheme.layouts):
                ir = pack_rows(module.ir, "decode", name, encoding)
                inputs = {**module.inputs, name: module.inputs["decode"]}
                outputs = {**module.outputs, name: module.outputs["decode"]}
                module = replace(module, ir=ir, inputs=inputs, outputs=outputs)
        return module

    def _plan(
        self,
        builder: PlanBuilder,
        buffers: tuple[Buffer, ...],
        alternatives: Mapping[str, tuple[str, ...]],
    ) -> Plan:
        kernels = tuple(builder.kernels[name] for name in sorted(builder.kernels))
        plan = Plan(
            format=PLAN_FORMAT,
            model=self.model_id,
            scheme=self.scheme.name,
            variant=self.backend.variant,
            features=self.backend.features,
            limits=self.backend.limits(buffers, kernels, builder.entries, pages=self.pages),
            vocab_size=self.config.vocab_size,
            context=self.shape.context,
            page_size=self.shape.page_size,
            prefill_chunk=self.shape.prefill_chunk,
            buffers=buffers,
            kernels=kernels,
            entries=builder.entries,
            memory=measure_memory(buffers, pages=self.pages, page_size=self.shape.page_size),
            alternatives=alternatives,
            module=self.backend.code(kernels),
        )
        plan.check()
        return plan

    def _add_sampling(self, builder: PlanBuilder) -> None:
        vocab = self.config.vocab_size
        greedy = Op("argmax", {"vocab": vocab})
        sample = Op("sample", {"vocab": vocab})
        builder.add_entry("greedy", (), [(greedy, ("logits", "token"))])
        bindings = ("logits", "sampler", "counts", "token")
        builder.add_entry("sample", ("pos",), [(sample, bindings)])
        count = Op("count", {"vocab": vocab, "n": "n"})
        builder.add_entry("count", ("n",), [(count, ("tokens", "counts"))])
        builder.add_entry("reset", (), [(Op("reset", {"vocab": vocab}), ("counts",))])
        for name, beside in BESIDE_THE_DRAW.items():
            builder.add_entry(name, (), [(Op(name, {"vocab": vocab}), beside)])

    def _add_rows(self, builder: PlanBuilder) -> None:
        """What decoding several sequences together needs besides."""
        if DECODE_BATCH not in builder.entries:
            return
        vocab = self.config.vocab_size
        logits = Op("copy_words", {"words": vocab, "source": "row", "target": ""})
        token = Op("copy_words", {"words": 1, "source": "", "target": "row"})
        builder.add_entry("row_logits", ("row",), [(logits, ("batch_logits", "logits"))])
        builder.add_entry("row_token", ("row",), [(token, ("token", "batch_tokens"))])

    def _add_synthesis(self, builder: PlanBuilder) -> None:
        calls = []
        for spec in self.specs:
            for name, dtype, shape in spec.tensors(self.scheme):
                words = math.prod(shape)
                attrs: dict[str, Any] = {"kind": _fill(spec, name, dtype), "count": words}
                if spec.kind == "rope":
                    attrs["half"] = shape[1] // 2
                calls.append((Op("fill", attrs), (name,)))
        builder.add_entry("synthesize", ("seed",), calls)

    def _io_buffers(self) -> tuple[Buffer, ...]:
        vocab = self.config.vocab_size
        return (
            Buffer("tokens", "io", "i32", Expr(4 * self.shape.prefill_chunk)),
            Buffer("token", "io", "i32", Expr(4)),
            Buffer("page_table", "io", "i32", Expr(("*", Expr(4), Expr("pages")))),
            Buffer("logits", "io", "f32", Expr(4 * vocab)),
            Buffer("sampler", "io", "u32", Expr(64)),
            Buffer("counts", "io", "u32", Expr(4 * vocab)),
            Buffer("logprobs", "io", "u32", Expr(RECORD_NBYTES)),
            Buffer("bias", "io", "u32", Expr(BIAS_NBYTES)),
            Buffer("token_mask", "io", "u32", Expr(4 * -(-vocab // 32))),
        )

    def _row_buffers(self) -> tuple[Buffer, ...]:
        words = SEATS * (1 + self.shape.pages)
        return (
            Buffer("batch_tokens", "io", "i32", Expr(4 * SEATS)),
            Buffer("batch_table", "io", "i32", Expr(4 * words)),
            Buffer("batch_logits", "io", "f32", Expr(4 * SEATS * self.config.vocab_size)),
        )


class _EncoderCompiler(_Compiler):
    """One variant of a model that makes vectors of texts."""

    @staticmethod
    def chunk(wanted: int | None, context: int, *, small: bool) -> int:
        """Tokens of all texts of one run: a text is never parted."""
        usual = SOFTWARE_ENCODE_TOKENS if small else ENCODE_TOKENS
        return max(wanted or usual, context)

    @property
    def texts(self) -> int:
        """Texts of one run at most."""
        return min(ENCODE_TEXTS, self.shape.prefill_chunk)

    def compile(self, *, library: bool) -> Plan:
        module = self.family.module(self.config, self.scheme, self.shape)
        bounds = {"n": self.shape.prefill_chunk, "texts": self.texts}
        builder = self._lowered(module, bounds, library=library)
        self._add_synthesis(builder)
        return self._plan(builder, self._buffers(module, builder), {})

    def _io_buffers(self) -> tuple[Buffer, ...]:
        rows, texts = Expr(4 * self.shape.prefill_chunk), self.texts
        return (
            *(Buffer(name, "io", "i32", rows) for name in ("tokens", "types", "positions")),
            Buffer("spans", "io", "i32", Expr(8 * self.shape.prefill_chunk)),
            Buffer("texts", "io", "i32", Expr(8 * texts)),
            Buffer("embeddings", "io", "f32", Expr(4 * texts * self.config.hidden_size)),
        )


COMPILERS: Mapping[Task, type[_Compiler]] = {"chat": _Compiler, "embedding": _EncoderCompiler}


def open_backend(variant: str, keep: Callable[[bytes], None] | None = None) -> Backend:
    """What compiles plans of `variant`; `keep` takes the modules of a processor's."""
    if variant in processor.VARIANTS:
        return processor.Processor(variant, keep or (lambda module: None))
    return WebGpu(PROFILES[variant], FEATURES[variant])


def weight_buffers(specs: tuple[WeightSpec, ...], scheme: Schemes) -> tuple[Buffer, ...]:
    """The plan buffers of all weights, in stream order."""
    return tuple(
        Buffer(name, "weight", dtype, Expr(4 * math.prod(shape)))
        for spec in specs
        for name, dtype, shape in spec.tensors(scheme)
    )


def _fill(spec: WeightSpec, name: str, dtype: str) -> str:
    if spec.kind != "matrix":
        return "rope" if spec.kind == "rope" else "ones"
    if dtype == "f32":
        return "uniform"
    return {"q": "bits", "s": "scales", "w": "halves"}[name.rpartition(".")[2]]
