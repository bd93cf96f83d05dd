"""The build of a model of embeddings: what the manifest says of it, and what cannot be built."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hub.build import build_model
from hub.errors import UnsupportedError
from hub.material import from_folder, from_shapes
from hub.order import Order
from hub.registry import write_registry
from hub.request import Request, order
from hub.schemes import SCHEMES
from model_configs.config import load
from runtime.manifest import GoldenVector
from runtime.progress import ignore_progress
from tests.hub.fake_toolchain import FAKE_TOOLCHAIN
from tests.hub.test_embedding_files import write
from tests.reference.tiny_encoders import TINY_ENCODERS
from tests.web.bert_tokenizer import tiny_bert_tokenizer


def ordered(folder: Path, **settings: int) -> Order:
    TINY_ENCODERS[0].write(folder)
    (folder / "tokenizer.json").write_text(tiny_bert_tokenizer().to_str())
    material = from_folder(folder, "tiny", None, ignore_progress)
    request = Request("tiny", None, context=settings.get("context"))
    return order(request, material, SCHEMES["q8"], FAKE_TOOLCHAIN)


def test_manifest_and_registry_say_what_the_model_is_for(tmp_path: Path) -> None:
    wanted = ordered(write(tmp_path / "checkpoint"))
    root = tmp_path / "hub"
    manifest = build_model(wanted, root, toolchain=FAKE_TOOLCHAIN)
    assert manifest.task == "embedding" and manifest.golden is None
    assert manifest.embedding == wanted.embedding
    assert manifest.embedding and manifest.embedding.prompts == {"query": "Q: "}
    assert manifest.architecture.context == manifest.embedding.max_tokens == 32
    golden = manifest.golden_vector
    assert isinstance(golden, GoldenVector) and len(golden.values) == 96
    assert golden.tokens[0] == 2 and golden.tokens[-1] == 3, "special tokens, no padding"
    (entry,) = write_registry(root, [], {}).models
    assert entry.task == "embedding"
    assert json.loads((root / "registry.json").read_text())["models"][0]["task"] == "embedding"


def test_the_context_asked_for_is_the_longest_text(tmp_path: Path) -> None:
    wanted = ordered(write(tmp_path), context=8)
    assert wanted.embedding and (wanted.context, wanted.embedding.max_tokens) == (8, 8)
    with pytest.raises(UnsupportedError, match="texts of 4096 tokens"):
        ordered(tmp_path, context=4096)


def test_without_a_way_to_pool_there_is_no_build(tmp_path: Path) -> None:
    tmp_path.mkdir(exist_ok=True)
    with pytest.raises(UnsupportedError, match=r"modules\.json"):
        ordered(tmp_path)


def test_a_config_is_enough_for_a_synthetic_build(tmp_path: Path) -> None:
    config = load("bge-small-en-v1.5")
    request = Request(config.id, config, synthetic=True)
    wanted = order(request, from_shapes(config), SCHEMES["q4"], FAKE_TOOLCHAIN)
    manifest = build_model(wanted, tmp_path, toolchain=FAKE_TOOLCHAIN)
    assert manifest.embedding and manifest.embedding.pooling == "cls"
    assert "query" in manifest.embedding.prompts
    assert manifest.golden_vector is None
