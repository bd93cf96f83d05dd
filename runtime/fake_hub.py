"""A hub in memory, with real documents and a model that only `FakeExecutor` can run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace

from . import codec
from .fake import FAKE_WIDTH, fake_vector
from .manifest import (
    MANIFEST_FORMAT,
    REGISTRY_FORMAT,
    Architecture,
    Embedding,
    File,
    GoldenVector,
    Licence,
    Manifest,
    ModelEntry,
    Quantization,
    Registry,
    Sampling,
    SchemeEntry,
    Source,
    Variant,
)
from .plan import PLAN_FORMAT, Buffer, Entry, Expr, Kernel, Memory, Plan
from .weights import WEIGHTS_FORMAT, Chunk, Tensor, WeightIndex, blob_path

TEMPLATE = (
    "{% for message in messages %}[{{ message.role }}]{{ message.content }}"
    "{% if message.role == 'assistant' %}</s>{% endif %}{% endfor %}<a>"
)
WEIGHTS = bytes(range(256)) * 4
FAKE_EMBEDDING = Embedding(FAKE_WIDTH, 32, "mean", True, {"query": "q: "})


def fake_plan(
    model: str = "fake",
    *,
    variant: str = "base",
    alternatives: Mapping[str, tuple[str, ...]] | None = None,
    context: int = 256,
    page_size: int = 8,
    prefill_chunk: int = 16,
    vocab_size: int = 258,
    seats: int = 0,
    recurrent: bool = False,
) -> Plan:
    """A plan with every entry point and no dispatches, and `alternatives` beside them.

    With `seats` it decodes as many sequences together; a `recurrent` one has a state.
    """
    others = dict(alternatives or {})
    sizes = {"tokens": prefill_chunk, "token": 1, "sampler": 16}
    if seats:
        sizes |= {"batch_tokens": seats, "batch_table": seats * (1 + -(-context // page_size))}
    io = [Buffer(name, "io", "i32", Expr(4 * size)) for name, size in sizes.items()]
    table = Buffer("page_table", "io", "i32", Expr(("*", Expr("pages"), Expr(4))))
    kv = Buffer("kv", "kv", "f32", Expr(("*", Expr("pages"), Expr(64 * page_size))))
    symbols: dict[str, tuple[str, ...]] = {
        "prefill": ("n", "pos"),
        "decode": ("pos",),
        "greedy": (),
        "sample": ("pos",),
        "count": ("n",),
        "reset": (),
        "logprobs": (),
        "chosen": (),
        "bias": (),
        "mask": (),
        "synthesize": ("seed",),
    }
    if seats:
        symbols |= {"decode_batch": ("n",), "row_logits": ("row",), "row_token": ("row",)}
    if recurrent:
        symbols |= {"save": ("pos", "slot"), "restore": ("pos", "slot")}
    symbols |= {other: symbols[name] for name in others for other in others[name]}
    return Plan(
        format=PLAN_FORMAT,
        model=model,
        scheme="f32",
        variant=variant,
        features=(),
        limits={},
        vocab_size=vocab_size,
        context=context,
        page_size=page_size,
        prefill_chunk=prefill_chunk,
        buffers=(*io, table, kv, Buffer("w", "weight", "f32", Expr(len(WEIGHTS)))),
        kernels=(Kernel("nothing", "@compute @workgroup_size(1) fn main() {}", "main"),),
        entries={name: Entry(names, ()) for name, names in symbols.items()},
        memory=Memory(len(WEIGHTS), 64, 0, 4),
        alternatives=others,
    )


def fake_encoder_plan(model: str = "vectors", *, context: int = 32, rows: int = 64) -> Plan:
    """A plan that makes vectors, without dispatches: `rows` tokens and four texts a run."""
    sizes = {"tokens": rows, "types": rows, "positions": rows, "spans": 2 * rows, "texts": 8}
    io = [Buffer(name, "io", "i32", Expr(4 * size)) for name, size in sizes.items()]
    out = Buffer("embeddings", "io", "f32", Expr(4 * FAKE_WIDTH * 4))
    symbols: dict[str, tuple[str, ...]] = {"encode": ("n", "texts"), "synthesize": ("seed",)}
    return replace(
        fake_plan(model, context=context, prefill_chunk=rows),
        buffers=(*io, out, Buffer("w", "weight", "f32", Expr(len(WEIGHTS)))),
        entries={name: Entry(names, ()) for name, names in symbols.items()},
    )


def fake_hub(
    *ids: str,
    plan: Plan | None = None,
    lesser: tuple[Plan, ...] = (),
    synthetic: bool = False,
    tokenizer: str = "{}",
    template: str = TEMPLATE,
) -> dict[str, bytes]:
    """Files of a hub that offers `ids` (or one model, "fake"), all alike.

    `lesser` are variants after `plan`, in the order in which they are tried.
    `tokenizer` is the text of tokenizer.json, which `FakeTokenizer` does not read.
    """
    files: dict[str, bytes] = {}
    entries = [
        _model(files, id, (plan or fake_plan(id), *lesser), synthetic, tokenizer, template)
        for id in ids or ("fake",)
    ]
    registry = Registry(REGISTRY_FORMAT, tuple(entries))
    files["registry.json"] = registry.dumps().encode()
    return files


def _model(
    files: dict[str, bytes],
    id: str,
    plans: tuple[Plan, ...],
    synthetic: bool,
    tokenizer: str,
    template: str,
) -> ModelEntry:
    manifest = _manifest(files, id, plans, synthetic, tokenizer, template)
    file = _put(files, f"models/{id}/f32/manifest.json", manifest.dumps().encode())
    scheme = SchemeEntry("f32", file, manifest.weights_nbytes)
    context = manifest.architecture.context
    return ModelEntry(
        id,
        id,
        "A model of nothing.",
        "fake",
        1,
        context,
        "Apache-2.0",
        synthetic,
        (scheme,),
        manifest.task,
    )


def _manifest(
    files: dict[str, bytes],
    id: str,
    plans: tuple[Plan, ...],
    synthetic: bool,
    tokenizer: str,
    template: str,
) -> Manifest:
    plan = plans[0]
    embedding = FAKE_EMBEDDING if "encode" in plan.entries else None
    folder = f"models/{id}/f32"
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    files[blob_path(digest)] = WEIGHTS
    index = WeightIndex(
        WEIGHTS_FORMAT,
        len(WEIGHTS),
        (Tensor("w", "f32", (len(WEIGHTS) // 4,), 0, len(WEIGHTS)),),
        (Chunk(digest, 0, len(WEIGHTS)),),
    )
    config = json.dumps({"bos_token": "<s>", "eos_token": {"content": "</s>"}})
    texts = {
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": config,
        "chat_template.jinja": template,
    }
    return Manifest(
        format=MANIFEST_FORMAT,
        id=id,
        name=id,
        description="A model of nothing.",
        synthetic=synthetic,
        languages=("en",),
        source=Source("none", "none", {}),
        licence=Licence("Apache-2.0", "Apache License 2.0", "", None),
        architecture=Architecture("fake", 1, 1, 1, 1, 1, 1, plan.vocab_size, plan.context),
        quantization=Quantization("f32", 32.0, 0.0),
        variants=tuple(_variant(files, folder, plan) for plan in plans),
        weights=_put(files, f"{folder}/weights.json", codec.dumps(index).encode()),
        weights_nbytes=len(WEIGHTS),
        files={n: _put(files, f"{folder}/{n}", t.encode()) for n, t in texts.items()},
        bos_token_id=256,
        stop_token_ids=(257,),
        system_prompt=None,
        suggestions=("Hi",),
        sampling=Sampling(temperature=0.0),
        golden=None,
        tools={},
        task="embedding" if embedding else "chat",
        embedding=embedding,
        golden_vector=GoldenVector((1, 2, 3), tuple(fake_vector([1, 2, 3]))) if embedding else None,
    )


def _variant(files: dict[str, bytes], folder: str, plan: Plan) -> Variant:
    file = _put(files, f"{folder}/plan.{plan.variant}.json", plan.dumps().encode())
    return Variant(plan.variant, file, plan.features, plan.limits, len(WEIGHTS), 64, 0, 0)


def _put(files: dict[str, bytes], path: str, data: bytes) -> File:
    files[path] = data
    return File(path, len(data), hashlib.sha256(data).hexdigest())
