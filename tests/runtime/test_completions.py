"""Completions, and what chats share with them: choices, probabilities, biases, echoes, gaps."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from runtime.errors import ModelpressError
from runtime.fake import reply

from .conftest import Desk, OpenDesk

ABC = (ord("a"), ord("b"), ord("c"))


async def complete(desk: Desk, **fields: Any) -> dict[str, Any]:
    text = await desk.api.completion(json.dumps({"model": "fake", "prompt": "x>", **fields}))
    decoded: dict[str, Any] = json.loads(text)
    return decoded


async def chunks(desk: Desk, **fields: Any) -> list[dict[str, Any]]:
    asked = json.dumps({"model": "fake", "prompt": "x>", "stream": True, **fields})
    return [json.loads(text) async for text in desk.api.completion_stream(asked)]


async def refusal(desk: Desk, **fields: Any) -> str:
    with pytest.raises(ModelpressError) as caught:
        await complete(desk, **fields)
    assert caught.value.code == "bad_request"
    return str(caught.value.details["param"])


async def test_a_completion_has_openais_shape(open_desk: OpenDesk) -> None:
    answer = await complete(open_desk(reply("ok")))
    assert answer["object"] == "text_completion" and answer["id"].startswith("cmpl-")
    assert answer["choices"] == [
        {"text": "ok", "index": 0, "logprobs": None, "finish_reason": "stop"}
    ]
    # A prompt begins with the token that texts begin with, and has none at its end.
    assert answer["usage"]["prompt_tokens"] == len("x>") + 1


async def test_sixteen_tokens_unless_told_otherwise(open_desk: OpenDesk) -> None:
    answer = await complete(open_desk(reply("y" * 100)))
    assert answer["choices"][0]["text"] == "y" * 16
    assert answer["choices"][0]["finish_reason"] == "length"


async def test_prompts_and_choices_are_numbered_in_order(open_desk: OpenDesk) -> None:
    desk = open_desk(reply("ok"))
    answer = await complete(desk, prompt=["one>", "two, longer>"], n=2, echo=True)
    texts = [choice["text"] for choice in answer["choices"]]
    assert texts == ["one>ok", "one>ok", "two, longer>ok", "two, longer>ok"]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert answer["usage"]["prompt_tokens"] == len("one>") + len("two, longer>") + 2
    assert answer["usage"]["completion_tokens"] == 4 * 3


async def test_tokens_are_a_prompt_as_they_are(open_desk: OpenDesk) -> None:
    answer = await complete(open_desk(reply("ok")), prompt=[*b"ab>"], echo=True)
    assert answer["choices"][0]["text"] == "ab>ok"
    assert answer["usage"]["prompt_tokens"] == 3
    assert await refusal(open_desk(), prompt=[[1, 258]]) == "prompt"


async def test_an_empty_prompt_begins_a_text(open_desk: OpenDesk) -> None:
    answer = await complete(open_desk(reply("ok")), prompt=None, max_tokens=1)
    assert answer["usage"]["prompt_tokens"] == 1


async def test_streamed_choices_join_to_the_whole_ones(open_desk: OpenDesk) -> None:
    desk = open_desk(reply("Grüße"))
    fields = {"n": 3, "echo": True, "stream_options": {"include_usage": True}}
    found = await chunks(desk, **fields)
    texts: dict[int, str] = {}
    for chunk in found[:-1]:
        assert chunk["usage"] is None and chunk["object"] == "text_completion"
        for choice in chunk["choices"]:
            texts[choice["index"]] = texts.get(choice["index"], "") + choice["text"]
    assert texts == {0: "x>Grüße", 1: "x>Grüße", 2: "x>Grüße"}
    assert found[-1]["choices"] == [] and found[-1]["usage"]["completion_tokens"] == 3 * 8


async def test_probabilities_of_the_answer(open_desk: OpenDesk) -> None:
    """The fake device's logits are 1 at its token and 0 at 257 others."""
    answer = await complete(open_desk(reply("ab")), logprobs=2, temperature=0)
    found = answer["choices"][0]["logprobs"]
    assert found["tokens"] == ["a", "b"] and found["text_offset"] == [0, 1]
    expected = 1 - math.log(math.e + 257)
    assert found["token_logprobs"] == pytest.approx([expected, expected], abs=1e-6)
    assert [next(iter(top)) for top in found["top_logprobs"]] == ["a", "b"]
    assert all(len(top) == 2 for top in found["top_logprobs"])


async def test_streamed_probabilities_are_the_same(open_desk: OpenDesk) -> None:
    desk = open_desk(reply("aß🎉"))
    whole = (await complete(desk, logprobs=1))["choices"][0]["logprobs"]
    parts = [c["choices"][0]["logprobs"] for c in await chunks(desk, logprobs=1)]
    for name, values in whole.items():
        assert [value for part in parts for value in part[name]] == values, name


async def test_an_echo_tells_how_likely_the_prompt_is(open_desk: OpenDesk) -> None:
    answer = await complete(open_desk(reply("ok")), echo=True, logprobs=0, max_tokens=0)
    (choice,) = answer["choices"]
    assert choice["text"] == "x>" and choice["finish_reason"] == "length"
    first, *others = choice["logprobs"]["token_logprobs"]
    assert first is None and len(others) == 2 and all(value < 0 for value in others)
    assert choice["logprobs"]["tokens"] == ["<s>", "x", ">"]
    assert answer["usage"] == answer["usage"] | {"completion_tokens": 0, "prompt_tokens": 3}


async def test_a_stop_string_takes_its_tokens_probabilities_away(open_desk: OpenDesk) -> None:
    answer = await complete(open_desk(reply("abcdef")), stop="cd", logprobs=0)
    assert answer["choices"][0]["text"] == "ab"
    assert answer["choices"][0]["logprobs"]["tokens"] == ["a", "b"]


async def test_a_bias_decides_what_is_drawn(open_desk: OpenDesk) -> None:
    desk = open_desk(reply("aaaa"))
    answer = await complete(
        desk, logit_bias={str(ABC[1]): 5}, max_tokens=3, temperature=0, logprobs=1
    )
    assert answer["choices"][0]["text"] == "bbb"
    found = answer["choices"][0]["logprobs"]
    assert found["token_logprobs"] == pytest.approx([-math.log(math.e + 257)] * 3, abs=1e-5)
    assert [list(top) for top in found["top_logprobs"]] == [["a"]] * 3, "before the bias"
    assert await refusal(desk, logit_bias={"258": 1}) == "logit_bias"


async def test_the_likeliest_of_several_are_given(open_desk: OpenDesk) -> None:
    """A bias makes a choice that follows its own seed; likelihoods order them."""
    fields = {"temperature": 1, "seed": 3, "max_tokens": 4, "logprobs": 0}
    desk = open_desk(reply("abcd"))
    each = (await complete(desk, n=4, **fields))["choices"]
    (best,) = (await complete(desk, n=1, best_of=4, **fields))["choices"]

    def mean(choice: dict[str, Any]) -> float:
        values = choice["logprobs"]["token_logprobs"]
        return sum(values) / len(values) if values else -9999.0

    assert mean(best) == max(map(mean, each))
    assert len({choice["text"] for choice in each}) > 1, "each choice has its own seed"


async def test_the_same_seed_gives_the_same_choices(open_desk: OpenDesk) -> None:
    fields = {"temperature": 1, "seed": 7, "n": 3}
    first = await complete(open_desk(), **fields)
    second = await complete(open_desk(), **fields)
    assert first["choices"] == second["choices"]
    assert first["system_fingerprint"] == second["system_fingerprint"]


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("prompt", {"prompt": []}),
        ("prompt", {"prompt": {"a": 1}}),
        ("prompt[1]", {"prompt": ["a", 1]}),
        ("prompt[0]", {"prompt": [[]]}),
        ("prompt", {"prompt": [-1]}),
        ("prompt", {"prompt": "\ud800"}),
        ("n", {"prompt": ["a"] * 100, "n": 2}),
        ("best_of", {"n": 2, "best_of": 1}),
        ("best_of", {"best_of": 2, "stream": True}),
        ("logprobs", {"logprobs": 6}),
        ("logprobs", {"logprobs": True}),
        ("max_tokens", {"max_tokens": 0}),
        ("echo", {"echo": 1}),
        ("echo", {"echo": True, "suffix": "b"}),
        ("suffix", {"suffix": 5}),
        ("suffix", {"suffix": "b", "prompt": [1]}),
        ("suffix", {"suffix": "no tokens for that here"}),
        ("messages", {"messages": []}),
        ("tools", {"tools": []}),
    ],
)
async def test_what_cannot_be_honoured_is_refused_by_name(
    open_desk: OpenDesk, param: str, fields: dict[str, Any]
) -> None:
    desk = open_desk(reply("ok"))
    if fields.get("stream"):
        with pytest.raises(ModelpressError) as caught:
            await chunks(desk, **fields)
        assert caught.value.details["param"] == param
    else:
        assert await refusal(desk, **fields) == param
