"""OpenAI's clients, unmodified, against the server: one table of requests for all of them.

The models are fakes that give an answer for what the prompt holds: every field is known.
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
from runtime.fake import FakeStorage, fake_tokenizer
from runtime.fake_executor import FakeExecutor
from runtime.fake_hub import TEMPLATE, fake_encoder_plan, fake_hub, fake_plan
from runtime.host import Host
from runtime.manifest import REGISTRY_FORMAT, Registry
from runtime.native.api_server import ApiServer, Listening
from runtime.native.grammar import XgrammarGrammars
from runtime.options import EngineOptions
from tests.clients.run import TABLE, run_table

ROOT = Path(__file__).resolve().parents[2]
CLOSED = b"<think>\n\n</think>\n\n"
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'
TOOLS_TEMPLATE = (
    "{# <tool_call> #}{% if tools %}[tools]{{ tools | tojson }}{% endif %}"
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}"
    "{% for c in m.tool_calls or [] %}{{ c.function.name }}{% endfor %}{% endfor %}<a>"
)
THINK_TEMPLATE = "{# <think></think> #}[think]" + TEMPLATE
ANSWERS = {
    "[tool]": "It is sunny.",
    "[tools]": CALL,
    "</think>": "Well.",
    "[think]": "<think>\nHm.\n</think>\n\nWell.",
    "": "Grüße 🎉! Bye.",
}
"""What is answered to a prompt that holds such a mark, the first that it holds."""


def model(sequence: tuple[int, ...]) -> int:
    """Answers what the prompt's mark says, behind "<a>" in a chat and behind ">" elsewhere."""
    data = bytes(min(token, 255) for token in sequence)
    prompt, _, said = data.rpartition(b"<a>" if b"<a>" in data else b">")
    if said.startswith(CLOSED):
        prompt, said = prompt + CLOSED, said.removeprefix(CLOSED)
    answer = next(text for mark, text in ANSWERS.items() if mark.encode() in prompt)
    written = [*answer.encode(), 257]
    token: int = written[min(len(said), len(written) - 1)]
    return token


def hub() -> dict[str, bytes]:
    """One hub of three chat models and a model of embeddings."""
    hubs = [
        fake_hub("fake"),
        fake_hub("helper", plan=fake_plan("helper", context=1024), template=TOOLS_TEMPLATE),
        fake_hub("thinker", plan=fake_plan("thinker"), template=THINK_TEMPLATE),
        fake_hub("vectors", plan=fake_encoder_plan()),
    ]
    entries = [Registry.loads(files["registry.json"]).models for files in hubs]
    registry = Registry(REGISTRY_FORMAT, tuple(entry for (entry,) in entries))
    together = {name: data for files in hubs for name, data in files.items()}
    return together | {"registry.json": registry.dumps().encode()}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def base_url() -> AsyncIterator[str]:
    files = FakeStorage(hub())
    host = Host(FakeExecutor(model), files, fake_tokenizer, grammars=XgrammarGrammars)
    engine = Engine(host, EngineOptions())
    server = ApiServer(engine, Listening(port=0))
    yield await server.start()
    await server.close()


UNTOLD = frozenset({"tokens", "alternatives"})
"""What the AI SDK does not tell; of a call alone it tells no text."""


def check(case: dict[str, Any], result: dict[str, Any], untold: frozenset[str]) -> None:
    """Everything that the table tells is what came back."""
    expected = {
        name: value
        for name, value in case.items()
        if name not in untold | {"name", "call", "request"}
    }
    if "error" in expected:
        expected["error"] = {"param": None, **expected["error"]}
    assert {name: result.get(name) for name in expected} == expected, case["name"]
    assert "error" in expected or "error" not in result, case["name"]


@pytest.mark.asyncio(loop_scope="module")
async def test_the_python_client_passes_the_table(base_url: str) -> None:
    results = await run_table(base_url, "fake", TABLE)
    for case in TABLE:
        check(case, results[case["name"]], frozenset())


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
    assert len(results["ai-sdk"]) >= 12
    for case in TABLE:
        check(case, results["openai"][case["name"]], frozenset())
        if case["name"] in results["ai-sdk"]:
            untold = UNTOLD | ({"texts"} if "calls" in case else frozenset())
            check(case, results["ai-sdk"][case["name"]], untold)
