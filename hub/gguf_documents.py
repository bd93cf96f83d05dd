"""The chat documents of a GGUF file: tokenizer, its settings, and the chat template."""

from __future__ import annotations

from .errors import CheckpointError
from .gguf_header import REMEDY, GgufHeader
from .gguf_tokenizer import Vocabulary, stop_ids, tokenizer_config, tokenizer_json
from .tokenizer_files import TokenizerFiles

TEMPLATE_KEY = "tokenizer.chat_template"


def chat_documents(header: GgufHeader) -> TokenizerFiles:
    """Rebuilt from the metadata; CheckpointError, or UnsupportedError naming the tokenizer."""
    vocabulary = Vocabulary.read(header)
    template = header.metadata.get(TEMPLATE_KEY)
    if template is not None and not isinstance(template, str):
        raise CheckpointError(f"{header.where}: {TEMPLATE_KEY} is not text; {REMEDY}")
    return TokenizerFiles.made(
        tokenizer_json(vocabulary),
        tokenizer_config(vocabulary),
        template,
        bos_token_id=vocabulary.id("bos"),
        stop_token_ids=stop_ids(vocabulary),
    )
