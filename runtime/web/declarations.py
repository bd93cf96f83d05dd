"""client.d.ts: the types of client.js in one file, so that pages need nothing else.

TypeScript writes one declaration file a module; these are joined in the order of their imports,
without the imports between them. Only what client.ts exports stays a value; the rest are types.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from .node import MODULES, run_node

WEB = Path(__file__).resolve().parent
IMPORT = re.compile(r'^(?:import|export)\b[^;{]*(?:\{[^}]*\})?[^;]*? from "\./(\w+)\.ts";\n', re.M)
HIDDEN = re.compile(r"^export (declare (?:class|function|const)) (\w+)", re.M)
HEAD = "/// Types of client.js. Joined from the declarations of its modules.\n\n"
EXPORTED = frozenset({"ModelpressError"})


def bundle_declarations() -> str:
    """The text of client.d.ts."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        _emit(out)
        parts: dict[str, str] = {}
        _collect(out, "client", parts)
    return HEAD + "\n".join(parts.values())


def _emit(out: Path) -> None:
    tool = str(MODULES / "typescript" / "bin" / "tsc")
    options = ["-p", ".", "--noEmit", "false", "--declaration", "--emitDeclarationOnly"]
    run_node([tool, *options, "--outDir", str(out)])


def _collect(folder: Path, module: str, parts: dict[str, str]) -> None:
    """Add `module` to `parts`, after everything it imports."""
    if module in parts:
        return
    text = (folder / f"{module}.d.ts").read_text(encoding="utf-8")
    parts[module] = ""
    for needed in IMPORT.findall(text):
        _collect(folder, needed, parts)
    own = IMPORT.sub("", text)
    del parts[module]
    parts[module] = own if module == "client" else HIDDEN.sub(_hide, own)


def _hide(match: re.Match[str]) -> str:
    keyword, name = match.groups()
    return match.group(0) if name in EXPORTED else f"{keyword} {name}"
