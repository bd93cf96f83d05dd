"""`modelpress add`: the config of a model from its repository, by the real client of the Hub."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from gguf import GGMLQuantizationType as Kind
from typer.testing import CliRunner

from hub.add_cli import app
from hub.adding import Wish, add, architecture
from hub.errors import HubError, OutputError, SourceError, UnsupportedError
from hub.families import FAMILIES
from model_configs.config import EmbeddingSettings, ModelConfig, Sampling, all_configs, read
from model_configs.write import dumps
from tests.hub.fake_toolchain import FAKE_TOOLCHAIN
from tests.hub.gguf_files import write_gguf
from tests.hub.gguf_models import representable
from tests.hub.hub_stand_in import COMMIT, StandIn, point_client_at, serve
from tests.hub.mlc_files import write_mlc
from tests.reference.checkpoints import family_of
from tests.reference.tiny import TINY
from tests.reference.tiny_encoders import TINY_ENCODERS
from tests.reference.tiny_families import TINY_FAMILIES

REPO = "someone/Tiny_Coder-1.5"
MODELS = {tiny.name: tiny for tiny in (*TINY, *TINY_FAMILIES)}
CARD = {"license": "apache-2.0", "language": ["en", "zh", "multilingual"], "tags": ["math"]}


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    with serve(StandIn(REPO, {}, card=CARD)) as running:
        point_client_at(running, monkeypatch, tmp_path)
        yield running


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def safetensors(folder: Path, model: str = "tiny-grouped", **changes: Any) -> dict[str, bytes]:
    """What a publisher puts into a repository; `changes` go into config.json."""
    files = contents(MODELS[model].write(folder / "published"))
    config = json.loads(files["config.json"]) | changes
    generation = {"temperature": 0.6, "top_k": 20, "top_p": 7.0, "do_sample": True}
    return files | {
        "config.json": json.dumps(config).encode(),
        "generation_config.json": json.dumps(generation).encode(),
    }


def added(tmp_path: Path, **wish: Any) -> ModelConfig:
    return read(add(Wish(REPO, **wish), tmp_path, FAKE_TOOLCHAIN))


def refusal(kind: type[HubError], tmp_path: Path, **wish: Any) -> str:
    with pytest.raises(kind) as caught:
        added(tmp_path, **wish)
    return str(caught.value)


def test_a_repository_of_safetensors_tells_its_model(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.files = safetensors(tmp_path)
    config = added(tmp_path)
    assert config.id == "tiny-coder-1.5"
    assert (config.family, config.context) == ("llama", 256)
    assert config.parameters == sum(a.size for a in MODELS["tiny-grouped"].weights().values())
    assert (config.source.repo, config.source.revision) == (REPO, COMMIT)
    assert not config.source.verified
    assert config.licence.spdx == "Apache-2.0"
    assert config.languages == ("en", "zh")
    assert config.tasks == ("chat", "code", "math")
    assert config.sampling == Sampling(temperature=0.6, top_k=20)
    family = FAMILIES["llama"]
    assert family.read(config.architecture) == family.read(MODELS["tiny-grouped"].config())


def test_no_weights_are_fetched(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.files = safetensors(tmp_path)
    added(tmp_path)
    fetched = {path.rpartition("/")[2] for method, path, _ in stand_in.log if method == "GET"}
    assert "config.json" in fetched
    assert not {"model.safetensors", "tokenizer.json"} & fetched


@pytest.mark.parametrize("model", ["tiny-qwen2", "tiny-qwen3-moe"])
def test_an_mlc_repository_tells_its_model(stand_in: StandIn, tmp_path: Path, model: str) -> None:
    tiny = representable(model)
    folder = write_mlc(tmp_path / "mlc", tiny.config(), tiny.weights(), "q4f16_1")
    stand_in.files = contents(folder)
    config = added(tmp_path, id="mine")
    name = family_of(tiny.config())
    assert (config.id, config.family, config.tasks[0]) == ("mine", name, "chat")
    family = FAMILIES[name]
    assert family.read(config.architecture) == family.read(tiny.config())
    assert not any("params_shard" in path for _, path, _ in stand_in.log)


def test_a_gguf_file_tells_its_model_by_its_head(stand_in: StandIn, tmp_path: Path) -> None:
    """Long rope: two of its numbers lie among the weights."""
    tiny = MODELS["tiny-phi3-long"]
    file = write_gguf(tmp_path / "Tiny.F32.gguf", tiny.config(), tiny.weights())
    padded = file.read_bytes() + bytes(3 << 20)
    stand_in.files = {file.name: padded, "README.md": b""}
    config = added(tmp_path)
    assert (config.id, config.source.file) == ("tiny.f32", "Tiny.F32.gguf")
    family = FAMILIES[family_of(config.architecture)]
    assert family.read(config.architecture) == family.read(tiny.config())
    ranges = [range_ for method, _, range_ in stand_in.log if method == "GET" and range_]
    assert len(ranges) == 3, "the head, and two vectors"


def test_the_scheme_of_a_gguf_file_is_that_of_most_matrices(
    stand_in: StandIn, tmp_path: Path
) -> None:
    """Of 3 tensors a layer that hold 7 experts each, beside 5 that hold one matrix."""
    tiny = MODELS["tiny-olmoe"]
    file = tmp_path / "Tiny.gguf"
    write_gguf(file, tiny.config(), tiny.weights(), Kind.F32, other={"experts": Kind.Q8_0})
    stand_in.files = {file.name: file.read_bytes()}
    config = added(tmp_path)
    assert (config.family, config.schemes) == ("olmoe", ("q8",))


def test_one_of_several_gguf_files_is_asked_for(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.files = {"a.gguf": b"", "b.gguf": b""}
    assert "name one with --file: a.gguf, b.gguf" in refusal(SourceError, tmp_path)
    message = refusal(SourceError, tmp_path, file="c.gguf")
    assert "has no file 'c.gguf'; it has: a.gguf, b.gguf" in message


def test_a_host_without_parts_is_said_so(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.files, stand_in.parts = {"a.gguf": b"GGUF"}, False
    assert "gives no parts of files; download a.gguf" in refusal(SourceError, tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "mamba"}, "model_type 'mamba' belongs to no family"),
        ({"mlp_bias": True}, "mlp_bias = True is not supported by the family 'llama'"),
    ],
)
def test_what_no_family_computes_is_refused_by_name(
    stand_in: StandIn, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    stand_in.files = safetensors(tmp_path, **changes)
    assert words in refusal(UnsupportedError, tmp_path)


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ({}, "its card names no licence"),
        ({"license": "openrail"}, "its card names 'openrail'"),
        ({"license": "other", "license_name": "mystery"}, "its card names 'mystery'"),
    ],
)
def test_an_unknown_licence_is_refused_saying_what_to_add(
    stand_in: StandIn, tmp_path: Path, card: Mapping[str, Any], words: str
) -> None:
    stand_in.files, stand_in.card = safetensors(tmp_path), card
    message = refusal(SourceError, tmp_path)
    assert words in message
    assert "--licence SPDX and --licence-url URL" in message
    config = added(tmp_path, licence="OpenRAIL", licence_url="https://example.org/l")
    assert (config.licence.spdx, config.licence.url) == ("OpenRAIL", "https://example.org/l")


def test_the_name_of_another_licence_is_taken(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.files = safetensors(tmp_path)
    stand_in.card = {"license": "other", "license_name": "qwen-research"}
    assert added(tmp_path).licence.spdx == "LicenseRef-Qwen-Research"


def test_a_file_that_is_there_is_kept(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.files = safetensors(tmp_path)
    added(tmp_path)
    assert "is there already; remove it, or give another --id" in refusal(OutputError, tmp_path)


def test_a_repository_without_a_model_is_said_so(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.files = {"README.md": b""}
    assert "holds neither config.json nor" in refusal(SourceError, tmp_path)


def encoder(folder: Path) -> dict[str, bytes]:
    """A repository of a model of embeddings that does not say how it makes vectors."""
    return contents(TINY_ENCODERS[0].write(folder / "published")) | {"tokenizer.json": b"{}"}


def test_a_model_of_embeddings_says_how_it_makes_vectors(stand_in: StandIn, tmp_path: Path) -> None:
    kinds = (("Transformer", ""), ("Pooling", "1_Pooling"))
    modules = [{"idx": i, "path": path, "type": f"x.{k}"} for i, (k, path) in enumerate(kinds)]
    pooling = {"word_embedding_dimension": 96, "pooling_mode_cls_token": True}
    stand_in.files = encoder(tmp_path) | {
        "modules.json": json.dumps(modules).encode(),
        "1_Pooling/config.json": json.dumps(pooling).encode(),
        "sentence_bert_config.json": b'{"max_seq_length": 32}',
    }
    config = added(tmp_path)
    assert (config.family, config.tasks, config.suggestions) == ("bert", ("embedding",), ())
    assert config.embedding == EmbeddingSettings("cls", False, 32)
    assert config.context == 32


def test_a_model_that_does_not_say_how_it_makes_vectors_is_refused(
    stand_in: StandIn, tmp_path: Path
) -> None:
    stand_in.files = encoder(tmp_path)
    assert "does not say how: it has no modules.json" in refusal(UnsupportedError, tmp_path)


def test_nulls_that_matter_are_written_as_zeros() -> None:
    """A window of null is none for Mistral, and no window at all is 4096."""
    config = MODELS["tiny-window"].config() | {"sliding_window": None, "head_dim": None}
    family = FAMILIES["llama"]
    kept = architecture(config, family.read)
    assert kept["sliding_window"] == 0
    assert "head_dim" not in kept
    assert family.read(kept) == family.read(config)


@pytest.mark.parametrize("config", all_configs(), ids=lambda config: config.id)
def test_a_written_config_decodes_to_itself(config: ModelConfig, tmp_path: Path) -> None:
    path = tmp_path / f"{config.id}.toml"
    path.write_text(dumps(config), encoding="utf-8")
    assert read(path) == config


def test_the_command_says_what_was_written(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.files = safetensors(tmp_path)
    arguments = [REPO, "--id", "mine", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "mine.toml: llama, 0.00 billion parameters, Apache License 2.0" in result.output
    assert "modelpress build mine" in result.output
    assert CliRunner().invoke(app, [REPO, "--id", "A b"]).exit_code == 2
