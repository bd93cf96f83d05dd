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


VARIANTS = ("f16", "software")
"""lavapipe has f16; the engine itself takes `software` there, because lavapipe is a processor."""


async def answers_in_firefox(site: str, blank: str) -> dict[str, Any]:
    """The greedy answer to the reference's question, by plan variant."""
    program, driver = doctor.firefox(), doctor.lavapipe()
    assert program is not None and driver is not None
    answers = {}
    async with open_firefox(program, driver) as firefox:
        for variant in VARIANTS:
            await firefox.open(blank)
            options = {"model": PRESS_GUIDE, "variant": variant}
            info = await firefox.evaluate(OPEN, [site + "engine/client.js", options])
            assert info["result"]["model"]["variant"] == variant, info
            answer = await firefox.evaluate(CREATE, ask(GUIDE_QUESTION, max_tokens=64))
            choice = answer["result"]["choices"][0]
            answers[variant] = (choice["message"]["content"], choice["finish_reason"])
    return answers


@pytest.mark.skipif(
    doctor.firefox() is None or doctor.lavapipe() is None,
    reason="needs Firefox and lavapipe: `modelpress doctor` says how to get them",
)
def test_firefox_writes_the_reference_tokens(server: FaultServer, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html><html lang='en'><title>b</title></html>")
    server.mounts["/blank/"] = tmp_path
    work = answers_in_firefox(server.url + PREFIX, server.url + "/blank/")
    with ThreadPoolExecutor() as pool:  # this thread may belong to Playwright's event loop
        answers = pool.submit(asyncio.run, work).result()
    assert answers == dict.fromkeys(VARIANTS, reference_answer("q4"))
