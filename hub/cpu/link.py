"""Objects to WebAssembly modules, by the linker that PyPI's `ziglang` brings.

Every object is linked twice: for a memory of one thread, and for one that threads share. A module
imports `env.memory` and nothing else; its stack lies first in memory, so that one that runs over
traps, then its constants, and everything from `data_end` on is the plan's.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import CompileError, ToolError
from .module_bytes import exported_constant, imports

STACK_NBYTES = 65536
"""Of one thread."""
ALIGNMENT = 64
MAX_MEMORY = 65536 * 65536
"""4 GiB: all that 32 bits address."""
REMEDY = "install it with `pip install 'modelpress[cpu]'`"


@dataclass(frozen=True, slots=True)
class Linked:
    """Two forms of one module: `single` imports a memory of its own, `shared` one of threads.

    `data_end` is the first byte behind stack and constants, a multiple of 64, in both.
    """

    single: bytes
    shared: bytes
    data_end: int
    stack_nbytes: int


def available() -> bool:
    """Whether there is a linker."""
    return importlib.util.find_spec("ziglang") is not None


def require_linker() -> None:
    """ToolError when there is none."""
    if not available():
        raise ToolError(f"they are linked by the package ziglang, which is not here: {REMEDY}")


def link(object_file: bytes, names: Sequence[str]) -> Linked:
    """Link one object, exporting `names`.

    ToolError without `ziglang`; CompileError when something is missing, for example a call that
    `transcendental.py` has no expansion of.
    """
    single = _link(object_file, names, ())
    shared = _link(object_file, names, ("--shared-memory", f"--max-memory={MAX_MEMORY}"))
    ends = [exported_constant(module, "__heap_base") for module in (single, shared)]
    for module in (single, shared):
        if imports(module) != (("env", "memory"),):
            raise CompileError(f"a kernel needs more than memory: {imports(module)}")
    data_end = -(-max(ends) // ALIGNMENT) * ALIGNMENT
    return Linked(single, shared, data_end, STACK_NBYTES)


def _link(object_file: bytes, names: Sequence[str], options: Sequence[str]) -> bytes:
    require_linker()
    exported = [f"--export={name}" for name in (*names, "__heap_base", "__stack_pointer")]
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "kernels.o"), Path(folder, "kernels.wasm")
        # The exports of a large model pass the length of a command line.
        response = Path(folder, "options")
        response.write_text("\n".join(exported))
        source.write_bytes(object_file)
        fixed = ("--no-entry", "--import-memory", "--strip-all", "-O2", "--gc-sections")
        stack = ("--stack-first", "-z", f"stack-size={STACK_NBYTES}")
        files = (f"@{response}", str(source), "-o", str(out))
        done = subprocess.run(
            [sys.executable, "-m", "ziglang", "wasm-ld", *fixed, *stack, *options, *files],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise CompileError(f"wasm-ld: {done.stderr.strip() or done.stdout.strip()}")
        return out.read_bytes()
