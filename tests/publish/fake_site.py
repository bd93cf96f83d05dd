"""A small site with the structure of a real one: true documents, random weights."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

from runtime.manifest import (
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
from runtime.weights import Chunk, WeightIndex, blob_path

CHUNK_NBYTES = 32768
CHUNKS = 4
WASM = bytes.fromhex(
    "0061736d01000000"  # magic and version
    "010501600001 7f".replace(" ", "")  # type: () -> i32
    + "03020100"  # one function of it
    + "070a0106616e7377657200 00".replace(" ", "")  # exported as "answer"
    + "0a06010400412a0b"  # i32.const 42
)
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<link rel="stylesheet" href="engine/style.css"><link rel="manifest" href="app.webmanifest">
<link rel="icon" href="icon.svg"></head>
<body><p id="answer">waiting</p><script type="module" src="engine/main.mjs"></script></body></html>
"""
MAIN = """const url = new URL("./answer.wasm", import.meta.url);
const { instance } = await WebAssembly.instantiateStreaming(fetch(url));
const registry = await (await fetch(new URL("../registry.json", import.meta.url))).json();
document.querySelector("#answer").textContent =
  `${registry.models[0].id} says ${instance.exports.answer()}`;
"""


def write_site(root: Path, *, title: str = "first", seed: int = 1) -> Path:
    """Write the site; `title` changes only the page, `seed` only the weights."""
    root.mkdir(parents=True, exist_ok=True)
    write(root, "index.html", PAGE.format(title=title).encode())
    write(root, "chat/index.html", b"<!doctype html><title>chat</title>")
    write(root, "engine/main.mjs", MAIN.encode())
    write(root, "engine/client.js", b"export const version = 1;\n")
    write(root, "engine/answer.wasm", WASM)
    write(root, "engine/style.css", b"body { color: rgb(1, 2, 3); }\n")
    write(root, "app.webmanifest", b'{"name": "fake"}\n')
    write(root, "icon.svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>\n')
    write(root, "shell.json", b'{"format": 1}\n')
    write(root, "sw.js", b"self.addEventListener('fetch', () => {});\n")
    write(root, ".nojekyll", b"")
    hashed = b"export const hashed = true;\n"
    write(root, f"engine/chunk.{hashlib.sha256(hashed).hexdigest()[:12]}.js", hashed)
    write(root, "registry.json", _registry(root, seed).dumps().encode())
    return root


def write(root: Path, path: str, data: bytes) -> File:
    """Write one file below `root` and describe it."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return File(path, len(data), hashlib.sha256(data).hexdigest())


def _registry(root: Path, seed: int) -> Registry:
    manifest = _model(root, seed)
    scheme = SchemeEntry("q4", manifest, CHUNK_NBYTES * CHUNKS)
    entry = ModelEntry(
        id="fake",
        name="Fake",
        description="random weights",
        family="llama",
        parameters=1,
        context=8,
        licence="Apache-2.0",
        synthetic=False,
        schemes=(scheme,),
    )
    return Registry(1, (entry,))


def _model(root: Path, seed: int) -> File:
    folder = "models/fake/q4"
    weights = write(root, f"{folder}/weights.json", _weights(root, seed).dumps().encode())
    plan = write(root, f"{folder}/plan.base.json", b'{"format":1}\n')
    tokenizer = write(root, f"{folder}/tokenizer.json", b"{}\n")
    manifest = Manifest(
        format=1,
        id="fake",
        name="Fake",
        description="random weights",
        synthetic=False,
        languages=("en",),
        source=Source("example/fake", "0" * 40, {}),
        licence=Licence("Apache-2.0", "Apache 2.0", "https://example.org", None),
        architecture=Architecture("llama", 1, 1, 1, 1, 1, 1, 1, 8),
        quantization=Quantization("q4", 4.5, 0.1),
        variants=(Variant("base", plan, (), {}, CHUNK_NBYTES * CHUNKS, 1, 1, 1),),
        weights=weights,
        weights_nbytes=CHUNK_NBYTES * CHUNKS,
        files={"tokenizer.json": tokenizer},
        bos_token_id=None,
        stop_token_ids=(0,),
        system_prompt=None,
        suggestions=(),
        sampling=Sampling(),
        golden=None,
        tools={},
    )
    return write(root, f"{folder}/manifest.json", manifest.dumps().encode())


def _weights(root: Path, seed: int) -> WeightIndex:
    source = random.Random(seed)
    chunks = []
    for i in range(CHUNKS):
        data = source.randbytes(CHUNK_NBYTES)
        sha256 = hashlib.sha256(data).hexdigest()
        write(root, blob_path(sha256), data)
        chunks.append(Chunk(sha256, i * CHUNK_NBYTES, CHUNK_NBYTES))
    return WeightIndex(1, CHUNK_NBYTES * CHUNKS, (), tuple(chunks))
