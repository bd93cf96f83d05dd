"""An engine on fakes, spoken to in JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from runtime.abort import AbortSignal
from runtime.api import Api
from runtime.fake import FakeStorage, NextToken, fake_tokenizer
from runtime.fake_executor import FakeExecutor
from runtime.fake_hub import fake_hub
from runtime.host import Host
from runtime.native.grammar import XgrammarGrammars
from runtime.notes import MemoryNotes

# A busy machine is no failure.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


@dataclass(frozen=True, slots=True)
class Desk:
    """An `Api` with the fakes behind it in reach."""

    api: Api
    executor: FakeExecutor
    storage: FakeStorage
    notes: MemoryNotes

    async def chat(self, content: Any = "Hi", /, **fields: Any) -> dict[str, Any]:
        """The answer to one user message (or to a list of messages)."""
        text = await self.api.chat(request(content, **fields))
        decoded: dict[str, Any] = json.loads(text)
        return decoded

    async def stream(
        self, content: Any = "Hi", /, signal: AbortSignal | None = None, **fields: Any
    ) -> list[dict[str, Any]]:
        """The chunks of the answer."""
        text = request(content, stream=True, **fields)
        return [json.loads(chunk) async for chunk in self.api.chat_stream(text, signal)]


def request(content: Any = "Hi", /, **fields: Any) -> str:
    """A chat request as JSON text; model "fake" unless told otherwise."""
    if isinstance(content, str):
        content = [{"role": "user", "content": content}]
    return json.dumps({"model": "fake", "messages": content, **fields})


OpenDesk = Callable[..., Desk]


@pytest.fixture
def open_desk() -> OpenDesk:
    """Opens a desk: `open_desk(next_token, options=..., files=..., executor=..., notes=...)`.

    The same `notes` again is the next visit.
    """

    def open_(
        next_token: NextToken | None = None,
        *,
        options: str = "{}",
        files: dict[str, bytes] | None = None,
        executor: FakeExecutor | None = None,
        notes: MemoryNotes | None = None,
    ) -> Desk:
        executor = executor or FakeExecutor(next_token)
        storage = FakeStorage(fake_hub() if files is None else files)
        notes = notes or MemoryNotes()
        host = Host(
            executor, storage, fake_tokenizer, notes, executor.clock, grammars=XgrammarGrammars
        )
        return Desk(Api(host, options), executor, storage, notes)

    return open_
