"""A hub with one toy model that is right by construction: it counts.

Its "logits" put the next id (one more, modulo the vocabulary) on top, so the greedy answer to a
prompt ending in id k is k+1, k+2, ... Weights are two chunks of a pattern; `next` holds the table
the kernels read, so a wrong upload gives wrong answers.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np

from runtime.manifest import (
    MANIFEST_FORMAT,
    REGISTRY_FORMAT,
    Architecture,
    File,
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
from runtime.plan import PLAN_FORMAT, Buffer, Entry, Expr, Kernel, Memory, Plan, Step, Uniform
from runtime.weights import WEIGHTS_FORMAT, Chunk, Tensor, WeightIndex, blob_path

VOCAB = 64
CHUNK = 64
"""Tokens a prefill chunk; also the page size in these plans."""
FILLER_WORDS = 1 << 18

WORDS = (*"abcdefghijklmnopqrstuvwxyz0123456789 .,!?:;'-\n", "<s>", "<e>", "<u>", "<a>")
END = WORDS.index("<e>")
TEMPLATE = "{% for m in messages %}<u>{{ m.content }}{% endfor %}"

ONE = Expr(1)
HEAD = """
@group(0) @binding(0) var<storage, read> ids: array<i32>;
@group(0) @binding(1) var<storage, read> next: array<i32>;
@group(0) @binding(2) var<storage, read_write> logits: array<f32>;
"""
PREFILL = (
    HEAD
    + """
struct Args { n: u32 }
@group(0) @binding(3) var<uniform> args: Args;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  logits[id.x] = select(0.0, 1.0, i32(id.x) == next[ids[args.n - 1u]]);
}
"""
)
DECODE = (
    HEAD
    + """
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  logits[id.x] = select(0.0, 1.0, i32(id.x) == next[ids[0]]);
}
"""
)
AGAIN = DECODE.replace("select(0.0, 1.0, ", "f32(")
"""Another way to decode, right as well."""
BAD = DECODE.replace("0.0, 1.0", "0.0, nonsense")
PICK = """
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> token: array<i32>;
@compute @workgroup_size(1) fn main() {
  var best = 0;
  for (var i = 1; i < 64; i += 1) { if (logits[i] > logits[best]) { best = i; } }
  token[0] = best;
}
"""
RESET = """
@group(0) @binding(0) var<storage, read_write> counts: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  counts[id.x] = 0u;
}
"""


def toy_plan() -> Plan:
    """Every entry point of a chat model; two more ways to decode, one of which compiles."""
    pick = Step("pick", ("logits", "token"), (1,), (), (ONE, ONE, ONE))
    reset = Step("reset", ("counts",), (0,), (), (ONE, ONE, ONE))
    n = (Uniform("u32", Expr("n")),)
    prefill = Step("prefill", ("tokens", "next", "logits"), (2,), n, (ONE, ONE, ONE))
    decode = Step("decode", ("token", "next", "logits"), (2,), (), (ONE, ONE, ONE))
    others = {
        f"decode.{name}": dataclasses.replace(decode, kernel=name) for name in ("again", "bad")
    }
    sizes = {"tokens": 4 * CHUNK, "token": 4, "logits": 4 * VOCAB, "sampler": 64}
    dtypes = {"logits": "f32", "sampler": "u32", "counts": "u32"}
    io = {**sizes, "counts": 4 * VOCAB}
    buffers = [Buffer(k, "io", dtypes.get(k, "i32"), Expr(v)) for k, v in io.items()]  # type: ignore[arg-type]
    pages = Expr(("*", Expr(4), Expr("pages")))
    return Plan(
        format=PLAN_FORMAT,
        model="toy",
        scheme="f32",
        variant="base",
        features=(),
        limits={"maxStorageBuffersPerShaderStage": 3},
        vocab_size=VOCAB,
        context=256,
        page_size=CHUNK,
        prefill_chunk=CHUNK,
        buffers=(
            Buffer("next", "weight", "i32", Expr(4 * VOCAB)),
            Buffer("filler", "weight", "u32", Expr(4 * FILLER_WORDS)),
            Buffer("cache", "kv", "f32", Expr(("*", Expr(CHUNK * 4), Expr("pages")))),
            Buffer("page_table", "io", "i32", pages),
            *buffers,
        ),
        kernels=(
            Kernel("prefill", PREFILL, "main"),
            Kernel("decode", DECODE, "main"),
            Kernel("again", AGAIN, "main"),
            Kernel("bad", BAD, "main"),
            Kernel("pick", PICK, "main"),
            Kernel("reset", RESET, "main"),
        ),
        entries={
            "prefill": Entry(("n", "pos"), (prefill,)),
            "decode": Entry(("pos",), (decode,)),
            "greedy": Entry((), (pick,)),
            "sample": Entry(("pos",), (pick,)),
            "count": Entry(("n",), ()),
            "reset": Entry((), (reset,)),
            **{name: Entry(("pos",), (step,)) for name, step in others.items()},
        },
        memory=Memory(4 * (VOCAB + FILLER_WORDS), 16, 0, sum(io.values())),
        alternatives={"decode": tuple(others)},
    )


def write_toy_hub(folder: Path) -> WeightIndex:
    """Write the whole hub; returns its weight index."""
    index = _write_weights(folder)
    home = "models/toy/f32"
    plan = _write(folder, f"{home}/plan.base.json", toy_plan().dumps())
    weights = _write(folder, f"{home}/weights.json", index.dumps())
    tokenizer = _write(folder, f"{home}/tokenizer.json", json.dumps(_tokenizer()))
    template = _write(folder, f"{home}/chat_template.jinja", TEMPLATE)
    files = {"tokenizer.json": tokenizer, "chat_template.jinja": template}
    manifest = _manifest(plan, weights, index.nbytes, files)
    entry = _write(folder, f"{home}/manifest.json", manifest.dumps())
    scheme = SchemeEntry("f32", entry, index.nbytes)
    model = ModelEntry("toy", "Toy", "It counts.", "toy", 64, 256, "Apache-2.0", False, (scheme,))
    _write(folder, "registry.json", Registry(REGISTRY_FORMAT, (model,)).dumps())
    return index


def _write_weights(folder: Path) -> WeightIndex:
    """Chunks of 600,000 bytes, so that `filler` spans them and `next` lies behind its start."""
    table = np.array([(i + 1) % END for i in range(VOCAB)], np.int32)
    filler = np.arange(FILLER_WORDS, dtype=np.uint32)
    stream = filler.tobytes() + table.tobytes()
    cuts = range(0, len(stream), 600_000)
    chunks = []
    for cut in cuts:
        data = stream[cut : cut + 600_000]
        sha256 = hashlib.sha256(data).hexdigest()
        path = folder / blob_path(sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        chunks.append(Chunk(sha256, cut, len(data)))
    tensors = (
        Tensor("filler", "u32", (FILLER_WORDS,), 0, filler.nbytes),
        Tensor("next", "i32", (VOCAB,), filler.nbytes, table.nbytes),
    )
    return WeightIndex(WEIGHTS_FORMAT, len(stream), tensors, tuple(chunks))


def _manifest(plan: File, weights: File, nbytes: int, files: dict[str, File]) -> Manifest:
    limits = toy_plan().limits
    variant = Variant("base", plan, (), limits, nbytes, 16, 0, 2)
    return Manifest(
        format=MANIFEST_FORMAT,
        id="toy",
        name="Toy",
        description="It counts.",
        synthetic=False,
        languages=("en",),
        source=Source("toy", "0", {}),
        licence=Licence(
            "Apache-2.0", "Apache", "https://www.apache.org/licenses/LICENSE-2.0", None
        ),
        architecture=Architecture("toy", 64, 1, 1, 1, 1, 1, VOCAB, 256),
        quantization=Quantization("f32", 32.0, 0.0),
        variants=(variant,),
        weights=weights,
        weights_nbytes=nbytes,
        files=files,
        bos_token_id=None,
        stop_token_ids=(END,),
        system_prompt=None,
        suggestions=(),
        sampling=Sampling(temperature=0.0),
        golden=None,
        tools={},
    )


def _tokenizer() -> dict[str, object]:
    """One token a character, and four special ones."""
    special = [w for w in WORDS if len(w) > 1]
    added = [
        {"id": WORDS.index(w), "content": w, "special": True}
        | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        for w in special
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {"type": "Fuse"},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {w: i for i, w in enumerate(WORDS)},
            "merges": [],
        },
    }


def _write(folder: Path, path: str, text: str) -> File:
    data = text.encode()
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(data)
    return File(path, len(data), hashlib.sha256(data).hexdigest())


__all__ = ["END", "WORDS", "toy_plan", "write_toy_hub"]
