"""Model configs decode strictly, and those that ship agree with what the press computes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hub.families import FAMILIES
from hub.schemes import SCHEMES
from model_configs.config import FIRST, RANGES, ModelConfig, Source, all_configs, load, read
from model_configs.decode import ConfigError
from runtime import sampling

GOOD = """\
id = "tiny"
name = "Tiny"
description = "A model."
family = "llama"
parameters = 10
context = 64
languages = ["en"]
schemes = ["q4"]
suggestions = []

[source]
path = "tiny"

[licence]
spdx = "MIT"
name = "MIT License"
url = "https://example.org"
requires_acceptance = false

[architecture]
vocab_size = 300
"""


def write(folder: Path, text: str, name: str = "tiny.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def refusal(folder: Path, text: str, name: str = "tiny.toml") -> str:
    with pytest.raises(ConfigError) as caught:
        read(write(folder, text, name))
    return str(caught.value)


def test_a_config_decodes_with_defaults(tmp_path: Path) -> None:
    config = read(write(tmp_path, GOOD))
    assert config.source.path == "tiny"
    assert config.source.repo is None
    assert config.sampling.temperature == 0.7
    assert config.architecture == {"vocab_size": 300}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name = "Tiny"\n', "", ("tiny.toml", "'name' is missing", "add it")),
        ("context = 64", 'context = "64"', ("tiny.toml: context", "an integer, not a string")),
        ("context = 64", "context = true", ("tiny.toml: context", "an integer, not a boolean")),
        ("context = 64", "context = 0", ("tiny.toml", "positive")),
        ('["en"]', '["en", 1]', ("tiny.toml: languages[1]", "a string, not an integer")),
        ('["q4"]', "[]", ("tiny.toml", "schemes is empty")),
        ('spdx = "MIT"', 'spxd = "MIT"', ("tiny.toml: licence", "unknown key 'spxd'")),
        ('path = "tiny"', "", ("tiny.toml: source", "either `repo` and `revision`, or `path`")),
        ('path = "tiny"', 'repo = "a/b"', ("tiny.toml: source", "come together")),
        ('id = "tiny"', 'id = "Tiny One"', ("'Tiny One' is not a model id", "lower-case")),
        ('id = "tiny"', 'id = "other"', ("rename the file to other.toml",)),
        ('id = "tiny"', "id = tiny", ("tiny.toml: not valid TOML",)),
        ('path = "tiny"', 'path = "../tiny"', ("tiny.toml: source", "leads away")),
        ('path = "tiny"', 'path = "/tiny"', ("tiny.toml: source", "leads away")),
        ("[licence]", "[sampling]\ntemperature = nan\n[licence]", ("sampling", "from 0.0 to 2.0")),
        ("[licence]", "[sampling]\ntop_k = -1\n[licence]", ("sampling", "top_k is -1")),
        ("[licence]", "[sampling]\ntop_p = true\n[licence]", ("top_p: write a number",)),
    ],
)
def test_a_bad_config_names_file_key_and_remedy(
    tmp_path: Path, old: str, new: str, words: tuple[str, ...]
) -> None:
    assert old in GOOD
    message = refusal(tmp_path, GOOD.replace(old, new))
    for word in words:
        assert word in message


def test_an_unknown_model_lists_those_there_are() -> None:
    with pytest.raises(ConfigError, match="choose one of press-guide, "):
        load("gpt-9")


def test_the_demo_model_comes_first_and_the_others_grow() -> None:
    first, *others = all_configs()
    assert first.id == FIRST
    assert [c.parameters for c in others] == sorted(c.parameters for c in others)
    assert len(others) >= 8


@pytest.mark.parametrize("config", all_configs(), ids=lambda config: config.id)
def test_a_shipped_config_agrees_with_its_family(config: ModelConfig) -> None:
    shape = FAMILIES[config.family].read(config.architecture)
    assert shape.parameters == config.parameters
    assert config.context <= shape.context
    assert set(config.schemes) <= set(SCHEMES)
    assert 3 <= len(config.suggestions) <= 4 or config.embedding
    assert (config.embedding is not None) == (FAMILIES[config.family].task == "embedding")


@pytest.mark.parametrize("config", all_configs(), ids=lambda config: config.id)
def test_a_shipped_source_is_pinned_or_said_to_be_unverified(config: ModelConfig) -> None:
    if config.source.folder is None and (
        config.source.verified or config.source.revision != "main"
    ):
        assert config.source.revision is not None
        assert len(config.source.revision) == 40
        assert set(config.source.revision) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    "config", [c for c in all_configs() if c.source.folder], ids=lambda config: config.id
)
def test_a_shipped_checkpoint_has_the_shape_its_config_says(config: ModelConfig) -> None:
    assert config.source.folder is not None
    found = json.loads((config.source.folder / "config.json").read_text())
    family = FAMILIES[config.family]
    assert family.read(found) == family.read(config.architecture)


def test_sampling_has_the_bounds_of_the_engine() -> None:
    """A NaN or negative temperature was read, and failed in the manifest or in the first chat."""
    assert {name: RANGES[name] for name in sampling.RANGES} == sampling.RANGES


@pytest.mark.parametrize("name", ["../x.gguf", "x.bin", "sub/x.gguf"])
def test_a_file_is_a_gguf_file_of_the_repository(name: str) -> None:
    with pytest.raises(ConfigError, match="is no file of a repository"):
        Source(repo="a/b", revision="main", file=name)
    with pytest.raises(ConfigError, match="is no file of a repository"):
        Source(path="here", file="x.gguf")
