"""Prints what building models at their full size takes, as a table of docs/families.md.

    python -m tests.reference.full_size [--all] [ID...]

By hand: it takes minutes. Each model is built once by `modelpress build --synthetic`, in a process
of its own; without IDs the largest model of each family. A cell beyond its bound is marked `!`.
"""

from __future__ import annotations

import argparse
import gzip
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hub.weight_specs import BINDING_NBYTES
from model_configs.config import ModelConfig, all_configs
from runtime.plan import Plan

SECONDS = 60.0
MEMORY_NBYTES = 1.5e9
PLAN_NBYTES = 1e6
"""Of a plan as a server sends it."""
VARIANT = "base"
BINDING = "maxStorageBufferBindingSize"
HEAD = (
    "| family | model | parameters | seconds of a core | peak memory, MB "
    "| largest plan, KB gzipped | largest binding, MiB |\n"
    "| --- | --- | --- | --- | --- | --- | --- |"
)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one build: processor seconds (on a quiet machine it takes no longer), most memory resident
    at once, largest plan as it is sent, and largest binding of the variant for any GPU."""

    seconds: float
    memory_nbytes: int
    plan_nbytes: int
    binding_nbytes: int


def main(arguments: Sequence[str]) -> int:
    """Print the rows; 1 where any cell is beyond its bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="every model there is a config of")
    parser.add_argument("ids", nargs="*", help="only these")
    options = parser.parse_args(arguments)
    beyond = False
    print(HEAD, flush=True)
    for config in chosen(options.ids, every=options.all):
        text = row(config, build(config.id))
        beyond = beyond or "!" in text
        print(text, flush=True)
    return 1 if beyond else 0


def chosen(ids: Sequence[str], *, every: bool) -> list[ModelConfig]:
    """The models named, all of them, or the largest of each family, in the order of families."""
    configs = sorted(all_configs(), key=lambda config: (config.family, config.parameters))
    if ids or every:
        return [config for config in configs if every or config.id in ids]
    return list({config.family: config for config in configs}.values())


def build(id: str) -> Cost | None:
    """Build a model into a folder that is removed, and look at what it took; None and the reason
    on stderr when it failed."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "modelpress", "build", id, "--synthetic"]
        with (Path(scratch) / "said").open("w+") as said:
            process = subprocess.Popen([*command, "--out", scratch], stdout=said, stderr=said)
            _, status, usage = os.wait4(process.pid, 0)
            said.seek(0)
            words = said.read()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            print(words, file=sys.stderr)
            return None
        texts = {path.name: path.read_bytes() for path in Path(scratch).glob("models/*/*/plan.*")}
    plan = Plan.loads(texts[f"plan.{VARIANT}.json"], id)
    return Cost(
        seconds=usage.ru_utime + usage.ru_stime,
        # Linux counts it in KiB.
        memory_nbytes=usage.ru_maxrss * 1024,
        plan_nbytes=max(len(gzip.compress(text)) for text in texts.values()),
        binding_nbytes=plan.limits[BINDING],
    )


def row(config: ModelConfig, cost: Cost | None) -> str:
    first = [config.family, config.id, f"{config.parameters / 1e9:.2f}B"]
    cells = [*first, *(["failed !"] if cost is None else costs(cost))]
    return f"| {' | '.join(cells)} |"


def costs(cost: Cost) -> list[str]:
    return [
        cell(f"{cost.seconds:.0f}", cost.seconds <= SECONDS),
        cell(f"{cost.memory_nbytes / 1e6:.0f}", cost.memory_nbytes <= MEMORY_NBYTES),
        cell(f"{cost.plan_nbytes / 1e3:.0f}", cost.plan_nbytes <= PLAN_NBYTES),
        cell(f"{cost.binding_nbytes / 2**20:.1f}", cost.binding_nbytes <= BINDING_NBYTES),
    ]


def cell(text: str, good: bool) -> str:
    return text if good else f"{text} !"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
