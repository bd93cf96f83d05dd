"""The build: complete, repeatable, and harmless when it fails."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hub.build import build_model
from hub.checkpoint import Checkpoint
from hub.errors import CheckpointError, CompileError, OutputError, UnsupportedError
from hub.families import FAMILIES
from hub.material import Material, from_folder, from_shapes
from hub.order import Order
from hub.registry import gather, write_registry
from hub.request import Request, order
from hub.schemes import SCHEMES, Mixture, stored_schemes
from hub.shards import read_buffers
from model_configs.config import load
from runtime.manifest import File, Manifest, Registry
from runtime.plan import Plan
from runtime.progress import Progress, ignore_progress
from runtime.weights import WeightIndex
from tests.hub.fake_toolchain import FAKE_TOOLCHAIN
from tests.reference.tiny import TINY

MODEL = TINY[0]


@pytest.fixture
def material(tmp_path: Path) -> Material:
    folder = MODEL.write(tmp_path / "checkpoint")
    (folder / "LICENSE").write_text("Do as you like.\n")
    return from_folder(folder, "tiny", None, ignore_progress)


def tiny_order(material: Material, scheme: str = "q4") -> Order:
    return order(Request("tiny", None), material, SCHEMES[scheme], FAKE_TOOLCHAIN)


def build(material: Material, root: Path, scheme: str = "q4") -> Manifest:
    return build_model(tiny_order(material, scheme), root, toolchain=FAKE_TOOLCHAIN)


def contents(root: Path) -> dict[str, str]:
    """Every file under a folder by its digest."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_the_manifest_says_which_matrices_have_a_scheme_of_their_own(
    material: Material, tmp_path: Path
) -> None:
    own = {"embedding": SCHEMES["q8"], "layers.0.down": SCHEMES["f16"]}
    mixture = Mixture("mine", SCHEMES["q4"], own)
    wanted = dataclasses.replace(tiny_order(material), scheme=mixture)
    manifest = build_model(wanted, tmp_path / "hub", toolchain=FAKE_TOOLCHAIN)
    found = manifest.quantization
    assert found.base == "q4"
    assert found.matrices == {"embedding": "q8", "layers.0.down": "f16"}
    assert stored_schemes(found) == mixture
    assert Manifest.loads(manifest.dumps()) == manifest


def files_of(manifest: Manifest) -> list[File]:
    plans = [variant.plan for variant in manifest.variants]
    assert manifest.licence.text is not None
    return [*manifest.files.values(), *plans, manifest.weights, manifest.licence.text]


def test_every_file_the_manifest_names_is_there(material: Material, tmp_path: Path) -> None:
    manifest = build(material, tmp_path / "hub")
    found = contents(tmp_path / "hub")
    for file in files_of(manifest):
        assert found[file.path] == file.sha256
        assert (tmp_path / "hub" / file.path).stat().st_size == file.nbytes
    assert set(manifest.files) == {
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
    }


def test_the_manifest_decodes_and_says_what_was_built(material: Material, tmp_path: Path) -> None:
    built = build(material, tmp_path)
    text = (tmp_path / "models/tiny/q4/manifest.json").read_bytes()
    assert Manifest.loads(text) == built
    assert built.architecture.parameters == sum(a.size for a in MODEL.weights().values())
    assert built.quantization.relative_error == pytest.approx(0.08, abs=0.03)
    assert 4.5 <= built.quantization.bits_per_weight < 4.51
    assert built.source.files["model.safetensors"]
    assert built.source.revision.startswith("sha256:")
    assert built.stop_token_ids == (1,)
    assert built.bos_token_id == 0
    assert [variant.name for variant in built.variants] == ["f16", "base"]


def test_golden_tokens_answer_the_rendered_template(material: Material, tmp_path: Path) -> None:
    golden = build(material, tmp_path).golden
    assert golden is not None
    assert len(golden.tokens) == 32
    assert golden.tokens[0] == len(golden.prompt)
    assert golden.prompt[-1] == 1, "the template ends a message with </s>"


def test_a_tokenizer_of_another_model_is_warned_about(
    material: Material, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert material.chat is not None
    documents = {**material.chat.documents}
    tokenizer = json.loads(documents["tokenizer.json"])
    vocab = tokenizer["model"]["vocab"]
    tokenizer["model"]["vocab"] = {token: id + 1000 for token, id in vocab.items()}
    documents["tokenizer.json"] = json.dumps(tokenizer).encode()
    chat = dataclasses.replace(material.chat, documents=documents)
    manifest = build(dataclasses.replace(material, chat=chat), tmp_path)
    assert manifest.golden is None
    assert "does not fit the 283 tokens" in caplog.text


def test_the_stored_weights_are_those_of_the_plan(material: Material, tmp_path: Path) -> None:
    manifest = build(material, tmp_path, "f32")
    index = WeightIndex.loads((tmp_path / manifest.weights.path).read_bytes())
    plan = Plan.loads((tmp_path / manifest.variants[0].plan.path).read_bytes())
    stored = {tensor.name: data for tensor, data in read_buffers(tmp_path, index)}
    assert set(stored) == {b.name for b in plan.buffers if b.role == "weight"}
    expected = MODEL.weights()["model.layers.1.mlp.down_proj.weight"]
    assert np.array_equal(stored["layers.1.down.w"], expected)


def test_two_builds_give_the_same_bytes(material: Material, tmp_path: Path) -> None:
    for name in ("one", "two"):
        build(material, tmp_path / name)
        write_registry(tmp_path / name, [], {})
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_building_again_leaves_one_complete_folder(material: Material, tmp_path: Path) -> None:
    build(material, tmp_path)
    before = contents(tmp_path)
    build(material, tmp_path)
    assert contents(tmp_path) == before


def test_progress_covers_the_stages(material: Material, tmp_path: Path) -> None:
    seen: list[Progress] = []
    build_model(tiny_order(material), tmp_path, toolchain=FAKE_TOOLCHAIN, on_progress=seen.append)
    assert [*dict.fromkeys(p.stage for p in seen)] == ["compile", "weights", "golden"]
    assert all(0 <= p.done <= p.total for p in seen)
    weights = [p for p in seen if p.stage == "weights"]
    assert weights[-1].done == weights[-1].total


def test_a_synthetic_build_has_plans_and_a_chat_but_no_weights(tmp_path: Path) -> None:
    config = load("llama-3.2-1b-instruct")
    wanted = Order(config, from_shapes(config), SCHEMES["q4"], 512)
    manifest = build_model(wanted, tmp_path, toolchain=FAKE_TOOLCHAIN)
    index = WeightIndex.loads((tmp_path / manifest.weights.path).read_bytes())
    assert manifest.synthetic
    assert (index.nbytes, index.tensors, index.chunks) == (0, (), ())
    assert manifest.golden is None
    assert manifest.quantization.relative_error is None
    assert manifest.source.repo == "meta-llama/Llama-3.2-1B-Instruct"
    assert not (tmp_path / "blobs").exists()
    entry = gather(tmp_path, [], {}).models[0]
    assert entry.synthetic


def interrupted(*args: Any, **kwargs: Any) -> None:
    raise KeyboardInterrupt


def full_disk(*args: Any, **kwargs: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    "place", ["hub.shards.write_blob", "hub.folders.write_file", "hub.folders.swap_folder"]
)
@pytest.mark.parametrize(
    ("failure", "error"), [(full_disk, OutputError), (interrupted, KeyboardInterrupt)]
)
def test_a_build_that_fails_leaves_the_old_one_serving(
    material: Material,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    failure: Any,
    error: type[BaseException],
) -> None:
    """A full disk or Ctrl-C, in the weights, in the documents, or at the very last step."""
    root = tmp_path / "hub"
    build(material, root)
    before = contents(root)
    assert material.folder is not None
    folder = material.folder
    changed = dataclasses.replace(MODEL, seed=1)
    newer = from_folder(changed.write(folder), "tiny", None, ignore_progress)
    monkeypatch.setattr(place, failure)
    with pytest.raises(error):
        build(newer, root)
    monkeypatch.undo()
    assert contents(root) == before
    build(newer, root)
    assert contents(root) != before


def test_a_full_disk_says_what_to_do(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.shards.write_blob", full_disk)
    with pytest.raises(OutputError, match="the disk is full: free some space") as caught:
        build(material, tmp_path)
    assert "still serves" in str(caught.value)


def test_a_swap_that_fails_halfway_restores_the_old_folder(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(material, tmp_path)
    before = contents(tmp_path)
    rename, calls = Path.rename, []

    def second_fails(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == 2:
            full_disk()
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", second_fails)
    with pytest.raises(OutputError):
        build(material, tmp_path)
    assert contents(tmp_path) == before


def test_a_build_killed_inside_the_swap_is_healed_by_the_next(
    material: Material, tmp_path: Path
) -> None:
    build(material, tmp_path)
    final = tmp_path / "models/tiny/q4"
    aside = tmp_path / ".building/tiny.q4.old"
    aside.parent.mkdir(exist_ok=True)
    final.rename(aside)
    missing = dataclasses.replace(material, config={**material.config, "vocab_size": 999})
    with pytest.raises(CheckpointError):
        build(missing, tmp_path)
    build(material, tmp_path)
    assert final.is_dir()
    assert not aside.exists()


def test_a_folder_without_permission_is_an_output_error(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("hub.folders.write_file", refused)
    with pytest.raises(OutputError, match="no permission to write: correct the folder's owner"):
        build(material, tmp_path)


def test_wrong_shapes_stop_before_anything_is_written(material: Material, tmp_path: Path) -> None:
    wrong = dataclasses.replace(material, config={**material.config, "intermediate_size": 64})
    with pytest.raises(CheckpointError, match=r"mlp\.gate_proj\.weight .* has shape"):
        build(wrong, tmp_path / "hub")
    assert not (tmp_path / "hub").exists()


def test_a_missing_tensor_is_named(material: Material, tmp_path: Path) -> None:
    assert isinstance(material.checkpoint, Checkpoint)
    entries = dict(material.checkpoint.entries)
    del entries["model.norm.weight"]
    checkpoint = dataclasses.replace(material.checkpoint, entries=entries)
    with pytest.raises(CheckpointError, match=r"'model\.norm\.weight' is missing"):
        build(dataclasses.replace(material, checkpoint=checkpoint), tmp_path / "hub")


def test_an_unknown_family_lists_those_there_are(material: Material, tmp_path: Path) -> None:
    other = dataclasses.replace(material, config={**material.config, "model_type": "gpt9"})
    there_are = ", ".join(sorted(FAMILIES))
    with pytest.raises(
        UnsupportedError, match=f"'gpt9' belongs to no family; there are: {there_are}"
    ):
        build(other, tmp_path)


@pytest.mark.parametrize("context", [0, 257])
def test_an_impossible_context_is_refused(material: Material, tmp_path: Path, context: int) -> None:
    wanted = dataclasses.replace(tiny_order(material), context=context)
    with pytest.raises(UnsupportedError, match="this model reads 1 to 256"):
        build_model(wanted, tmp_path, toolchain=FAKE_TOOLCHAIN)


def test_a_plan_that_wants_other_weights_is_a_compile_error(
    material: Material, tmp_path: Path
) -> None:
    def other_weights(**arguments: Any) -> tuple[Plan, ...]:
        plans = FAKE_TOOLCHAIN.compile_plans(**arguments)
        return tuple(dataclasses.replace(p, buffers=p.buffers[1:]) for p in plans)

    toolchain = dataclasses.replace(FAKE_TOOLCHAIN, compile_plans=other_weights)
    with pytest.raises(CompileError, match="is not what was stored"):
        build_model(tiny_order(material), tmp_path, toolchain=toolchain)
    assert not (tmp_path / "models").exists()


def test_a_known_id_refuses_a_checkpoint_of_another_shape(material: Material) -> None:
    request = Request("press-guide", load("press-guide"))
    with pytest.raises(UnsupportedError, match="does not have the shape of press-guide"):
        order(request, material, SCHEMES["q4"], FAKE_TOOLCHAIN)


def test_the_registry_follows_the_given_order(material: Material, tmp_path: Path) -> None:
    for id, scheme in (("b", "q4"), ("a", "f16"), ("a", "q4"), ("first", "q8")):
        wanted = order(Request(id, None), material, SCHEMES[scheme], FAKE_TOOLCHAIN)
        build_model(wanted, tmp_path, toolchain=FAKE_TOOLCHAIN)
    registry = gather(tmp_path, ["first"], {})
    assert [m.id for m in registry.models] == ["first", "a", "b"]
    assert [s.scheme for s in registry.models[1].schemes] == ["q4", "f16"]
    registry = gather(tmp_path, ["b", "first"], {"a": ["f16", "q4"]})
    assert [m.id for m in registry.models] == ["b", "first", "a"]
    assert [s.scheme for s in registry.models[2].schemes] == ["f16", "q4"]


def test_the_registry_counts_the_download(material: Material, tmp_path: Path) -> None:
    manifest = build(material, tmp_path)
    (entry,) = write_registry(tmp_path, [], {}).models
    expected = manifest.weights_nbytes + max(v.plan.nbytes for v in manifest.variants)
    expected += sum(file.nbytes for file in manifest.files.values())
    assert entry.schemes[0].download_nbytes == expected
    found = (tmp_path / entry.schemes[0].manifest.path).read_bytes()
    assert hashlib.sha256(found).hexdigest() == entry.schemes[0].manifest.sha256
    assert Registry.loads((tmp_path / "registry.json").read_bytes()).models == (entry,)


def test_a_manifest_of_another_format_says_how_to_go_on(material: Material, tmp_path: Path) -> None:
    build(material, tmp_path)
    path = tmp_path / "models/tiny/q4/manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(OutputError, match=r"format is 99.*modelpress build.*or remove the folder"):
        gather(tmp_path, [], {})


@pytest.mark.parametrize("context", [1, 2, 20, 60])
def test_golden_tokens_end_with_the_context(
    material: Material, tmp_path: Path, context: int
) -> None:
    """32 tokens were always asked for: in a shorter context the reference wrote past its cache,
    which ended the process."""
    wanted = dataclasses.replace(tiny_order(material), context=context)
    golden = build_model(wanted, tmp_path, toolchain=FAKE_TOOLCHAIN).golden
    assert (golden is None) == (context == 1)
    if golden is not None:
        assert len(golden.prompt) + len(golden.tokens) <= context


def test_a_tokenizer_that_is_none_is_refused_before_compiling(
    material: Material, tmp_path: Path
) -> None:
    """JSON that is no tokenizer ended the build with the library's bare Exception."""
    assert material.chat is not None
    documents = {**material.chat.documents, "tokenizer.json": b"{}"}
    chat = dataclasses.replace(material.chat, documents=documents)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: .* download it again"):
        build(dataclasses.replace(material, chat=chat), tmp_path / "hub")
    assert not (tmp_path / "hub").exists()


def test_a_known_licence_brings_its_text(material: Material, tmp_path: Path) -> None:
    """Manifests of models under Apache-2.0 had no text: their repositories hold no LICENSE."""
    wanted = tiny_order(dataclasses.replace(material, licence_text=None))
    licence = load("press-guide").licence
    wanted = dataclasses.replace(wanted, model=dataclasses.replace(wanted.model, licence=licence))
    manifest = build_model(wanted, tmp_path, toolchain=FAKE_TOOLCHAIN)
    assert manifest.licence.text is not None
    assert b"Apache License" in (tmp_path / manifest.licence.text.path).read_bytes()
