"""What a build starts from: shapes, weights and chat documents, wherever they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_configs.config import ModelConfig
from runtime import codec
from runtime.manifest import Source
from runtime.progress import OnProgress

from .origins import Weights, open_origin
from .tokenizer_files import TokenizerFiles

LICENCE_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md")


@dataclass(frozen=True, slots=True)
class Material:
    """`config` is in the form of config.json; `checkpoint` is None for a synthetic build.

    `chat` is None until the vocabulary of a synthetic model is known.
    """

    config: Mapping[str, Any]
    source: Source
    checkpoint: Weights | None
    chat: TokenizerFiles | None
    licence_text: bytes | None
    folder: Path | None = None
    """Where the checkpoint and what was published beside it lie."""


def from_folder(
    path: Path,
    repo: str,
    revision: str | None,
    on_progress: OnProgress,
    *,
    file: str | None = None,
) -> Material:
    """A checkpoint folder, or one GGUF file (`path`, or `file` in it); without a revision its
    content's digest stands for one.

    Raises CheckpointError and UnsupportedError.
    """
    origin = open_origin(path, file)
    files = origin.weights.identify(on_progress)
    content = hashlib.sha256(codec.dumps(files).encode()).hexdigest()
    source = Source(repo, revision or f"sha256:{content}", files)
    texts = [origin.folder / name for name in LICENCE_FILES if (origin.folder / name).is_file()]
    licence = texts[0].read_bytes() if texts else None
    return Material(
        origin.weights.config, source, origin.weights, origin.chat, licence, origin.folder
    )


def from_shapes(config: ModelConfig) -> Material:
    """No checkpoint: the shapes of the model config, for a synthetic build."""
    origin = config.source.repo or config.source.path or config.id
    source = Source(origin, config.source.revision or "synthetic", {})
    return Material(config.architecture, source, None, None, None)
