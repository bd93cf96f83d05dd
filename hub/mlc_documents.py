"""The chat documents of an MLC repository: its own tokenizer, and a template if it has none."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

from .checkpoint import read_json
from .mlc_checkpoint import CHAT_CONFIG, MlcCheckpoint
from .mlc_template import chat_template
from .tokenizer_files import TEMPLATE, TOKENIZER, TokenizerFiles

logger = logging.getLogger(__name__)


def chat_documents(checkpoint: MlcCheckpoint) -> TokenizerFiles:
    """As shipped; a chat template only where the repository has none of its own."""
    files = TokenizerFiles.open(checkpoint.folder, checkpoint.config)
    conversation = checkpoint.chat.get("conv_template")
    if not isinstance(conversation, dict):
        return files
    added = _added(read_json(checkpoint.folder / TOKENIZER))
    ids = {*files.stop_token_ids, *_stops(checkpoint, conversation, added)}
    documents = dict(files.documents)
    if TEMPLATE not in documents:
        where = checkpoint.folder / CHAT_CONFIG
        documents[TEMPLATE] = chat_template(where, conversation, added.get).encode()
    return dataclasses.replace(files, documents=documents, stop_token_ids=tuple(sorted(ids)))


def _added(tokenizer: Mapping[str, Any]) -> dict[int, str]:
    """Added tokens by id; their form was checked when the files were opened."""
    return {item["id"]: item["content"] for item in tokenizer.get("added_tokens") or []}


def _stops(
    checkpoint: MlcCheckpoint, conversation: Mapping[str, Any], added: Mapping[int, str]
) -> set[int]:
    ids = {id for id in conversation.get("stop_token_ids") or [] if type(id) is int and id >= 0}
    for text in conversation.get("stop_str") or []:
        found = {id for id, content in added.items() if content == text}
        if not found:
            logger.warning(
                "%s: answers are not ended at the text %r, which is no token of its own",
                checkpoint.folder / CHAT_CONFIG,
                text,
            )
        ids |= found
    return ids
