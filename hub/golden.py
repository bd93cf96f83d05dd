"""The question behind the golden tokens, which let anyone check a device against the build."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from runtime.chat import ChatTemplate, Message

from .errors import CheckpointError
from .tokenizer_files import TEMPLATE, TOKENIZER, TOKENIZER_CONFIG, TokenizerFiles

if TYPE_CHECKING:
    from tokenizers import Tokenizer

GOLDEN_TOKENS = 32
QUESTION = "Hello"
"""Asked of a model whose config suggests no questions."""


def golden_prompt(
    chat: TokenizerFiles, system_prompt: str | None, suggestions: Sequence[str]
) -> list[int]:
    """Token ids of the first suggestion as a chat (plain text for a model without template).

    CheckpointError when tokenizer.json is none; ModelpressError when the template is none.
    """
    question = suggestions[0] if suggestions else QUESTION
    text = question
    if TEMPLATE in chat.documents:
        template = ChatTemplate.compile(
            chat.documents[TEMPLATE].decode(), chat.documents[TOKENIZER_CONFIG].decode()
        )
        system = [Message("system", system_prompt)] if system_prompt else []
        text = template.render([*system, Message("user", question)])
    ids: list[int] = open_tokenizer(chat).encode(text, add_special_tokens=False).ids
    return ids


def open_tokenizer(chat: TokenizerFiles) -> Tokenizer:
    """The tokenizer of these files; CheckpointError when they hold none."""
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str(chat.documents[TOKENIZER].decode())
    except Exception as error:  # the library raises nothing narrower
        raise CheckpointError(
            f"{TOKENIZER}: the tokenizers library cannot read it ({error}); download it again"
        ) from error
