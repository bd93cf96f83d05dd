"""Malformed requests: whatever is sent, the answer is "bad_request" with the field's name."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.api import _parse
from runtime.chat_request import FIELDS, QUIET, ChatRequest, parse_chat_request
from runtime.errors import ModelpressError

HI = [{"role": "user", "content": "Hi"}]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def refused(data: Any) -> ModelpressError:
    with pytest.raises(ModelpressError) as caught:
        parse_chat_request(data)
    assert caught.value.code == "bad_request"
    return caught.value


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("messages", {"messages": []}),
        ("messages", {"messages": None}),
        ("messages", {"messages": "Hi"}),
        ("messages[0]", {"messages": ["Hi"]}),
        ("messages[0].tool_call_id", {"messages": [{"role": "tool", "content": "x"}]}),
        ("messages[0].role", {"messages": [{"role": ["user"], "content": "x"}]}),
        ("messages[0].content", {"messages": [{"role": "user"}]}),
        ("messages[0].content", {"messages": [{"role": "user", "content": []}]}),
        ("messages[0].content", {"messages": [{"role": "user", "content": "\ud800"}]}),
        (
            "messages[0].content",
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        ),
        ("messages[0].name", {"messages": [{"role": "user", "content": "x", "name": 5}]}),
        (
            "messages[0].reasoning_content",
            {"messages": [{"role": "user", "content": "x", "reasoning_content": "y"}]},
        ),
        (
            "messages[0].tool_calls",
            {"messages": [{"role": "user", "content": "", "tool_calls": [1]}]},
        ),
        ("messages", {"messages": [{"role": "user", "content": "x" * 4_000_001}]}),
        ("messages", {"messages": HI * 10_001}),
        ("model", {"model": 5}),
        ("stream", {"stream": 1}),
        ("stream_options", {"stream_options": {"include_usage": True}}),
        ("stream_options", {"stream": True, "stream_options": {"include_usage": 1}}),
        ("stream_options", {"stream": True, "stream_options": {"other": True}}),
        ("temperature", {"temperature": 2.1}),
        ("temperature", {"temperature": math.nan}),
        ("top_p", {"top_p": -0.1}),
        ("presence_penalty", {"presence_penalty": 3}),
        ("seed", {"seed": 2**64}),
        ("seed", {"seed": 1.5}),
        ("max_tokens", {"max_tokens": 0}),
        ("max_completion_tokens", {"max_completion_tokens": True}),
        ("max_tokens", {"max_tokens": 1, "max_completion_tokens": 2}),
        ("stop", {"stop": ["a", "b", "c", "d", "e"]}),
        ("stop", {"stop": [""]}),
        ("stop", {"stop": {"a": 1}}),
        ("stop", {"stop": "x" * 1001}),
        ("stop", {"stop": "\udfff"}),
        ("n", {"n": 0}),
        ("n", {"n": 129}),
        ("n", {"n": True}),
        ("logprobs", {"logprobs": 1}),
        ("top_logprobs", {"top_logprobs": 1}),
        ("top_logprobs", {"logprobs": True, "top_logprobs": 21}),
        ("logit_bias", {"logit_bias": {"50256": -101}}),
        ("logit_bias", {"logit_bias": {"50256": True}}),
        ("logit_bias", {"logit_bias": {"a": 1}}),
        ("logit_bias", {"logit_bias": {"-1": 1}}),
        ("logit_bias", {"logit_bias": {"1": 1, "01": 1}}),
        ("logit_bias", {"logit_bias": {str(i): 1 for i in range(1025)}}),
        ("logit_bias", {"logit_bias": [1]}),
        ("reasoning_effort", {"reasoning_effort": "huge"}),
        ("chat_template_kwargs", {"chat_template_kwargs": []}),
        ("chat_template_kwargs.messages", {"chat_template_kwargs": {"messages": "x"}}),
        ("chat_template_kwargs.a b", {"chat_template_kwargs": {"a b": 1}}),
        ("chat_template_kwargs.a", {"chat_template_kwargs": {"a": [1]}}),
        ("tools[0].function", {"tools": [{"type": "function"}]}),
        ("response_format.type", {"response_format": {"type": "yaml"}}),
        ("store", {"store": True}),
        ("metadata", {"metadata": "x"}),
        ("frequency_penality", {"frequency_penality": 1}),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(param: str, fields: dict[str, Any]) -> None:
    error = refused({"messages": HI, **fields})
    assert error.details["param"] == param


def test_fields_that_ask_for_nothing_are_accepted() -> None:
    for name, quiet in QUIET.items():
        for value in quiet:
            assert parse_chat_request({"messages": HI, name: value}).messages[0].content == "Hi"


def test_a_request_keeps_only_the_sampling_it_sets() -> None:
    parsed = parse_chat_request({"messages": HI, "temperature": 0, "seed": -3, "top_k": None})
    assert parsed.sampling == {"temperature": 0, "seed": -3}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hi",
        "[" * 200_000,
        '{"messages": ' + "[" * 200_000,
        '{"messages": [], "temperature": NaN}',
        '{"messages": [{"role": "user", "content": "x"}], "temperature": 1e999}',
        '{"messages": [{"role": "user", "content": "x"}], "seed": ' + "9" * 10_000 + "}",
        '{"messages": [{"role": "user", "content": "\\ud83d"}]}',
        "null",
    ],
)
def test_text_that_is_no_request_is_refused(text: str) -> None:
    with pytest.raises(ModelpressError) as caught:
        _parse(text)
    assert caught.value.code == "bad_request"


@given(JSON)
def test_any_json_is_a_request_or_refused(data: Any) -> None:
    refused(data)


@settings(max_examples=300)
@given(st.sampled_from(sorted(FIELDS | QUIET.keys())), JSON)
def test_any_value_of_any_field_is_honoured_or_refused(name: str, value: Any) -> None:
    data = {"messages": HI, name: value}
    try:
        parsed = parse_chat_request(data)
    except ModelpressError as error:
        assert error.code == "bad_request"
        assert str(error.details["param"]).startswith((name, "max_tokens"))
    else:
        assert isinstance(parsed, ChatRequest)


@given(st.lists(st.fixed_dictionaries({"role": JSON, "content": JSON}), max_size=3))
def test_any_messages_are_honoured_or_refused(messages: list[Any]) -> None:
    try:
        parse_chat_request({"messages": messages})
    except ModelpressError as error:
        assert error.code == "bad_request"
        json.dumps(error.details)
