"""The table of requests by OpenAI's Python client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import openai

HERE = Path(__file__).parent
TABLE: list[dict[str, Any]] = json.loads((HERE / "table.json").read_text())
Result = dict[str, Any]


async def run_table(base_url: str, model: str, table: list[dict[str, Any]]) -> dict[str, Result]:
    """What came back, by the name of the case."""
    async with openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
        results = {}
        for case in table:
            request = {"model": model, **case.get("request", {})}
            try:
                results[case["name"]] = await CALLS[case["call"]](client, request)
            except openai.APIStatusError as error:
                found = {"status": error.status_code, "code": error.code, "param": error.param}
                results[case["name"]] = {"error": found}
        return results


async def _chat(client: openai.AsyncOpenAI, request: dict[str, Any]) -> Result:
    answer = await client.chat.completions.create(**request)
    told = [c.logprobs and [t.token for t in c.logprobs.content] for c in answer.choices]
    first = answer.choices[0].logprobs
    messages = [choice.message for choice in answer.choices]
    thoughts = [getattr(message, "reasoning_content", None) for message in messages]
    calls = [call.function for call in messages[0].tool_calls or []]
    return {
        "texts": [message.content for message in messages],
        "reasons": [choice.finish_reason for choice in answer.choices],
        **({"reasoning": thoughts} if any(thoughts) else {}),
        **({"calls": [[c.name, json.loads(c.arguments)] for c in calls]} if calls else {}),
        "tokens": told,
        "alternatives": first and len(first.content[0].top_logprobs),
        "completion_tokens": answer.usage.completion_tokens,
    }


async def _completion(client: openai.AsyncOpenAI, request: dict[str, Any]) -> Result:
    answer = await client.completions.create(**request)
    return {
        "texts": [choice.text for choice in answer.choices],
        "reasons": [choice.finish_reason for choice in answer.choices],
        "tokens": [choice.logprobs and choice.logprobs.tokens for choice in answer.choices],
        "completion_tokens": answer.usage.completion_tokens,
    }


async def _joined(chunks: AsyncIterator[Any], text_of: Callable[[Any], str | None]) -> Result:
    texts: dict[int, str] = {}
    reasons: dict[int, str] = {}
    usage = None
    async for chunk in chunks:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + (text_of(choice) or "")
            if choice.finish_reason:
                reasons[choice.index] = choice.finish_reason
    order = sorted(texts)
    return {
        "texts": [texts[index] for index in order],
        "reasons": [reasons[index] for index in order],
        "completion_tokens": usage and usage.completion_tokens,
    }


async def _chat_stream(client: openai.AsyncOpenAI, request: dict[str, Any]) -> Result:
    chunks = await client.chat.completions.create(**request, stream=True)
    thoughts: dict[int, str] = {}
    calls: dict[int, list[str]] = {}

    def text_of(choice: Any) -> str | None:
        thought = getattr(choice.delta, "reasoning_content", None)
        if thought:
            thoughts[choice.index] = thoughts.get(choice.index, "") + thought
        for call in choice.delta.tool_calls or []:
            name, arguments = calls.get(call.index, ["", ""])
            added = call.function
            calls[call.index] = [name + (added.name or ""), arguments + (added.arguments or "")]
        text: str | None = choice.delta.content
        return text

    found = await _joined(chunks, text_of)
    if thoughts:
        found["reasoning"] = [thoughts[index] for index in sorted(thoughts)]
    if calls:
        found["calls"] = [[calls[i][0], json.loads(calls[i][1])] for i in sorted(calls)]
    return found


async def _completion_stream(client: openai.AsyncOpenAI, request: dict[str, Any]) -> Result:
    chunks = await client.completions.create(**request, stream=True)
    return await _joined(chunks, lambda choice: choice.text)


async def _embedding(client: openai.AsyncOpenAI, request: dict[str, Any]) -> Result:
    answer = await client.embeddings.create(**request)
    return {"dimensions": [len(item.embedding) for item in answer.data]}


async def _models(client: openai.AsyncOpenAI, request: dict[str, Any]) -> Result:
    return {"ids": [model.id async for model in client.models.list()]}


async def _model(client: openai.AsyncOpenAI, request: dict[str, Any]) -> Result:
    return {"ids": [(await client.models.retrieve(request["model"])).id]}


async def _left(client: openai.AsyncOpenAI, request: dict[str, Any]) -> Result:
    async with await client.chat.completions.create(**request, stream=True) as chunks:
        async for chunk in chunks:
            if chunk.choices[0].delta.content:
                return {"texts": [chunk.choices[0].delta.content]}
    return {}


CALLS: dict[str, Callable[[openai.AsyncOpenAI, dict[str, Any]], Awaitable[Result]]] = {
    "chat": _chat,
    "chat_stream": _chat_stream,
    "completion": _completion,
    "completion_stream": _completion_stream,
    "embedding": _embedding,
    "models": _models,
    "model": _model,
    "left": _left,
}
