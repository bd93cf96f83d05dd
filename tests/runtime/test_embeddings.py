"""Requests for embeddings: OpenAI's shape, what is refused and how, and what shares a run."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from runtime.encoder import Layout, split_runs
from runtime.errors import ModelpressError
from runtime.fake import FAKE_WIDTH, FakeTokenizer, fake_vector
from runtime.fake_executor import FakeExecutor, Flaws
from runtime.fake_hub import fake_encoder_plan, fake_hub
from runtime.manifest import REGISTRY_FORMAT, Registry
from runtime.notes import MemoryNotes
from tests.runtime.conftest import Desk, OpenDesk

WHOLE = FakeTokenizer().encode_whole


def both_hubs() -> dict[str, bytes]:
    """A hub with a chat model, "fake", and one of embeddings, "vectors"."""
    chat, vectors = fake_hub(), fake_hub("vectors", plan=fake_encoder_plan())
    models = [Registry.loads(files["registry.json"]).models for files in (chat, vectors)]
    registry = Registry(REGISTRY_FORMAT, (*models[0], *models[1]))
    return {**chat, **vectors, "registry.json": registry.dumps().encode()}


@pytest.fixture
def desk(open_desk: OpenDesk) -> Desk:
    return open_desk(files=both_hubs())


async def embed(desk: Desk, input: Any, **fields: Any) -> dict[str, Any]:
    request = {"model": "vectors", "input": input, **fields}
    answer: dict[str, Any] = json.loads(await desk.api.embeddings(json.dumps(request)))
    return answer


async def refusal(desk: Desk, input: Any, **fields: Any) -> ModelpressError:
    with pytest.raises(ModelpressError) as caught:
        await embed(desk, input, **fields)
    return caught.value


def numbers(answer: dict[str, Any]) -> list[Any]:
    return [pytest.approx(item["embedding"], abs=1e-6) for item in answer["data"]]


async def test_the_answer_is_openais_list_in_the_order_of_the_input(desk: Desk) -> None:
    texts = ["One", "A second text", "3"]
    answer = await embed(desk, texts)
    count = sum(len(WHOLE(text)) for text in texts)
    assert answer["object"] == "list" and answer["model"] == "vectors"
    assert answer["usage"] == {"prompt_tokens": count, "total_tokens": count}
    assert [(d["object"], d["index"]) for d in answer["data"]] == [
        ("embedding", i) for i in range(3)
    ]
    assert [fake_vector(WHOLE(text)) for text in texts] == numbers(answer)


async def test_a_text_texts_ids_and_lists_of_ids_are_taken(desk: Desk) -> None:
    ids = WHOLE("One")
    expected = fake_vector(ids)
    for given in ("One", ["One"], ids, [ids]):
        assert numbers(await embed(desk, given)) == [expected], given


async def test_base64_is_the_same_numbers_as_bytes(desk: Desk) -> None:
    (plain,) = numbers(await embed(desk, "One"))
    text = (await embed(desk, "One", encoding_format="base64"))["data"][0]["embedding"]
    assert list(struct.unpack(f"<{FAKE_WIDTH}f", base64.b64decode(text))) == plain


async def test_fewer_dimensions_are_the_first_ones_of_length_one_again(desk: Desk) -> None:
    whole = fake_vector(WHOLE("One"))[:4]
    size = sum(x * x for x in whole) ** 0.5
    assert numbers(await embed(desk, "One", dimensions=4)) == [[x / size for x in whole]]
    error = await refusal(desk, "One", dimensions=FAKE_WIDTH + 1)
    assert (error.code, error.details["param"]) == ("bad_request", "dimensions")
    assert str(FAKE_WIDTH) in error.message


async def test_a_prompt_is_written_before_each_text(desk: Desk) -> None:
    answer = await embed(desk, ["a", "b"], prompt_name="query")
    assert [fake_vector(WHOLE(f"q: {text}")) for text in "ab"] == numbers(answer)
    error = await refusal(desk, "a", prompt_name="passage")
    assert "'query'" in error.message and error.details["param"] == "prompt_name"


async def test_a_text_that_is_too_long_is_refused_with_the_limit_or_cut(desk: Desk) -> None:
    long = "x" * 31
    error = await refusal(desk, ["fits", long])
    assert error.code == "context_length_exceeded"
    assert error.details == {"param": "input[1]", "tokens": 33, "limit": 32}
    cut = [256, *b"x" * 30, 257]
    assert numbers(await embed(desk, long, truncate=True)) == [fake_vector(cut)]
    assert numbers(await embed(desk, list(range(40)), truncate=True)) == [
        fake_vector(range(32)),
    ]
    assert numbers(await embed(desk, "x" * 30)) == [fake_vector(cut)], "the longest fits"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": None}, "input"),
        ({"input": 3}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": [[1], []]}, "input[1]"),
        ({"input": ["a", 1]}, "input[0]"),
        ({"input": [True]}, "input[0]"),
        ({"input": [-1]}, "input"),
        ({"input": [999]}, "input"),
        ({"input": "\ud800"}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "dimensions": 4.0}, "dimensions"),
        ({"input": [1], "prompt_name": "query"}, "prompt_name"),
        ({"input": "a", "truncate": 1}, "truncate"),
        ({"input": "a", "stream": True}, "stream"),
    ],
    ids=str,
)
async def test_what_cannot_be_honoured_is_refused_by_name(
    desk: Desk, fields: dict[str, Any], param: str
) -> None:
    error = await refusal(desk, **fields)
    assert (error.code, error.details.get("param")) == ("bad_request", param), error.message


async def test_a_chat_model_makes_no_vectors_and_a_model_of_embeddings_does_not_chat(
    desk: Desk,
) -> None:
    for loaded in (False, True):
        error = await refusal(desk, "a", model="fake")
        assert (error.code, error.details["task"]) == ("bad_request", "chat"), loaded
        assert not desk.executor.uploaded or loaded, "refused before anything is downloaded"
        if not loaded:
            await desk.chat()
    assert (await desk.chat())["object"] == "chat.completion", "the chat model stays loaded"
    await embed(desk, "a")
    for request in ({"model": "vectors"}, {"model": None}):
        with pytest.raises(ModelpressError, match="cannot chat"):
            await desk.chat("Hi", **request)


async def test_unequal_texts_share_runs_and_long_lists_take_several(open_desk: OpenDesk) -> None:
    desk = open_desk(files=both_hubs())
    texts = ["x" * length for length in (1, 30, 2, 3, 4, 5, 6)]
    answer = await embed(desk, texts)
    assert [fake_vector(WHOLE(text)) for text in texts] == numbers(answer)
    runs = [symbols for entries, symbols in desk.executor.submits if entries == ("encode",)]
    assert [(run["texts"], run["n"]) for run in runs[-2:]] == [(4, 44), (3, 21)]


def test_runs_hold_what_fits_and_always_one_text() -> None:
    runs = list(split_runs([3, 9, 1, 1, 1], most_tokens=5, most_texts=2))
    assert [(run.start, run.end, run.tokens) for run in runs] == [
        (0, 1, 3), (1, 2, 9), (2, 4, 2), (4, 5, 1),
    ]  # fmt: skip
    layout = dict(Layout.of([[7, 8], [9]]).buffers)
    assert struct.unpack("<6i", layout["spans"]) == (0, 2, 0, 2, 2, 3)
    assert struct.unpack("<4i", layout["texts"]) == (0, 2, 2, 3)
    assert struct.unpack("<3i", layout["positions"]) == (0, 1, 0)


async def test_a_device_that_computes_a_text_wrongly_is_not_trusted(open_desk: OpenDesk) -> None:
    flaws = Flaws(computed_wrongly={"base": {"encode"}})
    desk = open_desk(files=both_hubs(), executor=FakeExecutor(flaws=flaws))
    error = await refusal(desk, "a")
    assert error.code == "unsupported_device"


async def test_only_a_golden_vector_vouches_for_a_device_at_a_later_visit(
    open_desk: OpenDesk,
) -> None:
    notes, remembered = MemoryNotes(), []
    for weights in ("synthetic", "real", "real"):
        desk = open_desk(files=both_hubs(), notes=notes, options=json.dumps({"weights": weights}))
        model = json.loads(await desk.api.load("vectors"))["model"]
        remembered.append(model["self_test"]["remembered"])
    assert remembered == [False, False, True]


async def test_info_says_what_the_model_is_for(desk: Desk) -> None:
    model = json.loads(await desk.api.load("vectors"))["model"]
    assert (model["task"], model["embedding"]["width"]) == ("embedding", FAKE_WIDTH)
    listed = json.loads(await desk.api.models())["data"]
    assert [m["modelpress"]["task"] for m in listed] == ["chat", "embedding"]
