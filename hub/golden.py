"""The question behind the golden tokens, which let anyone check a device against the build."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.chat import ChatTemplate, Message

from .tokenizer_files import TEMPLATE, TOKENIZER, TOKENIZER_CONFIG, TokenizerFiles

GOLDEN_TOKENS = 32
QUESTION = "Hello"
"""Asked of a model whose config suggests no questions."""


def golden_prompt(
    chat: TokenizerFiles, system_prompt: str | None, suggestions: Sequence[str]
) -> list[int]:
    """Token ids of the first suggestion as a chat (plain text for a model without template)."""
    from tokenizers import Tokenizer

    question = suggestions[0] if suggestions else QUESTION
    text = question
    if TEMPLATE in chat.documents:
        template = ChatTemplate.compile(
            chat.documents[TEMPLATE].decode(), chat.documents[TOKENIZER_CONFIG].decode()
        )
        system = [Message("system", system_prompt)] if system_prompt else []
        text = template.render([*system, Message("user", question)])
    tokenizer = Tokenizer.from_str(chat.documents[TOKENIZER].decode())
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids
