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

from .checkpoint import Checkpoint
from .tokenizer_files import TokenizerFiles

LICENCE_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md")


@dataclass(frozen=True, slots=True)
class Material:
    """`config` is in the form of config.json; `checkpoint` is None for a synthetic build.

    `chat` is None until the vocabulary of a synthetic model is known.
    """

    config: Mapping[str, Any]
    source: Source
    checkpoint: Checkpoint | None
    chat: TokenizerFiles | None
    licence_text: bytes | None


def from_folder(folder: Path, repo: str, revision: str | None, on_progress: OnProgress) -> Material:
    """A checkpoint folder; without a revision its content's digest stands for one.

    Raises CheckpointError.
    """
    checkpoint = Checkpoint.open(folder)
    chat = TokenizerFiles.open(folder, checkpoint.config)
    files = checkpoint.identify(on_progress)
    content = hashlib.sha256(codec.dumps(files).encode()).hexdigest()
    source = Source(repo, revision or f"sha256:{content}", files)
    texts = [folder / name for name in LICENCE_FILES if (folder / name).is_file()]
    licence = texts[0].read_bytes() if texts else None
    return Material(checkpoint.config, source, checkpoint, chat, licence)


def from_shapes(config: ModelConfig) -> Material:
    """No checkpoint: the shapes of the model config, for a synthetic build."""
    origin = config.source.repo or config.source.path or config.id
    source = Source(origin, config.source.revision or "synthetic", {})
    return Material(config.architecture, source, None, None, None)
