"""The engine for a site: TypeScript bundled, Pyodide vendored, Python packed, into one folder.

    engine/client.js, client.d.ts     what pages import
    engine/worker.js                  the engine's worker
    engine/helper.js                  a further thread of it, to compute on the processor
    engine/grammar.js                 the library of structured output, loaded when it is needed
    engine/service_worker.js          goes to the site's root, beside shell.json
    engine/pyodide/                   Python itself, from its npm package
    engine/runtime.zip                the engine's Python
    engine/snapshot.bin               the memory of a booted Python with the engine imported, gzip

Built once into `dist/` beside this file, under the digest of its sources, and copied from there: a
second build with unchanged sources only copies. It needs Node, so nothing of the engine imports it.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .declarations import bundle_declarations
from .node import LOCK, MODULES, find_node, install_packages, run_esbuild, run_node
from .python_archive import python_archive

WEB = Path(__file__).resolve().parent
DIST = WEB / "dist"
UNFINISHED = "unfinished-"
PYODIDE = (
    "pyodide.mjs",
    "pyodide.asm.mjs",
    "pyodide.asm.wasm",
    "python_stdlib.zip",
    "pyodide-lock.json",
)
MODULE_SCRIPTS = ("client", "worker", "helper", "grammar")
CLASSIC_SCRIPTS = ("service_worker",)
ESBUILD_OPTIONS = {
    "bundle": True,
    "minify": True,
    "target": "es2022",
    "charset": "utf8",
    "legalComments": "eof",
    # A library's branches for Node ask for these; no browser comes there.
    "external": ["fs", "module", "path", "url"],
    "logLevel": "warning",
}


def build_engine(out: Path) -> None:
    """Leave the complete engine in the folder `out`; raises NodeError."""
    install_packages()
    archive = python_archive()
    built = DIST / _digest_of_sources(archive)[:16]
    if not built.is_dir():
        _build(archive, built)
    shutil.copytree(built, out, dirs_exist_ok=True)


def _build(archive: bytes, built: Path) -> None:
    """Fill a new folder and give it its name at the end, so that no build is ever half there."""
    DIST.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=DIST, prefix=UNFINISHED) as folder:
        building = Path(folder) / "engine"
        building.mkdir()
        _bundle_scripts(building)
        (building / "client.d.ts").write_text(bundle_declarations(), encoding="utf-8")
        (building / "runtime.zip").write_bytes(archive)
        _copy_pyodide(building / "pyodide")
        _make_snapshot(building)
        try:
            building.rename(built)
        except OSError:
            # Another process has built the same meanwhile.
            if not built.is_dir():
                raise
    for former in DIST.iterdir():
        if former != built and not former.name.startswith(UNFINISHED):
            shutil.rmtree(former, ignore_errors=True)


def _bundle_scripts(out: Path) -> None:
    for names, form in ((MODULE_SCRIPTS, "esm"), (CLASSIC_SCRIPTS, "iife")):
        sources = [str(WEB / f"{name}.ts") for name in names]
        run_esbuild({"entryPoints": sources, "outdir": str(out), "format": form, **ESBUILD_OPTIONS})


def _copy_pyodide(out: Path) -> None:
    out.mkdir()
    for name in PYODIDE:
        if name == "pyodide-lock.json":
            (out / name).write_text(_empty_lock(), encoding="utf-8")
        else:
            shutil.copyfile(MODULES / "pyodide" / name, out / name)


def _make_snapshot(out: Path) -> None:
    """Booting takes seconds of computing, loading an image of the booted memory a tenth of that.

    Compressed here and unpacked by the page: not every host compresses what it sends, and a name
    in .gz would make some say that the transfer is what is compressed.
    """
    raw = out / "snapshot.raw"
    run_node([str(WEB / "snapshot.mjs"), str(out / "pyodide"), str(out / "runtime.zip"), str(raw)])
    (out / "snapshot.bin").write_bytes(gzip.compress(raw.read_bytes(), 9, mtime=0))
    raw.unlink()


def _empty_lock() -> str:
    """Pyodide's lock file without packages: the engine installs none, and nothing is fetched."""
    text = (MODULES / "pyodide" / "pyodide-lock.json").read_text(encoding="utf-8")
    return json.dumps({**json.loads(text), "packages": {}}, sort_keys=True) + "\n"


def _digest_of_sources(archive: bytes) -> str:
    digest = hashlib.sha256(archive)
    for path in _sources():
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    digest.update(str(find_node()).encode())
    return digest.hexdigest()


def _sources() -> Iterator[Path]:
    yield LOCK
    yield from sorted(WEB.glob("*.ts"))
    yield from (WEB / "bundle.py", WEB / "declarations.py", WEB / "snapshot.mjs")
