"""The engine as its hosts see it: OpenAI's JSON in and out, on a fake device."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from runtime.abort import AbortSignal
from runtime.api import error_body, error_status
from runtime.errors import ModelpressError
from runtime.fake import reply
from runtime.fake_hub import fake_hub, fake_plan

from .conftest import Desk, OpenDesk, request

ANSWER = "Grüße 🎉! Bye."


def text_of(chunks: list[dict[str, Any]]) -> str:
    return "".join(c["delta"].get("content", "") for k in chunks for c in k["choices"])


async def test_an_answer_has_openais_shape(open_desk: OpenDesk) -> None:
    answer = await open_desk(reply(ANSWER)).chat()
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "fake"
    assert answer["id"].startswith("chatcmpl-")
    assert answer["system_fingerprint"].startswith("fp_")
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": ANSWER, "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    usage = answer["usage"]
    assert usage["prompt_tokens"] == len("[user]Hi<a>")
    assert usage["completion_tokens"] == len(ANSWER.encode()) + 1
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert set(usage["extra"]) == {"ttft_s", "prefill_tok_s", "decode_tok_s"}


async def test_chunks_open_with_the_role_and_close_with_the_reason(open_desk: OpenDesk) -> None:
    chunks = await open_desk(reply(ANSWER)).stream()
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert chunks[-1]["choices"][0]["delta"] == {}
    reasons = [c["choices"][0]["finish_reason"] for c in chunks]
    assert reasons == [None] * (len(chunks) - 1) + ["stop"]
    assert text_of(chunks) == ANSWER
    assert len({c["id"] for c in chunks}) == 1
    assert all("usage" not in c and c["object"] == "chat.completion.chunk" for c in chunks)


async def test_usage_comes_last_when_asked_for(open_desk: OpenDesk) -> None:
    chunks = await open_desk(reply(ANSWER)).stream(stream_options={"include_usage": True})
    assert all(c["usage"] is None for c in chunks[:-1])
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == len(ANSWER.encode()) + 1


async def test_a_stop_string_is_never_seen(open_desk: OpenDesk) -> None:
    desk = open_desk(reply(ANSWER))
    assert text_of(await desk.stream(stop="! By")) == "Grüße 🎉"
    answer = await desk.chat(stop=["zzz", "🎉"])
    assert answer["choices"][0]["message"]["content"] == "Grüße "
    assert answer["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
async def test_a_limit_on_tokens_ends_with_length(open_desk: OpenDesk, field: str) -> None:
    answer = await open_desk(reply(ANSWER)).chat(**{field: 2})
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["choices"][0]["message"]["content"] == "Gr"
    assert answer["usage"]["completion_tokens"] == 2


async def test_the_context_ends_an_answer_with_length(open_desk: OpenDesk) -> None:
    desk = open_desk(reply("x" * 1000))
    answer = await desk.chat()
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["total_tokens"] == 256


async def test_a_prompt_longer_than_the_context_is_refused_with_the_numbers(
    open_desk: OpenDesk,
) -> None:
    with pytest.raises(ModelpressError) as caught:
        await open_desk().chat("x" * 500)
    error = json.loads(error_body(caught.value))["error"]
    assert error["code"] == "context_length_exceeded"
    assert error["type"] == "invalid_request_error"
    assert error["details"]["context"] == 256
    assert error_status(caught.value) == 400


async def test_a_second_turn_computes_only_what_is_new(open_desk: OpenDesk) -> None:
    desk = open_desk(reply("ok"))
    first = await desk.chat()
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "ok"},
        {"role": "user", "content": "More"},
    ]
    second = await desk.chat(messages)
    assert first["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] == len("[user]Hi")


async def test_text_parts_developer_and_null_fields_are_understood(open_desk: OpenDesk) -> None:
    desk = open_desk(reply("ok"))
    await desk.api.load("fake")
    desk.executor.submits.clear()
    messages = [
        {"role": "developer", "content": "D"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    ]
    await desk.chat(messages, stop=None, seed=None, user="me", metadata={}, n=1, tools=None)
    tokens = desk.executor.submits[0][1]["n"]
    assert tokens == len("[system]D[user]ab<a>") - 4  # the first chunk holds 16


async def test_sampling_fields_reach_the_device(open_desk: OpenDesk) -> None:
    desk = open_desk()
    await desk.chat(temperature=1.5, top_p=0.5, top_k=3, min_p=0.25, seed=5, max_tokens=1)
    assert desk.executor.sampled_with() == (1.5, 0.5, 0.25, 0.0, 0.0, 1.0, 3, 5, 0)


async def test_requests_queue_and_answer_in_order(open_desk: OpenDesk) -> None:
    desk = open_desk(reply("ok"))
    order: list[int] = []

    async def ask(number: int) -> None:
        await desk.chat(f"{number}")
        order.append(number)

    await asyncio.gather(*(ask(i) for i in range(5)))
    assert order == list(range(5))


async def test_an_abort_after_the_first_token_ends_the_stream_with_what_there_is(
    open_desk: OpenDesk,
) -> None:
    desk, signal = open_desk(reply("x" * 200)), AbortSignal()
    chunks = []
    async for text in desk.api.chat_stream(request(stream=True), signal):
        chunks.append(json.loads(text))
        if len(chunks) == 5:
            signal.abort()
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert text_of(chunks).startswith("xxx") and len(text_of(chunks)) < 20
    assert (await desk.chat(max_tokens=3))["choices"][0]["message"]["content"] == "xxx"


async def test_an_abort_before_anything_is_an_error(open_desk: OpenDesk) -> None:
    desk, signal = open_desk(), AbortSignal()
    signal.abort()
    with pytest.raises(ModelpressError) as caught:
        await desk.stream(signal=signal)
    assert caught.value.code == "aborted"
    assert text_of(await desk.stream())


async def test_a_request_waiting_for_its_turn_can_be_aborted(open_desk: OpenDesk) -> None:
    desk, signal = open_desk(reply("ok")), AbortSignal()
    first = desk.api.chat_stream(request(stream=True))
    await anext(first)
    waiting = asyncio.ensure_future(desk.stream(signal=signal))
    await asyncio.sleep(0)
    signal.abort()
    with pytest.raises(ModelpressError, match="aborted"):
        await waiting
    await first.aclose()
    assert (await desk.chat())["choices"][0]["message"]["content"] == "ok"


async def test_a_closed_stream_lets_the_next_request_run(open_desk: OpenDesk) -> None:
    desk = open_desk(reply("x" * 100))
    stream = desk.api.chat_stream(request(stream=True))
    for _ in range(3):
        await anext(stream)
    await stream.aclose()
    answer = await asyncio.wait_for(desk.chat(max_tokens=4), 5)
    assert answer["choices"][0]["message"]["content"] == "xxxx"


async def test_loading_tells_every_stage(open_desk: OpenDesk) -> None:
    stages: list[str] = []
    desk = open_desk()
    text = await desk.api.load("fake", lambda stage, *rest: stages.append(stage))
    assert list(dict.fromkeys(stages))[:2] == ["registry", "plan"]
    device = {"compile", "download", "upload", "self-test"}
    assert set(stages) == {"registry", "plan", "ready"} | device
    assert stages[-1] == "ready"
    assert json.loads(text)["model"] == json.loads(await desk.api.info())["model"]


async def test_loading_the_loaded_model_again_does_nothing(open_desk: OpenDesk) -> None:
    desk = open_desk()
    for _ in range(2):
        await desk.api.load("fake")
    assert desk.executor.prepared == 1


async def test_a_request_for_another_model_loads_it(open_desk: OpenDesk) -> None:
    desk = open_desk(reply("ok"), files=fake_hub("fake", "other"))
    await desk.chat()
    assert (await desk.chat(model="other"))["model"] == "other"
    assert json.loads(await desk.api.info())["model"]["id"] == "other"


async def test_a_model_that_does_not_exist_leaves_the_loaded_one(open_desk: OpenDesk) -> None:
    desk = open_desk(reply("ok"))
    await desk.chat()
    with pytest.raises(ModelpressError, match="it offers: fake") as caught:
        await desk.chat(model="nope")
    assert (caught.value.code, error_status(caught.value)) == ("model_not_found", 404)
    assert (await desk.chat(model=None))["model"] == "fake"
    assert desk.executor.prepared == 1


async def test_without_a_model_the_request_must_name_one(open_desk: OpenDesk) -> None:
    with pytest.raises(ModelpressError, match="no model is loaded"):
        await open_desk().chat(model=None)


async def test_synthetic_weights_download_nothing(open_desk: OpenDesk) -> None:
    desk = open_desk(reply("ok"), options='{"weights": "synthetic"}')
    await desk.chat()
    assert not [path for path in desk.storage.reads if path.startswith("blobs/")]
    assert desk.executor.submits[0][0] == ("synthesize",)
    assert json.loads(await desk.api.info())["model"]["synthetic"] is True


async def test_a_corrupted_chunk_names_itself_and_nothing_stays_loaded(
    open_desk: OpenDesk,
) -> None:
    files = fake_hub()
    blob = next(path for path in files if path.startswith("blobs/"))
    good, files[blob] = files[blob], bytes(10)
    desk = open_desk(reply("ok"), files=files)
    with pytest.raises(ModelpressError) as caught:
        await desk.api.load("fake")
    assert (caught.value.code, caught.value.details["path"]) == ("integrity", blob)
    assert json.loads(await desk.api.info())["model"] is None
    desk.storage.files[blob] = good
    assert (await desk.chat())["choices"][0]["message"]["content"] == "ok"


async def test_a_load_can_be_aborted(open_desk: OpenDesk) -> None:
    desk, signal = open_desk(), AbortSignal()

    def abort_when_compiling(stage: str, *rest: Any) -> None:
        if stage == "compile":
            signal.abort()

    with pytest.raises(ModelpressError) as caught:
        await desk.api.load("fake", abort_when_compiling, signal)
    assert caught.value.code == "aborted"
    assert desk.executor.released
    await desk.api.load("fake")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ('{"scheme": "q9"}', "built in: f32"),
        ('{"variant": "matrix"}', "there are: base"),
        ('{"context": 100000}', "between 2 and 256"),
    ],
)
async def test_an_option_that_cannot_be_honoured_is_an_error(
    open_desk: OpenDesk, options: str, words: str
) -> None:
    with pytest.raises(ModelpressError, match=words) as caught:
        await open_desk(options=options).api.load("fake")
    assert caught.value.code == "bad_request"


@pytest.mark.parametrize("options", ["[]", "{", '{"colour": 1}', '{"depth": 0}', '{"weights": 1}'])
def test_malformed_options_are_refused(open_desk: OpenDesk, options: str) -> None:
    with pytest.raises(ModelpressError) as caught:
        open_desk(options=options)
    assert caught.value.code == "bad_request"


async def test_unload_frees_the_model_and_only_the_loaded_one(open_desk: OpenDesk) -> None:
    desk = open_desk()
    await desk.api.load("fake")
    with pytest.raises(ModelpressError, match="not loaded"):
        await desk.api.unload("other")
    await desk.api.unload("fake")
    assert json.loads(await desk.api.info())["model"] is None


async def test_unload_frees_no_model_that_was_loaded_meanwhile(open_desk: OpenDesk) -> None:
    """Bug: the name was checked before the turn came, so a queued load's model was freed."""
    desk = open_desk(files=fake_hub("a", "b"))
    await desk.api.load("a")
    loading = asyncio.ensure_future(desk.api.load("b"))
    await asyncio.sleep(0)
    with pytest.raises(ModelpressError, match="'a' is not loaded"):
        await desk.api.unload("a")
    await loading
    assert json.loads(await desk.api.info())["model"]["id"] == "b"


async def test_models_are_listed_as_openai_lists_them(open_desk: OpenDesk) -> None:
    listed = json.loads(await open_desk(files=fake_hub("a", "b")).api.models())
    assert listed["object"] == "list"
    assert [(m["id"], m["object"]) for m in listed["data"]] == [("a", "model"), ("b", "model")]


async def test_bench_reports_every_run(open_desk: OpenDesk) -> None:
    desk = open_desk()
    text = await desk.api.bench('{"id": "fake", "prompt": 40, "new": 8, "runs": 2}')
    result = json.loads(text)
    assert [r["new_tokens"] for r in result["runs"]] == [8, 8]
    assert set(result["runs"][0]) == {
        "prompt_tokens", "new_tokens", "ttft_ms", "prefill_tok_s", "decode_tok_s",
        "gpu_ms_per_token", "cpu_ms_per_token",
    }  # fmt: skip
    with pytest.raises(ModelpressError, match="258 tokens"):
        await desk.api.bench('{"id": "fake", "prompt": 250, "new": 8}')


async def test_bench_decodes_sequences_together_too(open_desk: OpenDesk) -> None:
    desk = open_desk(files=fake_hub(plan=fake_plan(seats=4)))
    asked = {"id": "fake", "prompt": 10, "new": 40, "runs": 1, "parallel": 3}
    result = json.loads(await desk.api.bench(json.dumps(asked)))
    assert result["parallel"]["sequences"] == 3
    assert 0 < result["parallel"]["tokens"] <= 3 * 40
    assert any("decode_batch" in entries for entries, _ in desk.executor.submits)


async def test_a_chat_with_a_model_without_a_template_says_what_is_missing(
    open_desk: OpenDesk,
) -> None:
    files = fake_hub(plan=fake_plan("fake"))
    desk = open_desk(files=files)
    desk.storage.files = {
        path: data.replace(b'"chat_template.jinja":', b'"other.jinja":')
        for path, data in files.items()
    }
    relabel(desk)
    with pytest.raises(ModelpressError, match=r"chat_template\.jinja"):
        await desk.chat()


def relabel(desk: Desk) -> None:
    """Give the registry the digest of the manifest as it is now."""
    import hashlib

    data = desk.storage.files["models/fake/f32/manifest.json"]
    registry = json.loads(desk.storage.files["registry.json"])
    file = registry["models"][0]["schemes"][0]["manifest"]
    file["sha256"], file["nbytes"] = hashlib.sha256(data).hexdigest(), len(data)
    desk.storage.files["registry.json"] = json.dumps(registry).encode()
