"""Headless Firefox over WebDriver BiDi: just enough to open a page and evaluate in it.

The W3C protocol (https://w3c.github.io/webdriver-bidi) over one WebSocket; no driver binary.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp

PREFERENCES: Mapping[str, bool | int | str] = {
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.webgpu.enabled": True,
    "dom.webgpu.workers.enabled": True,
    "gfx.webgpu.ignore-blocklist": True,
    "gfx.webrender.software": True,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "remote.active-protocols": 1,
    "toolkit.telemetry.enabled": False,
}
"""WebGPU on, everything that would call out off; active protocol 1 is BiDi."""
START_TIMEOUT_S = 60
ANSWER_TIMEOUT_S = 240


class BidiError(Exception):
    """Firefox refused a command, or a page's script threw."""


class Firefox:
    """One browser with one tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._last_id = 0
        self._tab = ""

    async def start(self) -> None:
        """Open the session; the first tab is ours."""
        await self.command("session.new", {"capabilities": {}})
        tree = await self.command("browsingContext.getTree", {})
        self._tab = tree["contexts"][0]["context"]

    async def open(self, url: str) -> None:
        """Navigate, and wait until the page has loaded."""
        await self.command(
            "browsingContext.navigate", {"context": self._tab, "url": url, "wait": "complete"}
        )

    async def evaluate(self, function: str, argument: Any = None) -> Any:
        """The JSON value that the (async) JavaScript `function` of one argument resolves to."""
        call = f"(async () => JSON.stringify(await ({function})({json.dumps(argument)})))()"
        parameters = {
            "expression": call,
            "target": {"context": self._tab},
            "awaitPromise": True,
        }
        answer = await self.command("script.evaluate", parameters)
        if answer["type"] != "success":
            raise BidiError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"]["value"])

    async def command(self, method: str, parameters: Mapping[str, Any]) -> Any:
        """Send one command and wait for its result; events in between are dropped."""
        self._last_id += 1
        await self._socket.send_json(
            {"id": self._last_id, "method": method, "params": dict(parameters)}
        )
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            while True:
                message = await self._socket.receive_json()
                if message.get("id") == self._last_id:
                    break
        if message["type"] == "error":
            raise BidiError(f"{method}: {message['error']}: {message['message']}")
        return message["result"]


@contextlib.asynccontextmanager
async def open_firefox(
    program: Path, vulkan_driver: Path, preferences: Mapping[str, bool | int | str] | None = None
) -> AsyncIterator[Firefox]:
    """A fresh profile on the given Vulkan driver, gone at the end; `preferences` besides ours."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        profile, port = Path(folder), _free_port()
        chosen = {**PREFERENCES, **(preferences or {})}
        lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in chosen.items()]
        (profile / "user.js").write_text("\n".join(lines))
        command = [
            str(program), "--headless", "--no-remote", "--profile", str(profile),
            "--remote-debugging-port", str(port), "about:blank",
        ]  # fmt: skip
        environment = os.environ | {
            "VK_ICD_FILENAMES": str(vulkan_driver),
            "VK_DRIVER_FILES": str(vulkan_driver),
            "XDG_RUNTIME_DIR": str(profile),
            "HOME": str(profile),
        }
        with (profile / "log").open("w") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            async with aiohttp.ClientSession() as http:
                firefox = Firefox(await _connect(http, port, process))
                await firefox.start()
                yield firefox
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 20)


async def _connect(
    http: aiohttp.ClientSession, port: int, process: subprocess.Popen[bytes]
) -> aiohttp.ClientWebSocketResponse:
    async with asyncio.timeout(START_TIMEOUT_S):
        while True:
            try:
                return await http.ws_connect(f"ws://127.0.0.1:{port}/session", max_msg_size=0)
            except aiohttp.ClientError as error:
                if process.poll() is not None:
                    raise BidiError(f"Firefox ended with {process.returncode}") from error
                await asyncio.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
