"""The tokenizer and the chat template of the committed checkpoint."""

import random
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from model_configs.press_guide.checkpoint import FOLDER
from model_configs.press_guide.corpus import IDS, START_ID, pack, text_of, weights_of
from model_configs.press_guide.dialogues import dialogues
from model_configs.press_guide.tokenizer import (
    CHAT_TEMPLATE,
    SPECIAL_TOKENS,
    VOCABULARY_SIZE,
    render,
    train_tokenizer,
)

TOKENIZER = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
ASSISTANT_ID = TOKENIZER.encode("assistant").ids[0]


def _array(ids: list[int]) -> IDS:
    return np.array(ids, dtype=np.int32)


@given(st.text())
def test_any_text_survives_a_round_trip(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text).ids, skip_special_tokens=False) == text


def test_the_vocabulary_has_its_exact_size_and_the_special_tokens_come_first() -> None:
    assert TOKENIZER.get_vocab_size() == VOCABULARY_SIZE
    assert [TOKENIZER.token_to_id(token) for token in SPECIAL_TOKENS] == [0, 1, 2]


def test_digits_stand_alone() -> None:
    assert TOKENIZER.encode("1024").tokens == ["1", "0", "2", "4"]


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_a_role_is_one_token(role: str) -> None:
    assert TOKENIZER.token_to_id(role) is not None


def jinja(messages: list[Mapping[str, str]], add_generation_prompt: bool) -> str:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(CHAT_TEMPLATE)
    return template.render(messages=messages, add_generation_prompt=add_generation_prompt)


def test_the_chat_template_writes_what_training_saw() -> None:
    for talk in dialogues(0, 100, 1):
        messages: list[Mapping[str, str]] = [*talk.messages()]
        assert jinja(messages, False) == text_of(talk)
        assert jinja(messages[:-1], True) == render(messages[:-1])


def test_the_loss_covers_answers_and_their_end() -> None:
    ids = TOKENIZER.encode("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYes<|im_end|>\n")
    weight = weights_of(_array(ids.ids), ASSISTANT_ID)
    learnt = [token for token, w in zip(ids.tokens, weight, strict=True) if w == 1.0]
    assert "".join(learnt) == "Yes<|im_end|>"


def test_packing_keeps_dialogues_whole_and_apart() -> None:
    encoded = [_array(TOKENIZER.encode(text_of(talk)).ids) for talk in dialogues(0, 60, 1)]
    rows = pack(encoded, 512, ASSISTANT_ID)
    assert sum(len(ids) for ids in encoded if len(ids) <= 512) == (rows.dialogue >= 0).sum()
    first = (rows.position == 0) & (rows.dialogue >= 0)
    assert (rows.tokens[first] == START_ID).all() and (rows.weight[first] == 0).all()


def test_too_little_text_for_a_tokenizer_is_refused() -> None:
    rng = random.Random(0)
    with pytest.raises(ValueError, match="more varied text"):
        train_tokenizer([str(rng.random())])
