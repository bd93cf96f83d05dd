"""The tokenizer.json behind a GGUF file, rebuilt from its vocabulary.

Two kinds are known: byte-level BPE with merges ("gpt2"), whose text is first cut by a pattern that
the file names, and SentencePiece's BPE ("llama"), whose merges follow from the scores of its
pieces. The result is in the form of the tokenizers library.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import CheckpointError, UnsupportedError
from .gguf_header import REMEDY, GgufHeader
from .gguf_pieces import merges_of_scores
from .gguf_splits import SPLITS
from .tokenizer_files import bpe_model

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED = 1, 2, 3, 4, 5
SPACE = "▁"
OTHERWISE = "or put the model's own tokenizer.json beside the file"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The metadata of a tokenizer, checked: `kinds` of as many tokens, ids within them."""

    where: str
    model: str
    pre: str
    tokens: Sequence[str]
    kinds: Sequence[int]
    scores: Sequence[float]
    merges: Sequence[str]
    settings: Mapping[str, Any]

    @classmethod
    def read(cls, header: GgufHeader) -> Vocabulary:
        """CheckpointError when its parts do not fit together."""
        start = "tokenizer.ggml."
        found = {
            key.removeprefix(start): value
            for key, value in header.metadata.items()
            if key.startswith(start)
        }
        tokens = _list(header, found, "tokens", str)
        if not tokens:
            raise UnsupportedError(f"{header.where}: holds no tokens; use another file")
        kinds = _list(header, found, "token_type", int) or [NORMAL] * len(tokens)
        scores = [float(score) for score in _list(header, found, "scores", int, float)]
        if len(kinds) != len(tokens) or (scores and len(scores) != len(tokens)):
            raise CheckpointError(
                f"{header.where}: {len(tokens)} tokens, {len(kinds)} token types and {len(scores)} "
                f"scores do not fit together; {REMEDY}"
            )
        return cls(
            header.where,
            str(found.get("model", "")),
            str(found.get("pre", "default")),
            tokens,
            kinds,
            scores,
            _list(header, found, "merges", str),
            found,
        )

    def id(self, name: str) -> int | None:
        """The id of a special token ("bos", "eos", ...); None when there is none."""
        id = self.settings.get(f"{name}_token_id")
        if id is None:
            return None
        if type(id) is not int or not 0 <= id < len(self.tokens):
            raise CheckpointError(
                f"{self.where}: {name}_token_id {id!r} is none of the {len(self.tokens)} tokens; "
                + REMEDY
            )
        return id

    def text(self, name: str) -> str | None:
        """The text of a special token."""
        id = self.id(name)
        return None if id is None else self.tokens[id]

    def flag(self, name: str, default: bool) -> bool:
        """A yes or no of the metadata."""
        value = self.settings.get(name, default)
        if type(value) is not bool:
            raise CheckpointError(f"{self.where}: {name} is {value!r}; {REMEDY}")
        return value


def tokenizer_json(vocabulary: Vocabulary) -> dict[str, Any]:
    """The document of tokenizer.json; UnsupportedError for a kind that is not rebuilt."""
    if vocabulary.model not in _KINDS:
        raise UnsupportedError(
            f"{vocabulary.where}: tokenizer {vocabulary.model!r} is not rebuilt from GGUF; there "
            f"are: {', '.join(_KINDS)}. Build from the model's safetensors, {OTHERWISE}"
        )
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": list(_added(vocabulary)),
        **_KINDS[vocabulary.model](vocabulary),
    }


def tokenizer_config(vocabulary: Vocabulary) -> dict[str, Any]:
    """The document of tokenizer_config.json that chat templates read."""
    names = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    texts = {f"{short}_token": vocabulary.text(name) for short, name in names.items()}
    return {key: text for key, text in texts.items() if text is not None}


def stop_ids(vocabulary: Vocabulary) -> tuple[int, ...]:
    """Ids that end an answer: of the sequence, of a turn, of a message."""
    ids = (vocabulary.id(name) for name in ("eos", "eot", "eom"))
    return tuple(sorted({id for id in ids if id is not None}))


def _list(header: GgufHeader, found: Mapping[str, Any], key: str, *kinds: type) -> Sequence[Any]:
    values = found.get(key, [])
    if not isinstance(values, list) or not all(type(value) in kinds for value in values):
        raise CheckpointError(f"{header.where}: tokenizer.ggml.{key} is of another type; {REMEDY}")
    return values


def _ids(vocabulary: Vocabulary) -> dict[str, int]:
    """Ids by token, without the fillers of a padded vocabulary."""
    ids: dict[str, int] = {}
    for id, (token, kind) in enumerate(zip(vocabulary.tokens, vocabulary.kinds, strict=True)):
        if kind == UNUSED:
            continue
        if token in ids:
            raise CheckpointError(f"{vocabulary.where}: token {token!r} is there twice; {REMEDY}")
        ids[token] = id
    return ids


def _added(vocabulary: Vocabulary) -> Iterator[dict[str, Any]]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    for id, kind in enumerate(vocabulary.kinds):
        if kind in (UNKNOWN, CONTROL, USER_DEFINED):
            special = kind != USER_DEFINED
            yield {"id": id, "content": vocabulary.tokens[id], "special": special, **flags}


def _byte_level(vocabulary: Vocabulary) -> dict[str, Any]:
    if vocabulary.pre not in SPLITS:
        raise UnsupportedError(
            f"{vocabulary.where}: tokenizer.ggml.pre {vocabulary.pre!r} is not known; there are: "
            f"{', '.join(SPLITS)}. Use a file of a current converter, {OTHERWISE}"
        )
    split = SPLITS[vocabulary.pre]
    return {
        "normalizer": split.normalizer,
        "pre_tokenizer": split.pre_tokenizer(),
        "post_processor": _start(vocabulary, split.starts),
        "decoder": BYTE_LEVEL,
        "model": {
            **_bpe(vocabulary, vocabulary.merges),
            "ignore_merges": split.ignore_merges,
        },
    }


BYTE_LEVEL = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,
    "use_regex": False,
}


def _pieces(vocabulary: Vocabulary) -> dict[str, Any]:
    if not vocabulary.scores:
        raise CheckpointError(f"{vocabulary.where}: its tokens have no scores; {REMEDY}")
    prefixed = vocabulary.flag("add_space_prefix", True)
    spaces: list[Any] = [{"type": "Replace", "pattern": {"String": " "}, "content": SPACE}]
    back: list[Any] = [
        {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if prefixed:
        spaces.insert(0, {"type": "Prepend", "prepend": SPACE})
        back.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    # Special pieces are matched before, as text; they never come out of merging.
    plain = {
        token: score
        for token, kind, score in zip(
            vocabulary.tokens, vocabulary.kinds, vocabulary.scores, strict=True
        )
        if kind == NORMAL
    }
    return {
        "normalizer": {"type": "Sequence", "normalizers": spaces},
        "pre_tokenizer": None,
        "post_processor": _start(vocabulary, True),
        "decoder": {"type": "Sequence", "decoders": back},
        "model": {
            **_bpe(vocabulary, merges_of_scores(plain)),
            "unk_token": vocabulary.text("unknown"),
            "fuse_unk": True,
            "byte_fallback": True,
        },
    }


def _bpe(vocabulary: Vocabulary, merges: Sequence[str]) -> dict[str, Any]:
    return bpe_model(_ids(vocabulary), merges)


def _start(vocabulary: Vocabulary, default: bool) -> dict[str, Any] | None:
    """The processor that puts the first token of a sequence before plain text."""
    text, id = vocabulary.text("bos"), vocabulary.id("bos")
    if text is None or not vocabulary.flag("add_bos_token", default):
        return None
    first: dict[str, Any] = {"SpecialToken": {"id": text, "type_id": 0}}
    one, other = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    return {
        "type": "TemplateProcessing",
        "single": [first, one],
        "pair": [first, one, first, other],
        "special_tokens": {text: {"id": text, "ids": [id], "tokens": [text]}},
    }


_KINDS = {"gpt2": _byte_level, "llama": _pieces}
"""By tokenizer.ggml.model."""
