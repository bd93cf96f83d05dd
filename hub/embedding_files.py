"""How a checkpoint makes vectors of texts: the files that sentence-transformers writes beside it.

`modules.json` lists the steps after the encoder; `1_Pooling/config.json` says how rows become one;
`sentence_bert_config.json` how long a text may be; `config_sentence_transformers.json` what is
written before a text. A step that is not computed here is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_configs.config import EmbeddingSettings
from runtime.manifest import Embedding

from .checkpoint import read_json, read_json_value
from .errors import CheckpointError, UnsupportedError

if TYPE_CHECKING:
    from .families import FamilyConfig

MODULES = "modules.json"
SENTENCES = "sentence_bert_config.json"
PROMPTS = "config_sentence_transformers.json"
POOLING = "1_Pooling/config.json"
DOCUMENTS = (MODULES, POOLING, PROMPTS, SENTENCES)
POOLINGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_lasttoken": "last",
}
"""Switches of a pooling module, and what they turn on."""
NAMES = {"cls": "cls", "mean": "mean", "max": "max", "mean_sqrt_len_tokens": "mean_sqrt_len"} | {
    "lasttoken": "last"
}
"""What newer files call the same, in one word."""
WIDTHS = ("word_embedding_dimension", "embedding_dimension")


def refuse_vectors(folder: Path | None, family: str) -> None:
    """UnsupportedError where a checkpoint of a family that writes texts is said to make vectors."""
    if folder is not None and (folder / MODULES).is_file():
        raise UnsupportedError(
            f"{folder / MODULES}: this model makes vectors of texts, which the family {family!r} "
            "does not: it would be pressed as one that answers. Choose an encoder (bert)"
        )


def read_recipe(folder: Path, shape: FamilyConfig) -> Embedding | None:
    """What the checkpoint in `folder` says; None when it has no modules.json.

    Raises CheckpointError for files that are not what they should be, UnsupportedError for steps,
    poolings and settings that are not computed here.
    """
    if not (folder / MODULES).is_file():
        return None
    steps = _steps(folder / MODULES)
    kinds = [kind for kind, _ in steps]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise UnsupportedError(
            f"{folder / MODULES}: the steps {' + '.join(kinds)} are not supported; supported are "
            "Transformer + Pooling, and Normalize after them"
        )
    if steps[0][1]:
        raise UnsupportedError(f"{folder / MODULES}: the encoder lies in {steps[0][1]!r}, not here")
    prompts, default = _prompts(_optional(folder / PROMPTS), folder / PROMPTS)
    return Embedding(
        width=shape.hidden_size,
        max_tokens=_max_tokens(folder, shape),
        pooling=_pooling(folder / steps[1][1] / "config.json", shape),
        normalized=len(steps) == 3,
        prompts=prompts,
        default_prompt=default,
    )


def complete_recipe(
    found: Embedding | None, settings: EmbeddingSettings | None, shape: FamilyConfig
) -> Embedding:
    """The recipe of a checkpoint and of a model's config together.

    A checkpoint's own files decide; the config says what they leave out. UnsupportedError when
    they contradict each other, and when neither says how texts become vectors.
    """
    if found is None and settings is None:
        raise UnsupportedError(
            f"nothing says how this model makes vectors of texts: the checkpoint has no {MODULES}; "
            "copy it and the files it names from where the model was published, or add an "
            "[embedding] table to the model's config"
        )
    if settings is None:
        assert found is not None
        return found
    told = Embedding(
        width=shape.hidden_size,
        max_tokens=min(settings.max_tokens, shape.context),
        pooling=settings.pooling,
        normalized=settings.normalized,
        prompts=settings.prompts,
    )
    if found is None:
        return told
    for key in ("pooling", "normalized", "max_tokens"):
        if getattr(found, key) != getattr(told, key):
            raise UnsupportedError(
                f"{key} is {getattr(found, key)!r} in the checkpoint's own files and "
                f"{getattr(told, key)!r} in [embedding] of the model's config; correct the config"
            )
    return replace(found, prompts={**told.prompts, **found.prompts})


def _steps(file: Path) -> list[tuple[str, str]]:
    """(kind, folder) of each item of modules.json."""
    items = read_json_value(file)
    if not isinstance(items, list):
        raise CheckpointError(f"{file}: not a JSON array; download it again")
    return [_step(item, file) for item in items]


def _step(item: Any, file: Path) -> tuple[str, str]:
    kind = item.get("type") if isinstance(item, dict) else None
    path = item.get("path", "") if isinstance(item, dict) else None
    if not isinstance(kind, str) or not isinstance(path, str) or Path(path).name != path:
        raise CheckpointError(f"{file}: {item!r} is no step; download it again")
    return kind.rpartition(".")[2], path


def _optional(file: Path) -> dict[str, Any]:
    return read_json(file) if file.is_file() else {}


def _pooling(file: Path, shape: FamilyConfig) -> str:
    settings = read_json(file)
    for name in WIDTHS:
        if settings.pop(name, shape.hidden_size) != shape.hidden_size:
            raise CheckpointError(f"{file}: {name} is not the {shape.hidden_size} of config.json")
    if settings.pop("include_prompt", True) is not True:
        raise UnsupportedError(f"{file}: include_prompt = false is not supported")
    chosen = [NAMES.get(mode, mode) for mode in _words(settings.pop("pooling_mode", []))]
    chosen += [POOLINGS.get(key, key) for key, value in settings.items() if value]
    if len(chosen) != 1 or chosen[0] not in POOLINGS.values():
        raise UnsupportedError(
            f"{file}: the pooling {' + '.join(map(str, chosen)) or 'of nothing'} is not supported; "
            f"supported is one of {', '.join(POOLINGS)}"
        )
    return str(chosen[0])


def _words(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _max_tokens(folder: Path, shape: FamilyConfig) -> int:
    """The longest text: what is set, else what the tokenizer was made for; never more than there
    are positions."""
    settings = _optional(folder / SENTENCES)
    if settings.get("do_lower_case"):
        raise UnsupportedError(f"{folder / SENTENCES}: do_lower_case = true is not supported")
    length = settings.get("max_seq_length")
    if length is None:
        length = _optional(folder / "tokenizer_config.json").get("model_max_length")
        length = length if type(length) is int else shape.context
    if type(length) is not int or length < 1:
        raise CheckpointError(f"{folder / SENTENCES}: max_seq_length is {length!r}, no length")
    return min(length, shape.context)


def _prompts(settings: Mapping[str, Any], file: Path) -> tuple[dict[str, str], str | None]:
    """Prompts by name, and the name of the one that is used by default."""
    prompts, default = settings.get("prompts") or {}, settings.get("default_prompt_name")
    if not isinstance(prompts, dict) or not all(isinstance(t, str) for t in prompts.values()):
        raise CheckpointError(f"{file}: prompts are not texts by name; download it again")
    if default is not None and default not in prompts:
        raise CheckpointError(f"{file}: default_prompt_name is {default!r}, which has no prompt")
    return prompts, default
