"""The ladder's device rungs: the compiled plans on two software Vulkan drivers.

lavapipe has f16 and subgroups, SwiftShader has the floor of WebGPU and no more.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import doctor
from hub.compile import VARIANTS
from hub.schemes import SCHEMES
from tests.reference.answers import read_answers, relative_error
from tests.reference.checkpoints import PRESS_GUIDE
from tests.reference.device import Job, job_to_json
from tests.reference.tiny import TINY
from tests.reference.tolerances import BROKEN_KERNEL, LOGITS, PREFILL_AGAINST_DECODE

pytestmark = pytest.mark.gpu

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 600
DRIVERS = {"lavapipe": doctor.lavapipe, "swiftshader": doctor.swiftshader}
MUTATIONS = (
    ("rope_append", "- b * sine", "+ b * sine"),
    ("rms_norm", "inverseSqrt(", "-inverseSqrt("),
    ("attention", "exp(max(score - peak", "exp(max(peak - score"),
)
BROKEN = [Job("tiny-grouped", "q4", "software", mutation) for mutation in MUTATIONS]


def jobs_for(driver: str) -> list[Job]:
    """One tiny model in everything the driver can run; the others where they differ."""
    variants = VARIANTS if driver == "lavapipe" else ("base", "software")
    best, default = variants[0], "q4"
    jobs = [Job(TINY[0].name, s, v) for s in SCHEMES for v in variants]
    jobs += [Job(PRESS_GUIDE, default, v) for v in variants]
    jobs += [Job(PRESS_GUIDE, s, best) for s in SCHEMES if s != default]
    jobs += [Job(tiny.name, s, best) for tiny in TINY[1:] for s in ("f32", default)]
    jobs += [Job(tiny.name, default, "software") for tiny in TINY[1:]]
    return jobs


ALL = [(driver, job) for driver in DRIVERS for job in jobs_for(driver)]
IDS = [f"{driver}-{job.key.replace('|', '-')}" for driver, job in ALL]


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each driver said about all its jobs, by driver."""
    folder = tmp_path_factory.mktemp("devices")
    return {name: run_driver(name, folder) for name in DRIVERS}


def run_driver(name: str, folder: Path) -> Any:
    icd = DRIVERS[name]()
    if icd is None:
        return None
    jobs = jobs_for(name) + (BROKEN if name == "swiftshader" else [])
    request, out = folder / f"{name}.json", folder / f"{name}.npz"
    request.write_text(json.dumps([job_to_json(job) for job in jobs]))
    command = [sys.executable, "-m", "tests.reference.device", str(out), str(request)]
    environment = os.environ | {"VK_ICD_FILENAMES": str(icd), "VK_DRIVER_FILES": str(icd)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert done.returncode == 0, f"{name}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    print(done.stdout)
    return np.load(out, allow_pickle=False)


def found(results: dict[str, Any], driver: str, job: Job, what: str) -> Any:
    if results[driver] is None:
        pytest.skip(f"no {driver} on this machine: `modelpress doctor` says how to get it")
    return results[driver][f"{job.key}|{what}"]


@pytest.mark.parametrize(("driver", "job"), ALL, ids=IDS)
def test_a_device_agrees_with_transformers(results: dict[str, Any], driver: str, job: Job) -> None:
    answers = read_answers(job.model, job.scheme)
    logits = found(results, driver, job, "logits")
    error = relative_error(logits[list(answers.positions)], answers.logits)
    print(f"{driver} {job.key}: {error:.1e}")
    assert error <= LOGITS[job.variant]


@pytest.mark.parametrize(("driver", "job"), ALL, ids=IDS)
def test_a_device_writes_the_reference_tokens(
    results: dict[str, Any], driver: str, job: Job
) -> None:
    tokens = found(results, driver, job, "tokens").tolist()
    assert tuple(tokens) == read_answers(job.model, job.scheme).tokens


@pytest.mark.parametrize(("driver", "job"), ALL, ids=IDS)
def test_prefill_in_any_chunks_equals_decoding_one_by_one(
    results: dict[str, Any], driver: str, job: Job
) -> None:
    last = found(results, driver, job, "logits")[-1]
    errors = [relative_error(chunk, last) for chunk in found(results, driver, job, "chunked")]
    print(f"{driver} {job.key}: {max(errors):.1e}")
    assert max(errors) <= PREFILL_AGAINST_DECODE[job.variant]


@pytest.mark.parametrize("job", BROKEN, ids=[job.key for job in BROKEN])
def test_a_kernel_with_one_sign_flipped_does_not_pass(results: dict[str, Any], job: Job) -> None:
    answers = read_answers(job.model, job.scheme)
    logits = found(results, "swiftshader", job, "logits")
    error = relative_error(logits[list(answers.positions)], answers.logits)
    print(f"{job.key}: {error:.1e}")
    assert not error <= BROKEN_KERNEL
