"""Chat templates written from the pieces of an MLC conversation render what MLC would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hub.errors import CheckpointError
from hub.mlc_template import chat_template
from runtime.chat import ChatTemplate, Message
from tests.hub.mlc_files import CONVERSATION

TALK = [Message("user", "Hi"), Message("assistant", "Hello"), Message("user", "{x} {{ y }}")]


def rendered(conversation: dict[str, Any], messages: list[Message]) -> str:
    source = chat_template(Path("chat.json"), conversation, {0: "<s>"}.get)
    return ChatTemplate.compile(source).render(messages)


def test_a_template_of_pieces_renders_as_the_pieces_say() -> None:
    assert rendered(CONVERSATION, TALK) == ("<s>[Be kind.]\nU: Hi|A: Hello</s>U: {x} {{ y }}|A:")
    told = [Message("system", 'Be "brief" 🙂\n'), *TALK[:1]]
    assert rendered(CONVERSATION, told) == '<s>[Be "brief" 🙂\n]\nU: Hi|A:'


def test_the_role_may_be_said_by_the_system_text() -> None:
    pieces = {"add_role_after_system_message": False, "seps": [" "], "system_template": "[I] "}
    assert rendered(CONVERSATION | pieces, TALK) == ("<s>[I] Hi A: Hello U: {x} {{ y }} A:")
    empty = pieces | {"system_template": "{system_message}", "system_message": ""}
    assert rendered(CONVERSATION | empty, TALK[:1]) == "<s>U: Hi A:"


def test_functions_are_left_out_of_what_users_say() -> None:
    role = {"user": "{function_string}({user_message})", "assistant": "{assistant_message}"}
    assert rendered(CONVERSATION | {"role_templates": role}, TALK[:1]).endswith("U: (Hi)|A:")


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ({"seps": []}, "conv_template.seps is []"),
        ({"roles": {"user": "U"}}, "conv_template.roles is ['user']"),
        ({"system_template": 3}, "conv_template.system_template is 3"),
        ({"system_prefix_token_ids": [7]}, "begins with token 7"),
    ],
)
def test_pieces_that_make_no_template_are_refused(pieces: dict[str, Any], words: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        rendered(CONVERSATION | pieces, TALK)
    assert words in str(caught.value)
    assert "chat_template.jinja" in str(caught.value)
