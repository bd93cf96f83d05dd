"""OpenAI's clients, unmodified, against the server: one table of requests for all of them.

The model is a fake that always gives the same answer, so every field of a response is known.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from runtime.engine import Engine
from runtime.fake import FakeStorage, fake_tokenizer, reply
from runtime.fake_executor import FakeExecutor
from runtime.fake_hub import fake_encoder_plan, fake_hub
from runtime.host import Host
from runtime.manifest import REGISTRY_FORMAT, Registry
from runtime.native.api_server import ApiServer, Listening
from runtime.options import EngineOptions
from tests.clients.run import TABLE, run_table

ANSWER = "Grüße 🎉! Bye."
ROOT = Path(__file__).resolve().parents[2]


def hub_with_both_tasks() -> dict[str, bytes]:
    """One hub of a chat model, "fake", and a model of embeddings, "vectors"."""
    chat, vectors = fake_hub("fake"), fake_hub("vectors", plan=fake_encoder_plan())
    offered = [Registry.loads(files["registry.json"]).models for files in (chat, vectors)]
    registry = Registry(REGISTRY_FORMAT, (*offered[0], *offered[1]))
    return chat | vectors | {"registry.json": registry.dumps().encode()}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def base_url() -> AsyncIterator[str]:
    storage = FakeStorage(hub_with_both_tasks())
    engine = Engine(Host(FakeExecutor(reply(ANSWER)), storage, fake_tokenizer), EngineOptions())
    server = ApiServer(engine, Listening(port=0))
    yield await server.start()
    await server.close()


def check(case: dict[str, Any], result: dict[str, Any]) -> None:
    """Every field that the table tells is what came back."""
    for name in ("texts", "reasons", "tokens", "alternatives", "completion_tokens", "ids"):
        if name in case and name in result:
            assert result[name] == case[name], (case["name"], name)
    assert result.get("error") == (case.get("error") and {"param": None, **case["error"]})
    assert "failure" not in result, (case["name"], result)
    assert result.get("dimensions") == case.get("dimensions"), case["name"]


@pytest.mark.asyncio(loop_scope="module")
async def test_the_python_client_passes_the_table(base_url: str) -> None:
    results = await run_table(base_url, "fake", TABLE)
    for case in TABLE:
        check(case, results[case["name"]])


@pytest.mark.asyncio(loop_scope="module")
async def test_the_javascript_clients_pass_the_table(base_url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *("node", "tests/clients/run.mjs", base_url, "fake"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate(json.dumps(TABLE).encode())
    results = json.loads(out)
    assert set(results["openai"]) == {case["name"] for case in TABLE}
    assert len(results["ai-sdk"]) >= 6
    for found in results.values():
        for case in TABLE:
            if case["name"] in found:
                check(case, found[case["name"]])
