"""The files beside the weights: configuration, chat template, evaluation. No weights, no torch."""

import json
from pathlib import Path
from typing import Any

from .architecture import PRESS_GUIDE, generation_config, model_config
from .tokenizer import CHAT_TEMPLATE, tokenizer_config

FOLDER = Path(__file__).parent / "checkpoint"


def descriptions() -> dict[str, str]:
    """File name to content, for every file that the architecture and the tokenizer decide."""
    documents = {
        "config.json": model_config(),
        "generation_config.json": generation_config(),
        "tokenizer_config.json": tokenizer_config(PRESS_GUIDE.max_position_embeddings),
    }
    files = {name: json.dumps(document, indent=2) + "\n" for name, document in documents.items()}
    return files | {"chat_template.jinja": CHAT_TEMPLATE}


def write_descriptions(out: Path) -> None:
    """Write `descriptions` to `out`."""
    for name, content in descriptions().items():
        (out / name).write_text(content, encoding="utf-8")


def write_evaluation(out: Path, report: dict[str, Any]) -> None:
    """Write `evaluation.json`."""
    (out / "evaluation.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
