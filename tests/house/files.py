"""The project's own files, as the house tests see them."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("model_configs", "runtime", "hub", "site_builder", "publish")
TEXT = {
    "", ".css", ".html", ".in", ".jinja", ".json", ".js", ".md", ".mjs", ".py", ".sh", ".toml",
    ".ts", ".txt", ".webmanifest", ".wgsl", ".yml",
}  # fmt: skip


def project_files() -> list[Path]:
    """Every file that git tracks or would track, relative to the root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = (Path(name) for name in listing.split("\0") if name)
    return sorted(path for path in paths if (ROOT / path).is_file())


def python_files() -> list[Path]:
    """Every Python file of the project, relative to the root."""
    return [path for path in project_files() if path.suffix == ".py"]


def text_files() -> Iterator[tuple[Path, str]]:
    """Every text file of the project with its content."""
    for path in project_files():
        if path.suffix in TEXT:
            yield path, (ROOT / path).read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Import:
    """One import statement: the module named, how relative it is, and whether it is lazy."""

    module: str
    level: int
    line: int
    lazy: bool

    @property
    def top(self) -> str:
        return self.module.split(".")[0]


def imports(source: str) -> list[Import]:
    """Every import in `source`; in a function or under TYPE_CHECKING it is lazy."""
    tree = ast.parse(source)
    lazy = {child for node in ast.walk(tree) if _is_lazy(node) for child in ast.walk(node)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [Import(name.name, 0, node.lineno, node in lazy) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(Import(node.module or "", node.level, node.lineno, node in lazy))
    return found


def _is_lazy(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def absolute_module(path: Path, found: Import) -> str:
    """The full dotted name that an import in the file `path` means."""
    if found.level == 0:
        return found.module
    package = path.parent.parts[: len(path.parent.parts) - (found.level - 1)]
    return ".".join((*package, *filter(None, [found.module])))
