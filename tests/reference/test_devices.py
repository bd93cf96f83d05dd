"""The ladder's device rungs: the compiled plans on two software Vulkan drivers.

lavapipe has f16 and subgroups, SwiftShader has the floor of WebGPU and no more.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import doctor
from hub.compile import PACKED, VARIANTS
from hub.schemes import SCHEMES
from tests.reference.answers import read_answers, relative_error
from tests.reference.checkpoints import PRESS_GUIDE
from tests.reference.device import Job, job_to_json
from tests.reference.tiny import TINY
from tests.reference.tiny_families import TINY_FAMILIES
from tests.reference.tolerances import BROKEN_KERNEL, PREFILL_AGAINST_DECODE, logits_tolerance

pytestmark = pytest.mark.gpu

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 1800
DRIVERS = {"lavapipe": doctor.lavapipe, "swiftshader": doctor.swiftshader}
MUTATIONS = (
    ("rope_append", "- b * sine", "+ b * sine"),
    ("rms_norm", "inverseSqrt(", "-inverseSqrt("),
    ("attention", "dot(q0, k0)", "dot(-q0, k0)"),
)
BROKEN = [Job("tiny-grouped", "q4", "software", mutation=mutation) for mutation in MUTATIONS]


FIRST_JOBS = {
    "lavapipe": VARIANTS,
    "swiftshader": ("base", "software"),
}
"""Variants of the first tiny model: all that a driver can take."""
TINY_JOBS = {
    "lavapipe": (("f32", "software"), ("q4", "f16+subgroups"), ("q4", "base")),
    "swiftshader": (("f32", "software"), ("q4", "software")),
}
GUIDE_JOBS = {
    "lavapipe": (("q4", "f16+subgroups"), ("q4", "base"), ("f32", "software")),
    "swiftshader": (("q4", "software"), ("q8", "software"), ("f16", "software")),
}
"""(scheme, variant) of the other tiny Llamas and of the demo model. SwiftShader takes five times
as long as lavapipe for kernels with barriers, which the variants for GPUs are made of: it computes
them for the first tiny model alone, and each of them in the tests of the kernels."""


def jobs_for(driver: str) -> list[Job]:
    """Every variant and every scheme on one tiny model; every tiny Llama in several variants; one
    tiny model of every other family; the demo model in every scheme on one driver or the other."""
    variants, on_lavapipe = FIRST_JOBS[driver], driver == "lavapipe"
    # Matrix units are emulated, which is slow: once, for their part in a plan.
    best, first = next(v for v in variants if v != "matrix"), TINY[0].name
    jobs = [Job(first, "q4", variant, rivals=on_lavapipe) for variant in variants]
    # q3 differs from q4 in how bits are read: one driver is enough.
    others = [s for s in SCHEMES if s not in ("q4", "" if on_lavapipe else "q3")]
    jobs += [Job(first, s, v, rivals=on_lavapipe) for s in others for v in (best, "software")]
    jobs += [Job(t.name, s, v) for t in TINY[1:] for s, v in TINY_JOBS[driver]]
    if on_lavapipe:
        jobs += [Job(t.name, "q4", best, rivals=True) for t in TINY_FAMILIES if t.on_device]
    jobs += [Job(PRESS_GUIDE, s, v) for s, v in GUIDE_JOBS[driver]]
    return jobs


def rival_entries(job: Job) -> tuple[str, ...]:
    """The other ways to decode that a job's plan offers."""
    if not job.rivals or job.variant == "software":
        return ()
    return tuple(n for n, e in PACKED.items() if e == "f32" or SCHEMES[job.scheme].group)


ALL = [(driver, job) for driver in DRIVERS for job in jobs_for(driver)]
IDS = [f"{driver}-{job.key.replace('|', '-')}" for driver, job in ALL]
RECURRENT = [(driver, job) for driver, job in ALL if job.model.startswith("tiny-qwen3.5")]
RIVALS = [(driver, job, entry) for driver, job in ALL for entry in rival_entries(job)]
RIVAL_IDS = [f"{driver}-{job.key.replace('|', '-')}-{entry}" for driver, job, entry in RIVALS]


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each driver said about all its jobs, by driver."""
    folder = tmp_path_factory.mktemp("devices")
    with ThreadPoolExecutor() as pool:
        said = pool.map(lambda name: run_driver(name, folder), DRIVERS)
        return dict(zip(DRIVERS, said, strict=True))


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
    assert error <= logits_tolerance(job.variant, job.scheme)


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


@pytest.mark.parametrize(("driver", "job"), RECURRENT, ids=[job.key for _, job in RECURRENT])
def test_a_state_that_was_kept_is_taken_up_again(
    results: dict[str, Any], driver: str, job: Job
) -> None:
    last = found(results, driver, job, "logits")[-1]
    error = relative_error(found(results, driver, job, "taken_up"), last)
    print(f"{driver} {job.key}: {error:.1e}")
    assert error <= PREFILL_AGAINST_DECODE[job.variant]


@pytest.mark.parametrize(("driver", "job", "entry"), RIVALS, ids=RIVAL_IDS)
def test_every_way_to_decode_agrees_with_transformers(
    results: dict[str, Any], driver: str, job: Job, entry: str
) -> None:
    answers = read_answers(job.model, job.scheme)
    logits = found(results, driver, job, f"logits@{entry}")
    error = relative_error(logits[list(answers.positions)], answers.logits)
    print(f"{driver} {job.key} {entry}: {error:.1e}")
    assert error <= logits_tolerance(job.variant, job.scheme, PACKED[entry])
    tokens = found(results, driver, job, f"tokens@{entry}").tolist()
    assert tuple(tokens) == answers.tokens


@pytest.mark.parametrize("job", BROKEN, ids=[job.key for job in BROKEN])
def test_a_kernel_with_one_sign_flipped_does_not_pass(results: dict[str, Any], job: Job) -> None:
    answers = read_answers(job.model, job.scheme)
    logits = found(results, "swiftshader", job, "logits")
    error = relative_error(logits[list(answers.positions)], answers.logits)
    print(f"{job.key}: {error:.1e}")
    assert not error <= BROKEN_KERNEL
