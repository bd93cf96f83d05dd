"""Trials of a build: who is measured, on what, and what a calibration text changes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from hub.build import build_model
from hub.errors import UnsupportedError
from hub.forward import Walk
from hub.material import Material, from_folder
from hub.mixing import MIXED
from hub.order import Order
from hub.registry import gather
from hub.request import Request, order
from hub.schemes import SCHEMES, stored_schemes
from runtime.progress import ignore_progress
from tests.hub.fake_toolchain import FAKE_TOOLCHAIN
from tests.reference.tiny import TINY

TOOLCHAIN = dataclasses.replace(FAKE_TOOLCHAIN, walk=Walk)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = TINY[0].write(tmp_path_factory.mktemp("tiny"))
    return from_folder(folder, "tiny", None, ignore_progress)


def wanted(material: Material, scheme: str, calibration: Path | None = None) -> Order:
    request = Request("tiny", None, context=32, calibration=calibration)
    return order(request, material, MIXED.get(scheme) or SCHEMES[scheme], FAKE_TOOLCHAIN)


def test_a_small_model_is_measured_on_its_own_answers(material: Material, tmp_path: Path) -> None:
    manifest = build_model(wanted(material, "q3m"), tmp_path, toolchain=TOOLCHAIN)
    found, loss = manifest.quantization, manifest.quantization.loss
    assert loss is not None and loss.text == "own" and found.calibration == ""
    assert loss.kl_divergence > 0 and loss.tokens > 5
    assert {"embedding", "lm_head"} <= set(found.matrices) and found.base == "q3"
    assert stored_schemes(found).name == "q3m"
    (entry,) = gather(tmp_path, ["tiny"], {}).models
    assert entry.schemes[0].loss == loss


def test_a_calibration_text_is_measured_with_and_changes_the_weights(
    material: Material, tmp_path: Path
) -> None:
    file = tmp_path / "page.txt"
    file.write_text("How many printers does it take to print a page? " * 3)
    plain = build_model(wanted(material, "q4"), tmp_path / "a", toolchain=FAKE_TOOLCHAIN)
    chosen = build_model(wanted(material, "q4", file), tmp_path / "b", toolchain=TOOLCHAIN)
    assert plain.quantization.loss is None
    assert chosen.quantization.calibration == "page.txt"
    assert chosen.quantization.loss is not None and chosen.quantization.loss.text == "page.txt"
    assert chosen.weights.sha256 != plain.weights.sha256


def test_a_calibration_text_that_nobody_can_read_is_refused(
    material: Material, tmp_path: Path
) -> None:
    request = wanted(dataclasses.replace(material, chat=None), "q4", tmp_path / "page.txt")
    with pytest.raises(UnsupportedError, match="build without --calibration"):
        build_model(request, tmp_path, toolchain=TOOLCHAIN)
