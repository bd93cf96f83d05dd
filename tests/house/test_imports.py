"""The arrows between rooms, read from the source."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from tests.house.files import ROOMS, ROOT, Import, absolute_module, imports, python_files

MAY_IMPORT = {
    "model_configs": set(),
    "runtime": set(),
    "hub": {"model_configs", "runtime"},
    "site_builder": {"model_configs", "runtime"},
    "publish": {"model_configs", "runtime"},
}
HOST_LIBRARIES = {
    "runtime/native": {
        "aiohttp",
        "wgpu",
        "wasmtime",
        "tokenizers",
        "numpy",
        "typer",
        "rich",
        "psutil",
    },
    "runtime/browser": {"js", "pyodide"},
    "runtime/web": {"jinja2", "markupsafe"},
}
"""What the host-bound folders of the runtime may import beyond the standard library."""
LAZY_LIBRARIES = {"jinja2", "markupsafe"}
LAZY_MODULES = {"runtime/template_sandbox.py"}
"""Files that are themselves imported only inside functions, so may import the lazy libraries."""


def room_files(room: str) -> list[Path]:
    return [path for path in python_files() if path.parts[0] == room]


def forbidden_rooms(path: Path, source: str) -> list[str]:
    """Imports in `source`, a file at `path`, of rooms that its room may not know."""
    room = path.parts[0]
    others = set(ROOMS) - {room} - MAY_IMPORT[room]
    tops = ((i, absolute_module(path, i).split(".")[0]) for i in imports(source))
    return [f"{path}:{i.line}: imports {top}" for i, top in tops if top in others]


def foreign_imports(path: Path, source: str) -> list[str]:
    """Imports of a runtime file that Pyodide or another package name could not resolve."""
    return [
        f"{path}:{i.line}: imports {i.module}"
        for i in imports(source)
        if not _allowed_in_runtime(path, i)
    ]


def _allowed_in_runtime(path: Path, found: Import) -> bool:
    if found.level:
        return absolute_module(path, found).split(".")[0] == "runtime"
    if found.top in sys.stdlib_module_names:
        return True
    lazy = found.lazy or path.as_posix() in LAZY_MODULES
    if lazy and found.top in LAZY_LIBRARIES:
        return True
    return any(
        path.is_relative_to(folder) and found.top in names
        for folder, names in HOST_LIBRARIES.items()
    )


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_the_rooms_it_may_know(room: str) -> None:
    files = room_files(room)
    assert files
    problems = [p for path in files for p in forbidden_rooms(path, (ROOT / path).read_text())]
    assert not problems, "\n".join(problems)


def test_the_runtime_needs_the_standard_library_and_itself_alone() -> None:
    files = room_files("runtime")
    problems = [p for path in files for p in foreign_imports(path, (ROOT / path).read_text())]
    assert not problems, "\n".join(problems)


def test_the_engine_never_imports_a_host() -> None:
    engine = [path for path in room_files("runtime") if len(path.parts) == 2]
    hosts = ("runtime.native", "runtime.browser", "runtime.web")
    problems = [
        f"{path}:{i.line}"
        for path in engine
        for i in imports((ROOT / path).read_text())
        if absolute_module(path, i).startswith(hosts)
    ]
    assert not problems, "\n".join(problems)


def test_lazy_modules_are_imported_lazily() -> None:
    names = {name.removesuffix(".py").replace("/", ".") for name in LAZY_MODULES}
    eager = [
        f"{path}:{i.line}"
        for path in python_files()
        for i in imports((ROOT / path).read_text())
        if path.parts[0] == "runtime" and not i.lazy and absolute_module(path, i) in names
    ]
    assert not eager, "\n".join(eager)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("hub/build.py", "import publish.s3"),
        ("hub/build.py", "from site_builder import pages"),
        ("publish/s3.py", "def f():\n    import hub.build"),
        ("runtime/plan.py", "from model_configs import load"),
        ("model_configs/config.py", "from runtime.plan import Plan"),
    ],
)
def test_a_forbidden_arrow_is_seen(path: str, source: str) -> None:
    assert forbidden_rooms(Path(path), source)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("runtime/plan.py", "import numpy"),
        ("runtime/chat.py", "import jinja2"),
        ("runtime/plan.py", "from runtime.codec import loads"),
        ("runtime/engine.py", "import wgpu"),
        ("runtime/native/device.py", "import js"),
        ("runtime/plan.py", "from ..hub import build"),
    ],
)
def test_a_foreign_import_in_the_runtime_is_seen(path: str, source: str) -> None:
    assert foreign_imports(Path(path), source)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("runtime/plan.py", "from . import codec\nimport json"),
        ("runtime/chat.py", "def f():\n    import jinja2"),
        ("runtime/native/device.py", "import wgpu\nfrom ..plan import Plan"),
    ],
)
def test_what_the_runtime_may_import_is_let_through(path: str, source: str) -> None:
    assert not foreign_imports(Path(path), source)


def test_the_runtime_takes_no_limit_from_its_platform() -> None:
    """In the page Python has 32 bits: `sys.maxsize` is 2 GiB there, less than many a model."""
    sources = {path: (ROOT / path).read_text(encoding="utf-8") for path in room_files("runtime")}
    found = [
        str(path)
        for path, source in sources.items()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and node.attr == "maxsize"
    ]
    assert sources and not found
