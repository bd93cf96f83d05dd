"""Downloads in Chromium against a server that misbehaves: each fault, and what a visitor gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

from runtime.weights import WeightIndex, blob_path
from tests.web.fault_server import Fault, FaultServer

pytestmark = pytest.mark.browser

OPEN = """
  const warnings = [];
  const storage = await harness.Storage.open(
    new URL('/registry.json', location.href).href, (error) => warnings.push(error.code));
  const sum = (bytes) => bytes.reduce((a, b) => (a + b) % 65521, 0);
"""


@pytest.fixture(scope="session")
def index(web_folder: Path) -> WeightIndex:
    path = web_folder / "models/toy/f32/weights.json"
    return WeightIndex.loads(path.read_bytes())


@pytest.fixture
def chunk(index: WeightIndex) -> dict[str, Any]:
    """The last chunk: the smallest."""
    last = index.chunks[-1]
    return {"sha256": last.sha256, "offset": last.offset, "nbytes": last.nbytes}


def run(page: Page, body: str, argument: object = None) -> Any:
    return page.evaluate("async (argument) => {" + OPEN + body + "}", argument)


def url_of(chunk: dict[str, Any]) -> str:
    return f"/{blob_path(chunk['sha256'])}"


FETCH = """
  let seen = 0;
  const bytes = await storage.chunk(argument, {onBytes: (delta) => { seen += delta; }});
  return {seen, nbytes: bytes.byteLength, warnings};
"""


def expected(chunk: dict[str, Any]) -> dict[str, Any]:
    return {"seen": chunk["nbytes"], "nbytes": chunk["nbytes"], "warnings": []}


def test_a_chunk_is_fetched_once_and_then_comes_from_the_cache(
    page: Page, server: FaultServer, chunk: dict[str, Any]
) -> None:
    assert run(page, FETCH, chunk) == expected(chunk)
    page.reload()
    page.wait_for_selector("html[data-ready]", state="attached")
    assert run(page, FETCH, chunk) == expected(chunk)
    assert server.count(url_of(chunk)) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_passing_failure_of_the_server_is_tried_again(
    page: Page, server: FaultServer, chunk: dict[str, Any], status: int
) -> None:
    server.faults[url_of(chunk)] = [Fault(status=status), Fault(status=status)]
    assert run(page, FETCH, chunk) == expected(chunk)
    assert server.count(url_of(chunk)) == 3


def test_a_connection_cut_in_the_middle_starts_over(
    page: Page, server: FaultServer, chunk: dict[str, Any]
) -> None:
    server.faults[url_of(chunk)] = [Fault(keep_nbytes=1000)]
    assert run(page, FETCH, chunk) == expected(chunk)
    assert server.count(url_of(chunk)) == 2


def test_five_failures_are_a_network_error_that_names_the_file(
    page: Page, server: FaultServer, chunk: dict[str, Any]
) -> None:
    server.faults[url_of(chunk)] = [Fault(status=503)] * 9
    error = run(page, "return harness.errorOf(() => storage.chunk(argument));", chunk)
    assert error["code"] == "network"
    assert chunk["sha256"] in error["message"]
    assert error["details"]["status"] == 503
    assert server.count(url_of(chunk)) == 5


def test_retry_after_is_honoured(page: Page, server: FaultServer, chunk: dict[str, Any]) -> None:
    server.faults[url_of(chunk)] = [Fault(status=429, headers={"Retry-After": "2"})]
    waited = run(
        page,
        """const start = performance.now();
           await storage.chunk(argument);
           return performance.now() - start;""",
        chunk,
    )
    assert waited >= 2000


def test_a_missing_chunk_is_not_asked_for_twice(page: Page, server: FaultServer) -> None:
    missing = {"sha256": "0" * 64, "offset": 0, "nbytes": 4}
    error = run(page, "return harness.errorOf(() => storage.chunk(argument));", missing)
    assert error["code"] == "network"
    assert error["details"] == {"file": blob_path("0" * 64), "status": 404}
    assert server.count("0" * 64) == 1


@pytest.mark.parametrize("fault", [Fault(is_corrupt=True), Fault(is_short=True)])
def test_a_corrupt_body_is_fetched_again_once(
    page: Page, server: FaultServer, chunk: dict[str, Any], fault: Fault
) -> None:
    server.faults[url_of(chunk)] = [fault]
    assert run(page, FETCH, chunk) == expected(chunk)
    assert server.count(url_of(chunk)) == 2


def test_a_body_that_stays_corrupt_is_an_integrity_error_and_is_not_kept(
    page: Page, server: FaultServer, chunk: dict[str, Any]
) -> None:
    server.faults[url_of(chunk)] = [Fault(is_corrupt=True)] * 2
    error = run(page, "return harness.errorOf(() => storage.chunk(argument));", chunk)
    assert error["code"] == "integrity"
    assert chunk["sha256"] in error["message"]
    assert server.count(url_of(chunk)) == 2
    assert run(page, FETCH, chunk) == expected(chunk)
    assert server.count(url_of(chunk)) == 3


def test_a_chunk_that_decayed_in_the_cache_is_fetched_again(
    page: Page, server: FaultServer, chunk: dict[str, Any]
) -> None:
    run(page, FETCH, chunk)
    run(
        page,
        """const cache = await caches.open('modelpress-blobs-1');
           const key = (await cache.keys()).find(({url}) => url.endsWith(argument.sha256));
           await cache.put(key, new Response('rotten'));""",
        chunk,
    )
    assert run(page, FETCH, chunk) == expected(chunk)
    assert server.count(url_of(chunk)) == 2


def test_the_same_chunk_asked_for_twice_at_once_is_fetched_once(
    page: Page, server: FaultServer, chunk: dict[str, Any]
) -> None:
    server.faults[url_of(chunk)] = [Fault(delay_s=0.3)]
    both = run(
        page,
        """const two = await Promise.all([storage.chunk(argument), storage.chunk(argument)]);
           return two.map((bytes) => bytes.byteLength);""",
        chunk,
    )
    assert both == [chunk["nbytes"]] * 2
    assert server.count(url_of(chunk)) == 1


def test_two_tabs_fetch_a_chunk_once(
    page: Page, visitor: BrowserContext, server: FaultServer, chunk: dict[str, Any]
) -> None:
    other = visitor.new_page()
    other.goto(server.url)
    other.wait_for_selector("html[data-ready]", state="attached")
    server.faults[url_of(chunk)] = [Fault(delay_s=1.0)]
    later = "const work = storage.chunk(argument).then((b) => b.byteLength);"
    run(page, later + "globalThis.work = work; return 0;", chunk)
    assert run(other, later + "return await work;", chunk) == chunk["nbytes"]
    assert page.evaluate("() => globalThis.work") == chunk["nbytes"]
    assert server.count(url_of(chunk)) == 1


def test_an_abort_stops_the_download_and_the_next_one_works(
    page: Page, server: FaultServer, index: WeightIndex
) -> None:
    first = index.chunks[0]
    chunk = {"sha256": first.sha256, "offset": first.offset, "nbytes": first.nbytes}
    server.faults[url_of(chunk)] = [Fault(bytes_per_s=100_000)]
    code = run(
        page,
        """const controller = new AbortController();
           const onBytes = () => controller.abort();
           const options = {signal: controller.signal, onBytes};
           return harness.codeOf(() => storage.chunk(argument, options));""",
        chunk,
    )
    assert code == "aborted"
    assert run(page, FETCH, chunk) == expected(chunk)


def test_the_registry_is_read_from_the_network_and_offline_as_last_seen(
    page: Page, visitor: BrowserContext, server: FaultServer
) -> None:
    online = run(page, "return storage.registry();")
    visitor.set_offline(True)
    assert run(page, "return storage.registry();") == online
    visitor.set_offline(False)
    assert server.count("/registry.json") == 1


def test_a_registry_that_is_no_json_does_not_replace_the_good_one(
    page: Page, server: FaultServer
) -> None:
    good = run(page, "return storage.registry();")
    server.faults["/registry.json"] = [Fault(is_short=True)] * 2
    assert run(page, "return storage.registry();") == good
    assert run(page, "return storage.registry();") == good


def test_a_registry_that_was_never_there_is_a_network_error(page: Page) -> None:
    error = page.evaluate(
        """async () => {
            const url = new URL('/nowhere/registry.json', location.href).href;
            const storage = await harness.Storage.open(url, () => undefined);
            return harness.errorOf(() => storage.registry());
        }"""
    )
    assert error["code"] == "network"
    assert "registry.json" in error["message"]


def test_beyond_the_quota_the_visit_goes_on_and_persist_says_so(
    page: Page, visitor: BrowserContext, server: FaultServer, index: WeightIndex
) -> None:
    session = visitor.new_cdp_session(page)
    quota = {"origin": server.url, "quotaSize": 300_000}
    session.send("Storage.overrideQuotaForOrigin", quota)
    chunks = [{"sha256": c.sha256, "offset": c.offset, "nbytes": c.nbytes} for c in index.chunks]
    found = run(
        page,
        """const sizes = [];
           for (const chunk of argument) sizes.push((await storage.chunk(chunk)).byteLength);
           const persist = await harness.codeOf(async () => storage.checkKept());
           return {sizes, warnings, persist, keeps: storage.keeps};""",
        chunks,
    )
    sizes = [c.nbytes for c in index.chunks]
    assert found == {
        "sizes": sizes,
        "warnings": ["quota_exceeded"],
        "persist": "quota_exceeded",
        "keeps": False,
    }


LOAD_ALL = """
  const registry = JSON.parse(await storage.registry());
  const manifest = JSON.parse(await storage.text(registry.models[0].schemes[0].manifest));
  await storage.text(manifest.variants[0].plan);
  for (const file of Object.values(manifest.files)) await storage.text(file);
  const index = JSON.parse(await storage.text(manifest.weights));
"""


def test_the_list_tells_a_model_that_is_whole_from_one_that_is_not(page: Page) -> None:
    found = run(
        page,
        LOAD_ALL
        + """await storage.chunk(index.chunks[0]);
             const before = await storage.list();
             for (const chunk of index.chunks) await storage.chunk(chunk);
             return [before, await storage.list()];""",
    )
    (before,), (after,) = found
    assert (before["model"], before["scheme"], before["complete"]) == ("toy", "f32", False)
    assert after["complete"]
    assert before["nbytes"] < after["nbytes"] == after["total_nbytes"] == before["total_nbytes"]


def test_a_removed_model_leaves_nothing_behind(page: Page) -> None:
    left = run(
        page,
        LOAD_ALL
        + """for (const chunk of index.chunks) await storage.chunk(chunk);
             await storage.remove('toy');
             const cache = await caches.open('modelpress-blobs-1');
             return [await storage.list(), (await cache.keys()).length];""",
    )
    assert left == [[], 0]


def test_removing_a_model_leaves_the_others_able_to_run_offline(
    page: Page, visitor: BrowserContext
) -> None:
    """Bug: the sweep took every model's manifest.json, which no manifest names."""
    run(page, LOAD_ALL + "for (const chunk of index.chunks) await storage.chunk(chunk);")
    run(page, "await storage.remove('another');")
    visitor.set_offline(True)
    found = run(
        page,
        LOAD_ALL
        + """for (const chunk of index.chunks) await storage.chunk(chunk);
             return (await storage.list()).map(({model, complete}) => [model, complete]);""",
    )
    visitor.set_offline(False)
    assert found == [["toy", True]]


def test_a_browser_that_cannot_iterate_streams_downloads_too(
    page: Page, chunk: dict[str, Any]
) -> None:
    """Bug: Safari has no async iterator of a stream, so nothing could be fetched there."""
    page.evaluate("() => { delete ReadableStream.prototype[Symbol.asyncIterator]; }")
    assert run(page, FETCH, chunk) == expected(chunk)


def test_a_network_that_is_silent_does_not_hold_up_who_has_the_registry(
    page: Page, server: FaultServer
) -> None:
    """Bug: on a dead connection the kept registry was used after half a minute only."""
    good = run(page, "return storage.registry();")
    server.faults["/registry.json"] = [Fault(delay_s=9)]
    text, waited_ms = run(
        page,
        """const start = performance.now();
           return [await storage.registry(), performance.now() - start];""",
    )
    assert text == good
    assert waited_ms < 7000
