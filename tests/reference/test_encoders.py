"""The ladder for encoders: TVM on the processor and plans on a device against transformers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import doctor
from hub.llvm_encoder import EncoderReference
from hub.schemes import SCHEMES
from tests.reference.answers import relative_error
from tests.reference.encoder_device import JOBS
from tests.reference.tiny_encoders import (
    TINY_ENCODERS,
    Array,
    TinyEncoder,
    press_encoder,
    read_vectors,
)
from tests.reference.tolerances import WIDE

ROOT = Path(__file__).resolve().parents[2]
CASES = list(zip(TINY_ENCODERS, ("f32", "q4", "f32"), strict=True))
"""Schemes differ in how weights are read alone, which other tests try."""


@pytest.mark.parametrize(("tiny", "scheme"), CASES, ids=[tiny.name for tiny, _ in CASES])
def test_the_processor_gives_the_vectors_of_transformers(
    tiny: TinyEncoder, scheme: str, tmp_path: Path
) -> None:
    buffers = press_encoder(tiny, scheme, tmp_path).buffers
    reference = EncoderReference(
        "bert", tiny.config(), SCHEMES[scheme], buffers, embedding=tiny.embedding
    )
    found = np.stack([reference.embed(text) for text in tiny.texts()])
    error = relative_error(found, read_vectors(tiny.name, scheme))
    print(f"largest difference {error:.1e}")
    assert error <= WIDE


@pytest.fixture(scope="module")
def on_lavapipe(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Array]:
    """The vectors of every job, all texts of a model in one run."""
    icd = doctor.lavapipe()
    assert icd is not None, "no Vulkan driver lavapipe on this machine: `make test` gets it"
    out = tmp_path_factory.mktemp("encoders") / "out.npz"
    environment = os.environ | {"VK_ICD_FILENAMES": str(icd), "VK_DRIVER_FILES": str(icd)}
    command = [sys.executable, "-m", "tests.reference.encoder_device", str(out)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    with np.load(out, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@pytest.mark.gpu
@pytest.mark.parametrize(("name", "scheme", "variant"), JOBS)
def test_unequal_texts_in_one_run_give_the_vectors_of_transformers(
    on_lavapipe: Mapping[str, Array], name: str, scheme: str, variant: str
) -> None:
    found = on_lavapipe[f"{name}|{scheme}|{variant}"]
    error = relative_error(found, read_vectors(name, scheme))
    print(f"largest difference {error:.1e}")
    assert error <= WIDE
