"""`response_format` on a fake device: whatever it draws, the answer has the form asked for."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest

from runtime import structured
from runtime.errors import ModelpressError
from runtime.fake import reply
from runtime.response_format import grammar_text

from .conftest import OpenDesk

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "^[A-Z][a-z]{1,6}$"},
        "age": {"type": "integer", "minimum": 18, "maximum": 99},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}


def json_schema(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "test", "schema": schema}}


def content(answer: dict[str, Any], choice: int = 0) -> str:
    text: str = answer["choices"][choice]["message"]["content"]
    return text


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_random_writer_keeps_to_the_schema(open_desk: OpenDesk, seed: int) -> None:
    desk = open_desk()
    answer = await desk.chat(response_format=json_schema(PERSON), temperature=2, seed=seed)
    jsonschema.validate(json.loads(content(answer)), PERSON)
    assert answer["choices"][0]["finish_reason"] == "stop"


async def test_every_choice_and_every_chunk_keeps_to_it(open_desk: OpenDesk) -> None:
    desk = open_desk()
    fields: dict[str, Any] = {"temperature": 2, "seed": 5, "n": 3}
    fields["response_format"] = json_schema(PERSON)
    answer = await desk.chat(**fields)
    texts = [content(answer, choice) for choice in range(3)]
    assert len(set(texts)) > 1
    for text in texts:
        jsonschema.validate(json.loads(text), PERSON)
    streamed = ["", "", ""]
    for chunk in await desk.stream(**fields):
        for choice in chunk["choices"]:
            streamed[choice["index"]] += choice["delta"].get("content", "")
    assert streamed == texts


async def test_forced_text_is_not_drawn(open_desk: OpenDesk) -> None:
    desk = open_desk()
    schema = {"const": {"a sentence that leaves nothing to choose": True}}
    answer = await desk.chat(response_format=json_schema(schema))
    assert json.loads(content(answer)) == schema["const"]
    draws = sum("mask" in entries for entries, _ in desk.executor.submits)
    assert draws < 5 < answer["usage"]["completion_tokens"]


async def test_a_model_that_would_write_it_anyway_is_left_alone(open_desk: OpenDesk) -> None:
    text = '{"name": "Ada", "age": 36, "tags": ["a", "b"]}'
    answer = await open_desk(reply(text)).chat(response_format=json_schema(PERSON), temperature=0)
    assert content(answer) == text


@pytest.mark.parametrize(
    ("format_", "matches"),
    [
        ({"type": "regex", "regex": r"[a-c]{3}-\d{2}(é|日本)"}, r"[a-c]{3}-\d{2}(é|日本)"),
        ({"type": "grammar", "grammar": 'root ::= "x" y+ # two\ny ::= [α-γ] | "é"'}, "x[α-γé]+"),
        (
            {
                "type": "structural_tag",
                "format": {
                    "type": "tag",
                    "begin": "<n>",
                    "content": {"type": "json_schema", "json_schema": {"type": "boolean"}},
                    "end": "</n>",
                },
            },
            "<n>(true|false)</n>",
        ),
    ],
    ids=["regex", "grammar", "structural_tag"],
)
async def test_other_formats_are_kept_too(
    open_desk: OpenDesk, format_: dict[str, Any], matches: str
) -> None:
    fields = {"response_format": format_, "temperature": 2, "seed": 3, "max_tokens": 60}
    answer = await open_desk().chat(**fields)
    # A rule that may go on is cut by the budget, in the middle of a character at worst.
    assert re.fullmatch(matches, content(answer).rstrip("\ufffd"))


async def test_json_object_is_an_object(open_desk: OpenDesk) -> None:
    answer = await open_desk(reply('{"a": [1, "é", {}]}')).chat(
        response_format={"type": "json_object"}, temperature=0
    )
    assert json.loads(content(answer)) == {"a": [1, "é", {}]}


async def test_reasoning_comes_first_and_is_free(open_desk: OpenDesk) -> None:
    from runtime.fake_hub import fake_hub

    files = fake_hub(template="{% for m in messages %}{{ m.content }}{% endfor %}<think><a>")
    text = 'Hm, {"no": json}.</think>\n\n{"a": 1}'
    schema = {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]}
    desk = open_desk(reply(text), files=files)
    answer = await desk.chat(response_format=json_schema(schema), temperature=0)
    assert content(answer) == '{"a": 1}'


@pytest.mark.parametrize(
    ("format_", "param"),
    [
        (json_schema({"properties": {"a": {"not": {}}}}), "schema.properties.a.not"),
        (json_schema({"type": "object", "minimun": 3}), "schema.minimun"),
        (json_schema({"type": "strin"}), "schema.type"),
        (json_schema({"type": "array", "uniqueItems": True}), "schema.uniqueItems"),
        (json_schema({"pattern": "(?=a)b"}), "schema.pattern"),
        (json_schema({"$ref": "#/$defs/none"}), "schema.$ref"),
        (json_schema({"$ref": "https://example.org/x"}), "schema.$ref"),
        (json_schema({"$ref": "#"}), "schema"),
        (json_schema({"allOf": [{"$ref": "#"}]}), "schema"),
        (json_schema(False), "response_format"),
        (json_schema({"required": ["a"], "properties": {"a": {"$ref": "#"}}}), "response_format"),
        (json_schema({"type": "integer", "minimum": 2, "maximum": 1}), "response_format"),
        (json_schema({"maxLength": 10**9}), "response_format"),
        (json_schema({"minItems": 10**9}), "schema.minItems"),
        (json_schema({"pattern": "((((a{999}){999}){999}){999})"}), "response_format"),
        (json_schema({"pattern": "(" * 500 + ")" * 500}), "schema.pattern"),
        (json_schema({"enum": list(range(60_000))}), "response_format"),
        ({"type": "json_schema"}, "response_format.json_schema"),
        ({"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}, "name"),
        ({"type": "json_object", "schema": {}}, "response_format.schema"),
        ({"type": "regex", "regex": "a\\"}, "response_format.regex"),
        ({"type": "regex", "regex": 7}, "response_format.regex"),
        ({"type": "grammar", "grammar": "root ::= root"}, "response_format"),
        ({"type": "grammar", "grammar": "root ::= a"}, "response_format.grammar"),
        ({"type": "grammar", "grammar": 'root ::= ("a"'}, "response_format.grammar"),
        ({"type": "structural_tag", "format": {"type": "tag"}}, "response_format.format.begin"),
        ({"type": "yaml"}, "response_format.type"),
        ("json", "response_format"),
    ],
)
async def test_what_is_refused_is_named(open_desk: OpenDesk, format_: Any, param: str) -> None:
    with pytest.raises(ModelpressError) as caught:
        await open_desk().chat(response_format=format_)
    assert caught.value.code == "bad_request", caught.value
    assert param in caught.value.details["param"]


async def test_a_schema_as_deep_as_json_goes_is_refused(open_desk: OpenDesk) -> None:
    schema: dict[str, Any] = {}
    for _ in range(400):
        schema = {"items": schema}
    with pytest.raises(ModelpressError, match="deep"):
        await open_desk().chat(response_format=json_schema(schema))


async def test_a_merge_that_grows_without_end_is_refused(open_desk: OpenDesk) -> None:
    schema = {
        "properties": {"a": {"allOf": [{"$ref": "#"}, {"properties": {"b": {"$ref": "#"}}}]}},
        "anyOf": [{"$ref": "#/properties/a"}, {"type": "null"}],
    }
    with pytest.raises(ModelpressError) as caught:
        await open_desk().chat(response_format=json_schema(schema))
    assert caught.value.code == "bad_request"


async def test_choices_share_one_grammar_and_answers_do_not(
    open_desk: OpenDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []

    def count(write: Any, param: str) -> str:
        written.append(param)
        return grammar_text(write, param)

    monkeypatch.setattr(structured, "grammar_text", count)
    desk = open_desk()
    fields: dict[str, Any] = {"n": 4, "temperature": 2, "seed": 1}
    answer = await desk.chat(response_format={"type": "regex", "regex": "[ab]{4}"}, **fields)
    assert all(re.fullmatch("[ab]{4}", content(answer, choice)) for choice in range(4))
    assert len(written) == 1
    answer = await desk.chat(response_format={"type": "regex", "regex": "[cd]{4}"}, **fields)
    assert re.fullmatch("[cd]{4}", content(answer)) and len(written) == 2
