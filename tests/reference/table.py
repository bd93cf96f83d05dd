"""Prints the table of docs/families.md: how far every tiny model is from transformers.

    VK_ICD_FILENAMES=... python -m tests.reference.table [MODEL...]

Each number is the largest difference of logits, relative to the largest logit; `=` says that 64
greedy tokens are identical, `!` that they are not.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hub.llvm import Reference
from hub.schemes import SCHEMES
from tests.reference import device
from tests.reference.answers import NEW_TOKENS, read_answers, relative_error, ways_to_cut
from tests.reference.checkpoints import CONTEXT, family_of, press_checkpoint
from tests.reference.device import Job, job_to_json
from tests.reference.tiny_decoder import TinyDecoder
from tests.reference.tiny_families import TINY_FAMILIES

VARIANT = "base"
HEAD = (
    "| family | model | options tried | llvm f32 | llvm q4 | WebGPU f32 | WebGPU q4 | chunks |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- |"
)


def main(names: Sequence[str]) -> None:
    """The rows of the models named, or of all."""
    chosen = [tiny for tiny in TINY_FAMILIES if not names or tiny.name in names]
    with tempfile.TemporaryDirectory() as scratch:
        rows = [row(tiny, Path(scratch)) for tiny in chosen]
        jobs = [Job(t.name, scheme, VARIANT) for t in chosen for scheme in t.schemes]
        request, out = Path(scratch) / "jobs.json", Path(scratch) / "out.npz"
        request.write_text(json.dumps([job_to_json(job) for job in jobs]))
        asyncio.run(device.main(out, request))
        found = np.load(out, allow_pickle=False)
    print(HEAD)
    for tiny, (family, processor) in zip(chosen, rows, strict=True):
        gpu = [on_device(found, Job(tiny.name, scheme, VARIANT)) for scheme in tiny.schemes]
        chunks = max(largest for _, largest in gpu)
        cells = [family, tiny.name, tiny.options, *processor, *(text for text, _ in gpu)]
        print(f"| {' | '.join([*cells, f'{chunks:.0e}'])} |")


def row(tiny: TinyDecoder, scratch: Path) -> tuple[str, list[str]]:
    """The family, and what TVM on the processor gives under each scheme."""
    folder, cells, family = tiny.write(scratch / tiny.name), [], ""
    for scheme in tiny.schemes:
        pressed, answers = press_checkpoint(folder, scheme), read_answers(tiny.name, scheme)
        family = family_of(pressed.config)
        reference = Reference(
            family, pressed.config, SCHEMES[scheme], pressed.buffers, context=CONTEXT
        )
        logits = reference.logits(answers.prompt)[list(answers.positions)]
        tokens = reference.greedy(answers.prompt, NEW_TOKENS)
        cells.append(cell(relative_error(logits, answers.logits), tuple(tokens) == answers.tokens))
    return family, cells


def on_device(found: Mapping[str, Any], job: Job) -> tuple[str, float]:
    """The cell of a job, and how far prefill in chunks is from decoding one by one."""
    answers, logits = read_answers(job.model, job.scheme), found[f"{job.key}|logits"]
    same = tuple(found[f"{job.key}|tokens"].tolist()) == answers.tokens
    chunked = found[f"{job.key}|chunked"]
    assert len(chunked) == len(ways_to_cut(len(answers.prompt)))
    largest = max(relative_error(chunk, logits[-1]) for chunk in chunked)
    return cell(relative_error(logits[list(answers.positions)], answers.logits), same), largest


def cell(error: float, same: bool) -> str:
    return f"{error:.0e} {'=' if same else '!'}"


if __name__ == "__main__":
    main(sys.argv[1:])
