"""Whatever a checkpoint lies in, a build from it leaves the same kind of model."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind

from hub.build import build_model
from hub.errors import CheckpointError, UnsupportedError
from hub.material import Material, from_folder
from hub.origins import open_origin
from hub.request import Request, order
from hub.schemes import SCHEMES
from runtime.manifest import Manifest
from runtime.progress import Progress, ignore_progress
from tests.hub.fake_toolchain import FAKE_TOOLCHAIN
from tests.hub.gguf_files import write_gguf
from tests.hub.mlc_files import write_mlc
from tests.reference.tiny import TINY

TINY_MODEL = TINY[0]


def gguf_file(folder: Path) -> Path:
    config, weights = TINY_MODEL.config(), TINY_MODEL.weights()
    return write_gguf(folder / "tiny.Q4_0.gguf", config, weights, Kind.Q4_0)


def mlc_folder(folder: Path) -> Path:
    return write_mlc(folder / "mlc", TINY_MODEL.config(), TINY_MODEL.weights(), "q4f16_1")


def build(material: Material, out: Path, scheme: str = "q4") -> Manifest:
    wanted = order(Request("tiny", None), material, SCHEMES[scheme], FAKE_TOOLCHAIN)
    return build_model(wanted, out, toolchain=FAKE_TOOLCHAIN)


@pytest.mark.parametrize("make", [gguf_file, mlc_folder])
def test_a_build_takes_over_what_lies_as_the_scheme_stores_it(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    seen: list[Progress] = []
    path = make(tmp_path)
    material = from_folder(path, path.name, None, seen.append)
    manifest = build(material, tmp_path / "hub")
    assert manifest.quantization.relative_error == 0.0
    assert manifest.source.files
    assert manifest.source.revision.startswith("sha256:")
    assert manifest.golden is not None
    assert manifest.stop_token_ids == (1,)
    assert {"tokenizer.json", "chat_template.jinja"} <= set(manifest.files)
    assert seen[-1].done == seen[-1].total > 0
    rounded = build(material, tmp_path / "hub", "q3").quantization
    assert rounded.relative_error is not None
    assert 0.05 < rounded.relative_error < 0.4


@pytest.mark.parametrize("make", [gguf_file, mlc_folder])
def test_a_build_does_not_depend_on_how_rows_are_cut(
    tmp_path: Path, make: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    material = from_folder(make(tmp_path), "tiny", None, ignore_progress)
    whole = build(material, tmp_path / "a")
    monkeypatch.setattr("hub.stream.BLOCK_ELEMENTS", 1500)
    parts = build(material, tmp_path / "b")
    assert parts.weights == whole.weights


BIAS = "model.layers.0.mlp.up_proj.bias"


@pytest.mark.parametrize("kind", ["gguf", "mlc"])
def test_a_tensor_that_would_be_left_out_is_refused(tmp_path: Path, kind: str) -> None:
    """A bias that the family does not add."""
    config = TINY_MODEL.config()
    more = {**TINY_MODEL.weights(), BIAS: np.ones(TINY_MODEL.intermediate, np.float32)}
    if kind == "gguf":
        path = write_gguf(tmp_path / "m.gguf", config, more)
    else:
        gate = BIAS.replace("up_proj", "gate_proj")
        path = write_mlc(tmp_path, config, {**more, gate: more[BIAS]}, "q0f32")
    material = from_folder(path, "tiny", None, ignore_progress)
    words = {"gguf": "'blk.0.ffn_up.bias' is not known", "mlc": "_proj.bias' is not known"}[kind]
    with pytest.raises(UnsupportedError, match=re.escape(words)):
        build(material, tmp_path / "hub")


def test_safetensors_come_before_what_else_lies_there(tmp_path: Path) -> None:
    TINY_MODEL.write(tmp_path)
    gguf_file(tmp_path)
    held = open_origin(tmp_path).weights.rows("model.norm.weight", 0, 160)
    np.testing.assert_array_equal(held, TINY_MODEL.weights()["model.norm.weight"])
    assert "tokenizer.json" in open_origin(tmp_path).chat.documents


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.gguf: no such file"):
        open_origin(tmp_path, "none.gguf")
