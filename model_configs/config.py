"""Model configs: one TOML file a model, decoded strictly into a ModelConfig.

A config says where a checkpoint comes from, how to present it and how to sample it. It knows no
family, scheme or compiler: those names are checked by the press when it builds.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .decode import ConfigError, decode

FOLDER = Path(__file__).resolve().parent
GGUF = r"[\w][\w.-]*\.gguf"
"""The name of a GGUF file."""
TASKS = ("chat", "reasoning", "code", "math", "tools", "completion", "embedding")
"""What models are made for."""
FIRST = "press-guide"
"""The model a visitor meets first."""


@dataclass(frozen=True, slots=True)
class Source:
    """A checkpoint: a repository at a revision, or a folder beside the config file.

    `file` is the GGUF file of a repository that has such files. `verified` says that the model was
    built from this source and found to be what its config says.
    """

    repo: str | None = None
    revision: str | None = None
    path: str | None = None
    file: str | None = None
    verified: bool = False

    def __post_init__(self) -> None:
        if (self.repo is None) == (self.path is None):
            raise ConfigError("give either `repo` and `revision`, or `path`")
        if (self.repo is None) != (self.revision is None):
            raise ConfigError("`repo` and `revision` come together")
        if self.file is not None and (self.repo is None or not re.fullmatch(GGUF, self.file)):
            raise ConfigError(f"file {self.file!r} is no file of a repository; write NAME.gguf")
        if self.path is not None and not re.fullmatch(r"[\w-]+(/[\w-]+)*", self.path):
            raise ConfigError(f"path {self.path!r} leads away; name a folder beside this file")

    @property
    def folder(self) -> Path | None:
        """The local checkpoint folder, when the source is one."""
        return None if self.path is None else FOLDER / self.path


@dataclass(frozen=True, slots=True)
class Licence:
    """`spdx` is an SPDX identifier or LicenseRef-...; some must be accepted at the source."""

    spdx: str
    name: str
    url: str
    requires_acceptance: bool


RANGES = {
    "temperature": (0.0, 2.0),
    "top_p": (0.0, 1.0),
    "top_k": (0, 2**31 - 1),
    "min_p": (0.0, 1.0),
    "frequency_penalty": (-2.0, 2.0),
    "presence_penalty": (-2.0, 2.0),
    "repetition_penalty": (0.01, 100.0),
}
"""What the engine takes."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Defaults of the chat; a request may override each."""

    temperature: float = 0.7
    top_p: float = 0.95
    top_k: int = 0
    min_p: float = 0.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"{name} is {value}; write a number from {low} to {high}")


POOLINGS = ("cls", "mean", "max", "mean_sqrt_len", "last")


@dataclass(frozen=True, slots=True)
class EmbeddingSettings:
    """How a model makes a vector of a text, where its checkpoint's files leave it open.

    `max_tokens` is the longest text; `prompts` by name what is written before a text ("query").
    """

    pooling: str
    normalized: bool
    max_tokens: int
    prompts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            raise ConfigError(f"pooling is {self.pooling!r}; write one of {', '.join(POOLINGS)}")
        if self.max_tokens <= 0:
            raise ConfigError("max_tokens is positive")
        for name, text in self.prompts.items():
            if not isinstance(text, str):
                raise ConfigError(f"the prompt {name!r} is {text!r}; write a string")


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One model: what it is, where it comes from, how it is offered."""

    id: str
    name: str
    description: str
    family: str
    parameters: int
    context: int
    """Tokens a conversation may hold as built, at most what the checkpoint was trained for."""
    languages: tuple[str, ...]
    """BCP 47 tags."""
    schemes: tuple[str, ...]
    """Quantization schemes offered; the first is the default."""
    source: Source
    licence: Licence
    suggestions: tuple[str, ...]
    """Questions to start with."""
    architecture: Mapping[str, Any]
    """The keys of the checkpoint's config.json that decide its shapes."""
    system_prompt: str | None = None
    sampling: Sampling = field(default=Sampling())
    embedding: EmbeddingSettings | None = None
    """Of a model that makes vectors of texts."""
    tasks: tuple[str, ...] = ("chat",)
    """What the model is made for, of `TASKS`."""

    def __post_init__(self) -> None:
        check_id(self.id)
        if not self.schemes:
            raise ConfigError("schemes is empty; name at least one, such as q4")
        for task in self.tasks:
            if task not in TASKS:
                raise ConfigError(f"task {task!r} is unknown; write one of {', '.join(TASKS)}")
        if self.context <= 0 or self.parameters <= 0:
            raise ConfigError("context and parameters are positive")


def check_id(id: str) -> None:
    """An id becomes a folder and a URL: lower-case letters, digits, `.`, `-`."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", id):
        raise ConfigError(
            f"{id!r} is not a model id; use lower-case letters, digits, dots and dashes"
        )


def read(path: Path) -> ModelConfig:
    """Decode one file, whose name must be its id; raises ConfigError."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name}: not valid TOML ({error}); correct the file") from error
    config: ModelConfig = decode(ModelConfig, data, path.name)
    if path.stem != config.id:
        raise ConfigError(f"{path.name}: id is {config.id!r}; rename the file to {config.id}.toml")
    return config


def licence_text(spdx: str) -> bytes | None:
    """The standard text of a licence that checkpoints name and seldom ship; None for others."""
    file = FOLDER / "licences" / f"{spdx}.txt"
    return file.read_bytes() if file.is_file() else None


@functools.cache
def all_configs() -> tuple[ModelConfig, ...]:
    """Every model, the first one first, the others from small to large."""
    configs = [read(path) for path in sorted(FOLDER.glob("*.toml"))]
    return tuple(sorted(configs, key=lambda c: (c.id != FIRST, c.parameters, c.id)))


def load(id: str) -> ModelConfig:
    """The model named `id`; raises ConfigError listing those there are."""
    for config in all_configs():
        if config.id == id:
            return config
    known = ", ".join(config.id for config in all_configs())
    raise ConfigError(f"there is no model {id!r}; choose one of {known}")
