"""The npm packages that the site ships inside its scripts and engine, with their licences."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .errors import ToolError

PAGE_PACKAGES = ("dompurify", "marked")
ENGINE_PACKAGES = ("@huggingface/tokenizers", "@mlc-ai/web-xgrammar", "pyodide")
"""Shipped when installed: the engine's own build decides which it needs."""

_LICENCE_FILES = ("LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE")


@dataclass(frozen=True, slots=True)
class Package:
    """A package the site includes. `text` is its licence file."""

    name: str
    version: str
    licence: str
    text: str


def read_packages(modules: Path, names: Iterable[str]) -> tuple[Package, ...]:
    """The named packages under `modules` (a node_modules folder)."""
    return tuple(_read_package(modules / name, name) for name in sorted(names))


def installed(modules: Path, names: Iterable[str]) -> tuple[str, ...]:
    """Those of `names` that are there."""
    return tuple(name for name in names if (modules / name / "package.json").is_file())


def _read_package(folder: Path, name: str) -> Package:
    try:
        facts = json.loads((folder / "package.json").read_text())
    except OSError as error:
        raise ToolError(f"{folder} is missing; install it with `npm ci`") from error
    text = next((folder / f for f in _LICENCE_FILES if (folder / f).is_file()), None)
    licence = str(facts.get("license", "see its text"))
    words = text.read_text() if text else f"{name} states: {licence}.\n"
    return Package(name, str(facts["version"]), licence, words)
