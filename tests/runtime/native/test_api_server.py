"""The server of OpenAI's protocol: who may ask, and clients that go away."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Generator, Mapping, Sequence
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from runtime.engine import Engine
from runtime.errors import ModelpressError
from runtime.fake import FakeStorage, fake_tokenizer, reply
from runtime.fake_executor import FakeExecutor
from runtime.fake_hub import fake_hub
from runtime.host import Host
from runtime.native.api_server import ApiServer, Listening
from runtime.options import EngineOptions

ASK = {"model": "fake", "messages": [{"role": "user", "content": "Hi"}]}
FRIEND = "https://friend.example"


class SlowExecutor(FakeExecutor):
    """A token takes a few milliseconds."""

    def step(self, entries: Sequence[str], symbols: Mapping[str, int], read: str) -> Awaitable[int]:
        made = super().step(entries, symbols, read)

        async def later() -> int:
            await asyncio.sleep(0.005)
            return await made

        return Kept(asyncio.ensure_future(later()))


class Kept:
    """A result that outlives whoever awaits it, as executors promise."""

    def __init__(self, future: asyncio.Future[int]) -> None:
        self._future = future

    def __await__(self) -> Generator[Any, None, int]:
        return asyncio.shield(self._future).__await__()


class Served:
    """A server, its device, and a client."""

    def __init__(self, url: str, executor: FakeExecutor, client: aiohttp.ClientSession) -> None:
        self.url, self.executor, self.client = url, executor, client


@pytest_asyncio.fixture
async def served() -> AsyncIterator[Served]:
    executor = SlowExecutor(reply("x" * 200))
    engine = Engine(Host(executor, FakeStorage(fake_hub()), fake_tokenizer), EngineOptions())
    server = ApiServer(engine, Listening(port=0, origins=frozenset({FRIEND})))
    async with aiohttp.ClientSession() as client:
        yield Served(await server.start(), executor, client)
    await server.close()


async def post(served: Served, data: bytes | io.BytesIO, **headers: str) -> tuple[int, str | None]:
    url = f"{served.url}/chat/completions"
    async with served.client.post(url, data=data, headers=headers) as answer:
        return answer.status, (await answer.json())["error"]["message"]


async def test_pages_may_ask_only_where_they_are_allowed(served: Served) -> None:
    status, message = await post(served, b"{}", origin="https://evil.example")
    assert status == 403 and message and "--allow-origin" in message
    async with served.client.options(f"{served.url}/models", headers={"origin": FRIEND}) as asked:
        assert asked.status == 204
        assert asked.headers["access-control-allow-origin"] == FRIEND
    async with served.client.get(f"{served.url}/models", headers={"origin": FRIEND}) as listed:
        assert listed.status == 200
        assert listed.headers["access-control-allow-origin"] == FRIEND
    async with served.client.get(f"{served.url}/models") as plain:
        assert "access-control-allow-origin" not in plain.headers


async def test_another_name_for_this_machine_is_no_way_in(served: Served) -> None:
    status, message = await post(served, b"{}", host="rebound.example:80")
    assert status == 403 and message and "rebound.example" in message


async def test_what_is_no_text_is_refused(served: Served) -> None:
    status, message = await post(served, b'{"messages": "\xff\xfe"}')
    assert (status, message) == (400, "the request is not UTF-8")


async def test_too_large_a_request_is_refused(served: Served) -> None:
    status, message = await post(served, io.BytesIO(b" " * (2**26 + 1)))
    assert status == 413 and message and "64 MiB" in message


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_goes_away_stops_its_answer(served: Served, stream: bool) -> None:
    url = f"{served.url}/chat/completions"
    async with served.client.post(url, json={**ASK, "max_tokens": 1}) as warm:
        assert warm.status == 200
    before = len(served.executor.submits)
    timeout = aiohttp.ClientTimeout(total=0.1)
    with pytest.raises(TimeoutError):
        async with served.client.post(
            url, json={**ASK, "stream": stream}, timeout=timeout
        ) as answer:
            await answer.read()
    async with served.client.post(url, json={**ASK, "max_tokens": 1}) as next_:
        assert next_.status == 200
    assert len(served.executor.submits) - before < 150, "200 tokens were asked for"


async def test_a_port_that_is_taken_is_an_error(served: Served) -> None:
    port = int(served.url.rsplit(":", 1)[1].removesuffix("/v1"))
    engine = Engine(Host(FakeExecutor(), FakeStorage({}), fake_tokenizer), EngineOptions())
    with pytest.raises(ModelpressError, match="--port"):
        await ApiServer(engine, Listening(port=port)).start()
