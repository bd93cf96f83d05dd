"""A second browser: Firefox on lavapipe, which has f16 and no subgroups."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import doctor
from tests.browser.conftest import PREFIX
from tests.browser.engine_page import CREATE, OPEN, ask
from tests.browser.firefox import open_firefox
from tests.browser.greedy import reference_answer
from tests.reference.checkpoints import GUIDE_QUESTION, PRESS_GUIDE
from tests.web.fault_server import FaultServer

pytestmark = pytest.mark.browser


async def answer_in_firefox(site: str, blank: str) -> tuple[Any, Any]:
    """(info of the engine, its greedy answer to the reference's question)."""
    program, driver = doctor.firefox(), doctor.lavapipe()
    assert program is not None and driver is not None
    async with open_firefox(program, driver) as firefox:
        await firefox.open(blank)
        info = await firefox.evaluate(OPEN, [site + "engine/client.js", {"model": PRESS_GUIDE}])
        assert "result" in info, info
        answer = await firefox.evaluate(CREATE, ask(GUIDE_QUESTION, max_tokens=64))
        assert "result" in answer, answer
        return info["result"], answer["result"]


@pytest.mark.skipif(
    doctor.firefox() is None or doctor.lavapipe() is None,
    reason="needs Firefox and lavapipe: `modelpress doctor` says how to get them",
)
def test_firefox_writes_the_reference_tokens(server: FaultServer, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html><html lang='en'><title>b</title></html>")
    server.mounts["/blank/"] = tmp_path
    work = answer_in_firefox(server.url + PREFIX, server.url + "/blank/")
    with ThreadPoolExecutor() as pool:  # this thread may belong to Playwright's event loop
        info, answer = pool.submit(asyncio.run, work).result()
    assert info["model"]["variant"] == "f16", info
    choice = answer["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == reference_answer("q4")
