"""`verify`: a whole model passes, and each kind of damage is found and named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hub import audit as module
from hub.audit import Built, Finding, audit, passed
from hub.build import build_model
from hub.errors import OutputError
from hub.material import from_folder
from hub.registry import write_registry
from hub.request import Request, order
from hub.schemes import SCHEMES
from model_configs.config import Source, all_configs
from runtime.errors import ModelpressError
from runtime.manifest import Manifest
from runtime.progress import ignore_progress
from runtime.weights import WeightIndex
from tests.hub.fake_toolchain import FAKE_TOOLCHAIN, CountingReference
from tests.reference.tiny import TINY


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    material = from_folder(TINY[0].write(tmp_path / "c"), "tiny", None, ignore_progress)
    wanted = order(Request("tiny", None), material, SCHEMES["q4"], FAKE_TOOLCHAIN)
    build_model(wanted, tmp_path / "hub", toolchain=FAKE_TOOLCHAIN)
    write_registry(tmp_path / "hub", [], {})
    monkeypatch.setattr(module, "_open", open_with_fake)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    return tmp_path / "hub"


def open_with_fake(built: Built) -> tuple[Manifest, CountingReference]:
    config = json.loads((built.root / built.manifest.files["config.json"].path).read_bytes())
    return built.manifest, CountingReference("llama", config, SCHEMES["q4"], {}, context=64)


def findings(root: Path) -> dict[str, Finding]:
    return {finding.check: finding for _, finding in audit(root, "tiny")}


def manifest(root: Path) -> Manifest:
    return Manifest.loads((root / "models/tiny/q4/manifest.json").read_bytes())


def failed(root: Path) -> Finding:
    (finding,) = [f for f in findings(root).values() if f.state == "failed"]
    return finding


def change(path: Path, edit: Callable[[bytes], bytes]) -> None:
    path.write_bytes(edit(path.read_bytes()))


def flip_last(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def test_a_whole_model_passes(root: Path) -> None:
    found = findings(root)
    assert {name: f.state for name, f in found.items()} == {
        "documents": "ok",
        "chunks": "ok",
        "shapes": "ok",
        "source": "skipped",
        "golden": "ok",
        "reference": "skipped",
    }
    assert passed(list(found.values()))


@pytest.mark.parametrize("name", ["manifest.json", "plan.base.json", "tokenizer.json"])
def test_a_changed_document_is_named(root: Path, name: str) -> None:
    change(root / "models/tiny/q4" / name, flip_last)
    finding = failed(root)
    assert finding.check == "documents"
    assert name in finding.detail
    assert "build the model again" in finding.detail


def test_a_missing_document_is_named(root: Path) -> None:
    (root / "models/tiny/q4/weights.json").unlink()
    assert "weights.json: missing" in failed(root).detail


def test_a_damaged_chunk_is_named(root: Path) -> None:
    index = WeightIndex.loads((root / manifest(root).weights.path).read_bytes())
    change(root / index.chunks[0].path, flip_last)
    finding = failed(root)
    assert finding.check == "chunks"
    assert index.chunks[0].sha256 in finding.detail


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("repo", "named", "state", "words"),
    [
        ("tiny", COMMIT, "ok", "as its config says"),
        ("tiny", "main", "ok", f"main of tiny is {COMMIT}"),
        ("tiny", COMMIT.replace("0", "1"), "failed", f"built from commit {COMMIT}, its config"),
        ("other/tiny", COMMIT, "skipped", "built from tiny, not from other/tiny"),
    ],
)
def test_a_build_from_another_source_than_its_config_names_is_found(
    root: Path, monkeypatch: pytest.MonkeyPatch, repo: str, named: str, state: str, words: str
) -> None:
    config = replace(all_configs()[1], id="tiny", source=Source(repo=repo, revision=named))
    monkeypatch.setattr(module, "all_configs", lambda: (config,))
    change(
        root / "models/tiny/q4/manifest.json",
        lambda data: data.replace(manifest(root).source.revision.encode(), COMMIT.encode()),
    )
    write_registry(root, [], {})
    finding = findings(root)["source"]
    assert finding.state == state
    assert words in finding.detail


def test_other_golden_tokens_fail(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CountingReference, "greedy", lambda self, prompt, count: [0] * count)
    assert failed(root).check == "golden"


def test_a_model_that_was_not_built_lists_those_that_were(root: Path) -> None:
    with pytest.raises(ModelpressError, match="it offers: tiny"):
        list(audit(root, "other"))
    with pytest.raises(OutputError, match="not built in 'q8'; it is in: q4"):
        list(audit(root, "tiny", "q8"))
