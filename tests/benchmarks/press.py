"""How fast weights are rounded, and how much memory that takes: a line a scheme and size.

    python -m tests.benchmarks.press [--schemes q4 q3] [--megabytes 64 256] [--calibrated]

A checkpoint of random bf16 matrices is pressed by a process of its own. Speed is megabytes of the
source by second of processor time, of that process and its workers together, so other programs
hardly matter; memory is the most that process had, and the most that any worker had.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from hub.checkpoint import Checkpoint
from hub.schemes import SCHEMES
from hub.stream import press
from hub.weight_specs import WeightSpec

ROWS, COLS = 4096, 2048
MATRIX_NBYTES = ROWS * COLS * 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schemes", nargs="+", choices=SCHEMES, default=["f16", "q8", "q4", "q3"])
    parser.add_argument("--megabytes", nargs="+", type=int, default=[64, 256])
    parser.add_argument("--calibrated", action="store_true", help="count errors by importance")
    parser.add_argument("--folder", type=Path, help="press this checkpoint, in this process")
    options = parser.parse_args()
    if options.folder is not None:
        print(json.dumps(measured(options.folder, options.schemes[0], options.calibrated)))
        return
    print(f"{'scheme':8}{'source':>10}{'MB/s and core':>16}{'peak':>10}{'a worker':>10}")
    with tempfile.TemporaryDirectory() as scratch:
        for megabytes in options.megabytes:
            folder = Path(scratch) / str(megabytes)
            nbytes = write(folder, max(1, megabytes * 1_000_000 // MATRIX_NBYTES))
            for scheme in options.schemes:
                report(folder, nbytes, scheme, options.calibrated)


def write(folder: Path, count: int) -> int:
    """A checkpoint of `count` matrices in bf16; returns the bytes of their elements."""
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    header = {
        f"m{i}": {
            "dtype": "BF16",
            "shape": [ROWS, COLS],
            "data_offsets": [i * MATRIX_NBYTES, (i + 1) * MATRIX_NBYTES],
        }
        for i in range(count)
    }
    text, rng = json.dumps(header).encode(), np.random.default_rng(0)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _ in range(count):
            matrix = rng.standard_normal(ROWS * COLS, dtype=np.float32)
            file.write((matrix.view(np.uint32) >> np.uint32(16)).astype("<u2").tobytes())
    return count * MATRIX_NBYTES


def report(folder: Path, nbytes: int, scheme: str, calibrated: bool) -> None:
    """One line: the checkpoint pressed by a process that has done nothing else."""
    command = [sys.executable, "-m", "tests.benchmarks.press", "--folder", str(folder)]
    command += ["--schemes", scheme, *(["--calibrated"] if calibrated else [])]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    speed = nbytes / 1e6 / found["cpu_s"]
    print(
        f"{scheme:8}{nbytes / 1e6:>7.0f} MB{speed:>16.0f}"
        f"{found['peak_nbytes'] / 1e6:>7.0f} MB{found['worker_nbytes'] / 1e6:>7.0f} MB",
        flush=True,
    )


def measured(folder: Path, scheme: str, calibrated: bool) -> dict[str, float]:
    """Processor seconds of pressing, and the most memory in bytes."""
    checkpoint = Checkpoint.open(folder)
    specs = [WeightSpec(name, "matrix", (name,), ROWS, COLS) for name in checkpoint.entries]
    columns = np.linspace(0.5, 1.5, COLS, dtype=np.float32)
    importance = dict.fromkeys(checkpoint.entries, columns) if calibrated else {}
    before = processor_s()
    for _ in press(specs, SCHEMES[scheme], checkpoint, importance):
        pass
    own, workers = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, CHILDREN))
    return {
        "cpu_s": processor_s() - before,
        "peak_nbytes": own.ru_maxrss * 1024,
        "worker_nbytes": workers.ru_maxrss * 1024,
    }


CHILDREN = resource.RUSAGE_CHILDREN


def processor_s() -> float:
    """Of this process and of the workers that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


if __name__ == "__main__":
    main()
