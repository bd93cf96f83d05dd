"""The byte-level BPE of press-guide: how it is trained, and the files that describe it.

Any text survives a round trip, because the base alphabet is the 256 bytes and nothing is
normalised. Digits stand alone, so numbers are read and written digit by digit. Knows nothing
about what the text says.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY_SIZE = 4096
END_OF_TEXT = "<|endoftext|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
SPECIAL_TOKENS = (END_OF_TEXT, TURN_START, TURN_END)

CHAT_TEMPLATE = (
    "{%- for message in messages -%}\n"
    "{{- '<|im_start|>' + message['role'] + '\\n' + (message['content'] | trim)"
    " + '<|im_end|>\\n' -}}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}\n"
    "{{- '<|im_start|>assistant\\n' -}}\n"
    "{%- endif -%}\n"
)


def train_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Learn exactly `VOCABULARY_SIZE` tokens from `texts`; ValueError if they are too few."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        min_frequency=2,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() != VOCABULARY_SIZE:
        raise ValueError(
            f"the corpus yields {tokenizer.get_vocab_size()} tokens, not {VOCABULARY_SIZE}: "
            "give more varied text"
        )
    return tokenizer


def tokenizer_config(context: int) -> dict[str, Any]:
    """The content of `tokenizer_config.json` for a model of `context` positions."""
    special = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    return {
        "added_tokens_decoder": {
            str(index): {"content": token, **special, "special": True}
            for index, token in enumerate(SPECIAL_TOKENS)
        },
        "bos_token": None,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": TURN_END,
        "model_max_length": context,
        "pad_token": END_OF_TEXT,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": None,
    }


def render(messages: Sequence[Mapping[str, str]]) -> str:
    """What the chat template makes of `messages`, with the assistant's turn begun."""
    turns = (f"{TURN_START}{m['role']}\n{m['content'].strip()}{TURN_END}\n" for m in messages)
    return "".join(turns) + f"{TURN_START}assistant\n"
