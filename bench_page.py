"""The site's bench page, driven in headless Chromium: what `modelpress bench --browser` runs.

Serves a built site on loopback, opens `bench/` and calls `window.modelpressBench`. Playwright is
needed only here and in the tests, so it is imported when asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import doctor
from runtime.errors import ModelpressError
from site_builder.serve import Mount, address, make_server

FLAGS = ("--no-sandbox", "--enable-unsafe-webgpu", "--enable-features=Vulkan")
SOFTWARE = ("--use-webgpu-adapter=swiftshader",)
HARDWARE = ("--use-angle=vulkan", "--ignore-gpu-blocklist", "--disable-vulkan-surface")
EXACT_TIMES = ("--enable-webgpu-developer-features",)
"""Without this, Chromium rounds timestamps to a tenth of a millisecond."""
TIMEOUT_MS = 1_800_000


def measure(site: Path, id: str, options: Mapping[str, Any], *, software: bool) -> dict[str, Any]:
    """What the bench page of `site` says about model `id`; `options` as the page takes them.

    `software` computes on the processor, as a machine without a GPU would. Raises ModelpressError
    with the engine's code, SiteError when there is no site.
    """
    flags = (*FLAGS, *(SOFTWARE if software else HARDWARE))
    if options.get("profile"):
        flags += EXACT_TIMES
    with serving(site) as url, shown(flags) as page:
        page.set_default_timeout(TIMEOUT_MS)
        page.goto(f"{url}bench/index.html")
        page.locator("[data-bench-form]").wait_for()
        answer = page.evaluate(CALL, [id, dict(options)])
    if "error" in answer:
        raise ModelpressError(answer["error"]["code"], answer["error"]["message"])
    result: dict[str, Any] = answer["result"]
    return result


CALL = """
async ([id, options]) => {
  try {
    return { result: await window.modelpressBench(id, options) };
  } catch (error) {
    return { error: { code: error.code ?? "internal", message: String(error.message ?? error) } };
  }
}
"""


@contextmanager
def serving(site: Path) -> Iterator[str]:
    """The URL at which a built site is served on loopback meanwhile."""
    mount = Mount(site)
    server = make_server(mount, port=0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield address(server, mount)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def shown(flags: tuple[str, ...]) -> Iterator[Any]:
    """An empty page of a headless Chromium started with `flags`."""
    program = doctor.chromium()
    if program is None:
        raise ModelpressError(
            "no_webgpu", "no Chromium to measure in: `modelpress doctor` says how to get one"
        )
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise ModelpressError(
            "internal", "measuring in a browser needs Playwright: `pip install playwright`"
        ) from error
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(flags))
        yield browser.new_page()
        browser.close()
